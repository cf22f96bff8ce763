"""What lies on the disks: partitions, logical volumes, and which file system is on each.

A volume that holds none, or cannot be read, is told with a sentence that says so: nothing is left out.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from dissect.volume.disk import Disk
from dissect.volume.disk.schemes import GPT
from dissect.volume.exceptions import DiskError

from appliance.disk_reader.blank import Blanks
from appliance.disk_reader.bounds import Patience, TookTooLong, why
from appliance.disk_reader.files import window
from appliance.disk_reader.lvm import logical_volumes
from appliance.disk_reader.volume import HEAD_BYTES, MOST_VOLUMES, UNKNOWN, Volume, seen

_SECTOR: Final = 512
_TABLE_MARK: Final = b"\x55\xaa"
_EXTENDED: Final = (0x05, 0x0F, 0x85)


def volumes_of(disks: list[BinaryIO | str], patience: Patience) -> list[Volume]:
    """All volumes of all disks. disks: each open, or the sentence that says why it is not."""
    found: list[Volume] = []
    for number, disk in enumerate(disks):
        name = f"disk {number + 1}" if len(disks) > 1 else "disk"
        if isinstance(disk, str):
            found.append(Volume(name, 0, None, note=disk))
            continue
        try:
            with patience.for_step():
                found += _of_disk(name, number, disk)
        except Exception as error:  # whatever a parser raises that meets hostile bytes
            found.append(Volume(name, 0, None, note=f"it cannot be read ({why(error)})"))
    physical = [volume for volume in found if volume.kind == "lvm"]
    found = [volume for volume in found if volume.kind != "lvm"]
    found += logical_volumes(physical, patience)
    if len(found) > MOST_VOLUMES:
        more = f"{len(found) - MOST_VOLUMES} volumes more than are looked at"
        found[MOST_VOLUMES:] = [Volume("more", 0, None, note=more)]
    blanks = Blanks(patience)
    return [blanks.settled(volume) for volume in found]


def _of_disk(name: str, number: int, disk: BinaryIO) -> Iterator[Volume]:
    """The disk as a whole, where something is known to be on it, and its partitions.

    Both: what was written into the gap before the first partition must not hide the partitions.
    """
    size = disk.seek(0, 2)
    whole = seen(name, disk, size, ((size, number, 0),))
    if whole.is_known:
        yield whole
    try:
        parts = list(_partitions(name, number, disk, size))
    except TookTooLong:
        raise
    except Exception:
        if not whole.is_known:  # else there are none
            raise
        parts = []
    yield from (part for part in parts if part.is_known or not whole.is_known)
    if not parts and not whole.is_known:
        yield Volume(name, size, disk, note="no partitions and no file system that are known here are on it")


def _partitions(name: str, number: int, disk: BinaryIO, size: int) -> Iterator[Volume]:
    disk.seek(0)
    if disk.read(HEAD_BYTES)[510:512] != _TABLE_MARK:
        return
    table = _table(disk)
    for index, part in enumerate(table.partitions):
        if index > MOST_VOLUMES:
            break
        # The library's size of a GPT partition is without its last sector.
        length = part.size + (table.sector_size if isinstance(part.disk, GPT) else 0)
        if part.type in _EXTENDED or length <= 0 or not 0 <= part.offset < size:
            continue
        length = min(length, size - part.offset)
        title, stream = f"{name}, partition {part.number}", window(disk, part.offset, length)
        found = seen(title, stream, length, ((length, number, part.offset),))
        yield found if found.is_known else Volume(title, length, stream, note=UNKNOWN)


def _table(disk: BinaryIO) -> Any:
    """The table of partitions, of a disk with sectors of the usual size or of the other."""
    try:
        disk.seek(0)
        return Disk(disk)
    except DiskError:
        disk.seek(0)
        return Disk(disk, sector_size=4096)
