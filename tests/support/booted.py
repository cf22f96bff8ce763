"""A real systemd, first process of a small system of its own: its processes, mounts and units, our files."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SYSTEMD = "/usr/lib/systemd/systemd"
TARGET = "test.target"
DEADLINE = 60.0

# $1: a group of cgroup2 to begin in. $2: the units. $3: where a file system of its own is mounted.
_BOOT = f"""
set -e
echo $$ > "$1/cgroup.procs"
exec unshare --mount --propagation private --pid --fork --kill-child --cgroup --uts --ipc sh -c '
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
umount -l -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$1" /etc/systemd/system
mount -t tmpfs tmpfs "$2"
exec env -i container=test PATH="$PATH" {SYSTEMD} --system --unit={TARGET} --show-status=no --log-target=null
' sh "$2" "$3"
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when it is so."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.05)


@dataclass
class Booted:
    """pid: of its systemd, as this process sees it."""

    pid: int

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end."""
        apart = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", "--")
        return subprocess.run(
            [*apart, *map(str, words)], check=False, capture_output=True, text=True, timeout=DEADLINE
        )

    def properties(self, unit: str) -> dict[str, str]:
        """What `systemctl show` says of a unit."""
        shown = self.run("systemctl", "show", unit).stdout
        return dict(line.partition("=")[::2] for line in shown.splitlines())

    def becomes(self, unit: str, state: str) -> dict[str, str]:
        """Return a unit's properties when it is in a state: "active", "inactive"."""
        wait_until(lambda: self.properties(unit).get("ActiveState") == state, f"{unit} is {state}")
        return self.properties(unit)

    def kill(self, pid: str, number: signal.Signals) -> None:
        """Send a signal to a process, by its number there."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"\nNSpid:\t{process.name}\t{pid}\n" in (process / "status").read_text():
                    os.kill(int(process.name), number)
                    return
        raise ProcessLookupError(pid)


@contextmanager
def booted(directory: Path, units: Mapping[str, str], top: Path) -> Iterator[Booted]:
    """A system that starts these units and nothing else. top: becomes a file system of its own."""
    etc = directory / "units"
    etc.mkdir()
    services = " ".join(name for name in units if "/" not in name)
    for name, text in {TARGET: f"[Unit]\nDefaultDependencies=no\nWants={services}\n", **units}.items():
        (etc / name).parent.mkdir(exist_ok=True)
        (etc / name).write_text(text)
    top.mkdir(exist_ok=True)
    group = _cgroup2() / f"test-{os.getpid()}"
    group.mkdir()
    process = subprocess.Popen(["sh", "-c", _BOOT, "sh", group, etc, top], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _takes_commands(process), "systemd takes commands")
        yield Booted(_child(process))
    finally:
        process.kill()  # and with it the first process there, and with that all others
        process.wait()
        wait_until(lambda: _is_removed(group), "its processes are gone")


def _cgroup2() -> Path:
    """Where the second version of control groups is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(point)
    raise RuntimeError("cgroup2 is not mounted: systemd cannot run here")


def _child(process: subprocess.Popen[bytes]) -> int:
    """The process that was started, 0 while there is none."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else 0


def _takes_commands(process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "systemd did not start"
    return bool(child := _child(process)) and Path(f"/proc/{child}/root/run/systemd/private").exists()


def _is_removed(group: Path) -> bool:
    """Remove a control group and those in it; whether that was possible."""
    for each in (*sorted(group.glob("**/*/"), reverse=True), group):
        with suppress(OSError):
            each.rmdir()
    return not group.exists()
