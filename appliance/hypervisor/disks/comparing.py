"""What of an earlier scan counts for this one: which records, and of which disks it is known what changed.

What is decided here is why something is *not* compared: each doubt means that all of a disk is read, and a
sentence of the report says which.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.disks.records import Base, Damaged, DiskKept, Kept, base_of, opened
from appliance.hypervisor.disks.standing import NotFollowed, compared, standing_of
from appliance.hypervisor.files import StateUnusable

Note = Callable[[str], None]
_MOST_FILES: Final = 10_000
_NUMBER_BYTES: Final = 7


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person said. incremental: begin to keep what is read. full: use nothing that was kept.

    anywhere: what lies under a disk may lie anywhere on this host, see `Reach`.
    """

    incremental: bool = False
    full: bool = False
    anywhere: bool = False


@dataclass(slots=True)
class Comparison:
    """What `disk-reader` is told besides the disks. tracks: one for each of them."""

    tracks: list[dict[str, Any] | None] = field(default_factory=list)
    kept: Kept | None = None

    def told(self) -> dict[str, Any]:
        """As it is told."""
        return {"tracks": self.tracks, "base": None if self.kept is None else self.kept.told()}


def track(target: str, bitmap: str = "", fd: int = -1) -> dict[str, Any]:
    """As `disk-reader` is told of a disk that is followed, see its `comparing`."""
    number = int.from_bytes(hashlib.sha256(target.encode()).digest()[:_NUMBER_BYTES])
    return {"number": number, "bitmap": bitmap, "fd": fd}


def records_path(state_dir: Path, uuid: str) -> Path:
    """Where the records of a machine's last scan are."""
    return state_dir / "scans" / f"{uuid}.scan"


def records_of_file(state_dir: Path, image: Path) -> Path | None:
    """The records of the newest scan that an image was in, as the disk of a machine; None for none."""
    wanted = str(image.resolve())
    paths = islice((state_dir / "scans").glob("*.scan"), _MOST_FILES)
    for path in sorted(paths, key=_when_written, reverse=True):
        try:
            base = base_of(path)
        except (Damaged, StateUnusable):
            continue
        if any(disk.path == wanted for disk in base.disks):
            return path
    return None


def _when_written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # a scan of its machine has just taken it away
        return 0


@dataclass(frozen=True, slots=True)
class Recall:
    """Finds what the last scan read, for disks that nothing writes to. reader: versions of what reads."""

    state_dir: Path
    reader: str

    def of_machine(self, uuid: str, stack: ExitStack, note: Note) -> Kept | None:
        """For a machine that is off, None where nothing counts. Raises StateUnusable."""
        return usable(records_path(self.state_dir, uuid), self.reader, stack, note)

    def of_file(self, image: Path, stack: ExitStack, note: Note) -> Kept | None:
        """For an image that was scanned as the disk of a machine, the same."""
        path = records_of_file(self.state_dir, image)
        return None if path is None else usable(path, self.reader, stack, note)


def usable(path: Path, reader: str, stack: ExitStack, note: Note) -> Kept | None:
    """The records of the last scan, None where there are none that can be used. Raises StateUnusable."""
    try:
        kept = opened(path, stack)
    except Damaged as error:
        note(f"all is read: what was kept of the last scan is damaged ({error})")
        return None
    if kept is not None and kept.base.reader != reader:
        note("all is read: the program that reads disks is of another version than at the last scan")
        return None
    return kept


def standings(disks: Sequence[tuple[str, Path | None, str, Reach]], note: Note) -> dict[str, DiskKept]:
    """How disks are now, by their targets, of those that are followed.

    disks: target, path, format, and how far it is followed what lies under it.
    """
    found: dict[str, DiskKept] = {}
    for target, path, image_format, reach in disks:
        try:
            found[target] = standing_of(target, path, image_format, reach)
        except NotFollowed as error:
            note(f"{target}: all of it is read: {error}")
    return found


def comparable(base: Base, now: Mapping[str, DiskKept], note: Note) -> Iterator[str]:
    """Yield the targets of disks that can be compared with how they were."""
    for target, why in compared(base, list(now.values())).items():
        if why:
            note(f"{target}: all of it is read: {why}")
        else:
            yield target
