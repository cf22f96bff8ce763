"""The disks of an SVM: that with its state, which is made when it is blank, and that with its seed."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE_LABEL: Final = "kvmla-state"
STATE_SERIAL: Final = "svm-state"
SEED_LABELS: Final = ("cidata", "CIDATA")
_LOOKED_AT = 4 << 20  # bytes at either end of a disk: all that tells of partitions and file systems is there
_SECONDS = 600.0
_MENDED = 1  # e2fsck: errors were there, and are not any more


class FirstBootError(Exception):
    """The SVM cannot be made ready. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Disks:
    """devices, sys: /dev and /sys/block, or what stands for them."""

    devices: Path = Path("/dev")
    sys: Path = Path("/sys/block")

    def labelled(self, labels: Sequence[str]) -> Path | None:
        """The device with a file system of one of these labels; None for none."""
        for label in labels:
            said = _run(["blkid", "-c", "/dev/null", "-o", "device", "-t", f"LABEL={label}"], fails=(2,))
            if found := said.split():
                return Path(found[0])
        return None

    def state(self) -> Path:
        """The device with the state; a blank disk that is meant for it becomes one. Raises FirstBootError."""
        if found := self.labelled([STATE_LABEL]):
            return found
        meant = [disk for disk in self._all() if self._serial(disk) == STATE_SERIAL]
        if not meant:
            raise FirstBootError(
                f"there is no disk for the state: give this machine one with the serial {STATE_SERIAL}, "
                f"or a file system with the label {STATE_LABEL}"
            )
        disk = self.devices / meant[0]
        if not is_blank(disk):
            raise FirstBootError(
                f"the disk with the serial {STATE_SERIAL} holds something, but no file system with the label "
                f"{STATE_LABEL}: nothing is written over; wipe it or give another"
            )
        _run(["mke2fs", "-q", "-t", "ext4", "-m", "1", "-L", STATE_LABEL, str(disk)])
        return disk

    def _all(self) -> list[str]:
        return sorted(path.name for path in self.sys.iterdir())

    def _serial(self, disk: str) -> str:
        for place in ("serial", "device/serial"):
            if (file := self.sys / disk / place).exists():
                return file.read_text().strip()
        return ""


def is_blank(device: Path) -> bool:
    """Whether nothing was ever written where partitions and file systems tell of themselves."""
    with device.open("rb") as disk:
        size = disk.seek(0, os.SEEK_END)
        for place in (0, max(0, size - _LOOKED_AT)):
            disk.seek(place)
            if any(disk.read(_LOOKED_AT)):
                return False
    return True


def mount_state(device: Path, place: Path, owner: int) -> None:
    """Mount the state where it belongs, mended if it was cut off. Raises FirstBootError."""
    if place.is_mount():
        return
    _run(["e2fsck", "-p", str(device)], fails=(_MENDED,))
    place.mkdir(parents=True, exist_ok=True)
    _run(["mount", "-o", "nosuid,nodev,noexec,relatime", str(device), str(place)])
    _run(["resize2fs", str(device)])  # the disk may have grown
    (place / "lost+found").rmdir() if (place / "lost+found").exists() and not any(
        (place / "lost+found").iterdir()
    ) else None
    if place.stat().st_uid != owner:
        os.chown(place, owner, owner)
        place.chmod(0o700)


def mount_seed(device: Path, place: Path) -> None:
    """Mount the seed, to be read only. Raises FirstBootError."""
    if not place.is_mount():
        place.mkdir(parents=True, exist_ok=True)
        _run(["mount", "-o", "ro,nosuid,nodev,noexec", str(device), str(place)])


def _run(command: list[str], fails: tuple[int, ...] = ()) -> str:
    """Run a program; return what it printed. fails: exit codes that are none."""
    try:
        ran = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirstBootError(f"{command[0]} could not be run: {error}") from error
    if ran.returncode not in (0, *fails):
        said = " ".join(ran.stderr.split())[:500]
        raise FirstBootError(f"`{' '.join(command)}` failed ({ran.returncode}): {said}")
    return ran.stdout
