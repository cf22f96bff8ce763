"""Disks of their own for a program's state, in its own mount namespace: small, full, read-only.

A disk lasts as long as a process in its namespace, so that several programs can use it one after another.
From outside it is reached by /proc.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.telling import until

_LASTS = 'eval "$2" && echo && exec sleep infinity'


@dataclass(frozen=True)
class Disk:
    """A disk that is mounted at `top` in the namespace of the process `pid`."""

    top: Path
    pid: int

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command there."""
        return ("nsenter", f"--target={self.pid}", "--mount", "--")

    def outside(self, name: str = "") -> Path:
        """A file on it, as this process can reach it."""
        return Path(f"/proc/{self.pid}/root{self.top}/{name}")

    def run(self, *words: str) -> None:
        """Run a command there to its end."""
        subprocess.run([*self.within, *words], check=True)

    def fill(self) -> None:
        """Leave not a byte of room."""
        with self.outside("filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Give the room back."""
        self.outside("filler").unlink()

    def break_down(self) -> None:
        """Make the disk read-only as a kernel does that has met an error on it; ext4 alone."""
        self.run("mount", "-o", "remount,abort", os.fspath(self.top))

    def mend(self) -> None:
        """Mount it anew, as after a repair. Nothing has it open."""
        image = os.fspath(self.top.with_suffix(".img"))
        self.run("umount", os.fspath(self.top))
        # What sandboxes of workers had mounted goes when the kernel comes to it, and is written until then.
        until(lambda: not _loop_devices(image), f"no namespace has {image} mounted", pause=0.05)
        subprocess.run(["fsck.ext4", "-p", image], check=False)  # 1: it mended something
        self.run("mount", "-o", "loop", image, os.fspath(self.top))


def _loop_devices(image: str) -> str:
    """The loop devices of a file, each on a line."""
    words = ["losetup", "--associated", image]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@contextmanager
def small_disk(top: Path, mib: int) -> Iterator[Disk]:
    """A file system in memory of so many MiB."""
    with _kept(top, f'mount -t tmpfs -o size={mib}m,mode=0700 none "$1"') as disk:
        yield disk


@contextmanager
def failing_disk(top: Path, mib: int) -> Iterator[Disk]:
    """An ext4 in a file beside, that can break down."""
    image = top.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(mib << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    with _kept(top, f'mount -o loop "{image}" "$1"') as disk:
        yield disk


@contextmanager
def _kept(top: Path, mount: str) -> Iterator[Disk]:
    top.mkdir()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _LASTS, "sh", str(top), mount]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield Disk(top, process.pid)
        finally:
            process.kill()
