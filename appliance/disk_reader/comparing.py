"""What an earlier scan read, and what was written to since: put together from what `svm-host` says.

"tracks"  for each disk null, or {"number": N, "bitmap": NAME, "fd": FD}: its number in layouts; the bitmap of
          what was written to since, "" for none; where that is asked: a connection to the server of a disk
          of the format nbd, else the image itself
"base"    null, or {"fd": FD, "offset": BYTES, "count": N}: the records of what was read
"""

from collections.abc import Sequence
from typing import Any, BinaryIO, cast

from appliance.disk_reader.bounds import Patience, why
from appliance.disk_reader.dirty import Dirty
from appliance.disk_reader.files import FileStream
from appliance.disk_reader.nbd_changes import changes_of
from appliance.disk_reader.qcow2_bitmaps import bitmap_of
from appliance.disk_reader.unchanged import Known, Tracked, Unchanged


def compared(
    disks: Sequence[BinaryIO | str], head: dict[str, Any], patience: Patience
) -> tuple[Unchanged, list[str]]:
    """What tells unchanged files, and for each disk why its changes are not known, "" where they are.

    disks: each open, or why it is not. Of one whose changes are not known all files are read.
    """
    tracks = head.get("tracks") or [None] * len(disks)
    known, lost = _known(head.get("base"))
    followed: list[Tracked | None] = []
    unknown: list[str] = []
    for disk, layers, track in zip(disks, head["disks"], tracks, strict=True):
        dirty, wrong = None, lost if track is not None else ""
        if track is not None and track["bitmap"] and not isinstance(disk, str):
            try:
                dirty = _dirty(disk, layers[-1], track, patience)
            except Exception as error:  # whatever is raised by what meets hostile bytes
                wrong = why(error)
        followed.append(None if track is None else Tracked(int(track["number"]), dirty))
        unknown.append(wrong)
    return Unchanged(followed, known), unknown


def _known(base: dict[str, Any] | None) -> tuple[Known | None, str]:
    """The records, or why they cannot be used."""
    if base is None:
        return None, ""
    try:
        return Known(int(base["fd"]), int(base["offset"]), int(base["count"])), ""
    except (OSError, ValueError) as error:
        return None, f"what was kept of the last scan cannot be read ({why(error)})"


def _dirty(disk: BinaryIO, top: dict[str, Any], track: dict[str, Any], patience: Patience) -> Dirty:
    size = disk.seek(0, 2)
    if top["format"] == "nbd":
        return changes_of(int(track["fd"]), top["export"], track["bitmap"], size, patience)
    return bitmap_of(cast(BinaryIO, FileStream(int(track["fd"]))), track["bitmap"], size, patience)
