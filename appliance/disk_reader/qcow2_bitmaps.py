"""Dirty bitmaps that a qcow2 image keeps while nothing runs. Its form: QEMU's docs/interop/qcow2.txt."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.dirty import Dirty

_HEADER: Final = struct.Struct(">4sIQIIQ")
_AUTOCLEAR_AT, _LENGTH_AT = 88, 100
_BITMAPS: Final = 0x23852875
_ENTRY: Final = struct.Struct(">QIIBBHI")
_IN_USE, _AUTO = 1, 2
_TRACKS_WRITES: Final = 1
_MOST_DIRECTORY_BYTES: Final = 1 << 20
_MOST_TABLE_ENTRIES: Final = 1 << 20
_OFFSET: Final = 0x00FFFFFFFFFFFE00


class NoBitmap(Exception):
    """The image has no bitmap that could be trusted. The text says why."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    table: int
    clusters: int
    flags: int
    kind: int
    granularity_bits: int


def bitmap_of(file: BinaryIO, name: str, size: int, patience: Patience) -> Dirty:
    """What a bitmap says was written to. size: of the disk, in bytes. Raises NoBitmap, and TookTooLong."""
    with patience.for_step():
        head = _read(file, 0, 1 << 16)
        cluster = 1 << (_HEADER.unpack_from(head)[4] & 31)
        entry = next((each for each in _entries(file, head) if each.name == name.encode()), None)
    if entry is None:
        raise NoBitmap("the image has not the dirty bitmap of the last scan")
    if entry.flags & _IN_USE:
        raise NoBitmap(
            "its dirty bitmap was not written to its end: the machine or its host ended in the middle"
        )
    if not entry.flags & _AUTO or entry.kind != _TRACKS_WRITES or not 9 <= entry.granularity_bits <= 31:
        raise NoBitmap("its dirty bitmap does not follow what is written")
    grain = 1 << entry.granularity_bits
    bits = (size + grain - 1) // grain
    if entry.clusters > _MOST_TABLE_ENTRIES or entry.clusters * cluster * 8 < bits:
        raise NoBitmap("its dirty bitmap is of a disk of another size")
    dirty = Dirty()
    for begin, length in _ones(file, entry, cluster, bits, patience):
        dirty.add(begin * grain, length * grain)
    return dirty


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _entries(file: BinaryIO, head: bytes) -> Iterator[_Entry]:
    """The directory of bitmaps; none where whoever wrote to the image last did not care for them."""
    if _HEADER.unpack_from(head)[1] < 3 or not struct.unpack_from(">Q", head, _AUTOCLEAR_AT)[0] & 1:
        return
    place = _directory(head)
    if place is None:
        return
    count, size, at = place
    if size > _MOST_DIRECTORY_BYTES:
        raise NoBitmap("its directory of dirty bitmaps is damaged")
    data, begin = _read(file, at, size), 0
    for _ in range(count):
        if begin + _ENTRY.size > len(data):
            raise NoBitmap("its directory of dirty bitmaps is damaged")
        table, clusters, flags, kind, bits, name_size, extra = _ENTRY.unpack_from(data, begin)
        start = begin + _ENTRY.size + extra
        yield _Entry(data[start : start + name_size], table, clusters, flags, kind, bits)
        begin += (_ENTRY.size + extra + name_size + 7) // 8 * 8


def _directory(head: bytes) -> tuple[int, int, int] | None:
    """How many bitmaps the header's extension tells of, the bytes of their directory, and where it is."""
    at = struct.unpack_from(">I", head, _LENGTH_AT)[0]
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if not kind:
            return None
        if kind == _BITMAPS and length >= 24 and at + 32 <= len(head):
            count, _, size, place = struct.unpack_from(">IIQQ", head, at + 8)
            return count, size, place
        at += 8 + (length + 7) // 8 * 8
    return None


def _ones(
    file: BinaryIO, entry: _Entry, cluster: int, bits: int, patience: Patience
) -> Iterator[tuple[int, int]]:
    """Runs of bits that are set: the first, and how many. bits: how many there are of the disk."""
    with patience.for_step():
        table = _read(file, entry.table, entry.clusters * 8)
    if len(table) != entry.clusters * 8:
        raise NoBitmap("its dirty bitmap is damaged")
    for index, (place,) in enumerate(struct.iter_unpack(">Q", table)):
        first = index * cluster * 8
        if first >= bits:
            return
        if not place & _OFFSET:
            if place & 1:
                yield first, min(cluster * 8, bits - first)
            continue
        with patience.for_step():
            data = _read(file, place & _OFFSET, cluster)
        if len(data) != cluster:
            raise NoBitmap("its dirty bitmap is damaged")
        yield from _runs(data, first, bits)


def _runs(data: bytes, first: int, end: int) -> Iterator[tuple[int, int]]:
    """The same of one cluster; bits count from the lowest of each byte on."""
    for index, byte in enumerate(data):
        at = first + index * 8
        if byte == 0 or at >= end:
            continue
        if byte == 0xFF:
            yield at, min(8, end - at)
            continue
        for bit in range(min(8, end - at)):
            if byte >> bit & 1:
                yield at + bit, 1
