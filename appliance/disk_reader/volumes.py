"""What lies on the disks: partitions, logical volumes, and which file system is on each.

A volume that holds none, or cannot be read, is told with a sentence that says so: nothing is left out.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final
from zlib import crc32

from dissect.volume.disk import Disk
from dissect.volume.disk.schemes import GPT
from dissect.volume.exceptions import DiskError

from appliance.disk_reader import mbr
from appliance.disk_reader.blank import Blanks
from appliance.disk_reader.bounds import Patience, TookTooLong, why
from appliance.disk_reader.files import window
from appliance.disk_reader.lvm import logical_volumes
from appliance.disk_reader.volume import HEAD_BYTES, MOST_VOLUMES, UNKNOWN, Volume, others, seen

_GPT_CRC_END: Final = 20  # of the header: the checksum of itself
_MOST_LISTED_BYTES: Final = 1 << 20
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
                for volume in _of_disk(name, number, disk):
                    found += [volume, *others(volume)]
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
    parts, failed = list[Volume](), ""
    try:
        parts = list(_partitions(name, number, disk, size))
    except TookTooLong:
        raise
    except Exception as error:
        failed = why(error)
    claimed = list(mbr.entries(disk))
    places = {piece for part in parts for piece in part.pieces}
    for index, kind, at, length in claimed:
        if kind != mbr.PROTECTIVE and at < size:
            part = _part(f"{name}, partition {index}", number, disk, (at, min(length, size - at)))
            parts += [] if places.intersection(part.pieces) else [part]
    yield from parts
    is_gpt = any(kind == mbr.PROTECTIVE for _, kind, _, _ in claimed)
    if failed and (is_gpt or not (claimed or whole.is_known)):
        yield Volume(name, size, None, note=f"its table of partitions cannot be read ({failed})")
    elif not parts and not whole.is_known:
        yield Volume(name, size, disk, note="no partitions and no file system that are known here are on it")


def _partitions(name: str, number: int, disk: BinaryIO, size: int) -> Iterator[Volume]:
    disk.seek(0)
    if disk.read(HEAD_BYTES)[510:512] != _TABLE_MARK:
        return
    table = _table(disk)
    if isinstance(table.scheme, GPT) and _is_damaged(disk, table.scheme.gpt, table.sector_size):
        note = "its table of partitions is damaged, and systems take the copy at its end, which is not read"
        yield Volume(name, size, None, note=note)
    for index, part in enumerate(table.partitions):
        if index > MOST_VOLUMES:
            break
        # The library's size of a GPT partition is without its last sector.
        length = part.size + (table.sector_size if isinstance(part.disk, GPT) else 0)
        if part.type in _EXTENDED or length <= 0 or not 0 <= part.offset < size:
            continue
        place = (part.offset, min(length, size - part.offset))
        yield _part(f"{name}, partition {part.number}", number, disk, place)


def _part(title: str, number: int, disk: BinaryIO, place: tuple[int, int]) -> Volume:
    """A part of a disk. place: where it begins, and its length, in bytes."""
    at, length = place
    stream, pieces = window(disk, at, length), ((length, number, at),)
    found = seen(title, stream, length, pieces)
    return found if found.is_known else Volume(title, length, stream, note=UNKNOWN, pieces=pieces)


def _is_damaged(disk: BinaryIO, header: Any, sector: int) -> bool:
    """Whether the checksums of a GPT are wrong, of its header or of what it lists."""
    said = bytes(header.dumps())[: min(int(header.header_size), sector)]
    listed = int(header.partition_table_count) * int(header.partition_entry_size)
    if len(said) < _GPT_CRC_END or listed > _MOST_LISTED_BYTES:
        return True
    without = said[: _GPT_CRC_END - 4] + bytes(4) + said[_GPT_CRC_END:]
    disk.seek(int(header.lba_partition_array) * sector)
    sums = (crc32(without), crc32(disk.read(listed)))
    return sums != (int(header.crc32), int(header.partition_table_crc))


def _table(disk: BinaryIO) -> Any:
    """The table of partitions, of a disk with sectors of the usual size or of the other."""
    try:
        disk.seek(0)
        return Disk(disk)
    except DiskError:
        disk.seek(0)
        return Disk(disk, sector_size=4096)
