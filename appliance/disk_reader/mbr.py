"""The table of partitions in the first sector of a disk, as Linux reads it.

Linux (block/partitions/msdos.c) takes an entry of the type 0 for a partition where it has a size, and a first
sector that looks like that of a file system for a table too, where its flags are those of one. The library
does neither, and what it leaves out a guest can mount.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

PROTECTIVE: Final = 0xEE  # that the table is another one, GPT
_EXTENDED: Final = (0x05, 0x0F, 0x85)
_MARK: Final = b"\x55\xaa"
_SECTOR: Final = 512
_ENTRY: Final = struct.Struct("<B3xB3xII")
_AT: Final = 446
_FLAGS: Final = (0, 0x80)
_MOST_LINKS: Final = 512  # of extended ones

Entry = tuple[int, int, int, int]


def entries(disk: BinaryIO, sector: int = _SECTOR) -> Iterator[Entry]:
    """Number, kind, begin and length in bytes of each partition. sector: bytes of one."""
    for number, (kind, begin, length) in enumerate(_of_sector(disk, 0), 1):
        if kind in _EXTENDED and length:
            yield from _logical(disk, begin, sector)
        elif length:
            yield number, kind, begin * sector, length * sector


def _logical(disk: BinaryIO, first: int, sector: int) -> Iterator[Entry]:
    """Those of an extended one: each link of the chain has one, and where the next link is."""
    at: int | None = first
    seen: set[int] = set()
    while at is not None and at not in seen and len(seen) < _MOST_LINKS:
        seen.add(at)
        link, at = at, None
        for kind, begin, length in _of_sector(disk, link * sector):
            if kind in _EXTENDED and length:
                at = first + begin if at is None else at
            elif length:
                yield 4 + len(seen), kind, (link + begin) * sector, length * sector


def _of_sector(disk: BinaryIO, at: int) -> list[tuple[int, int, int]]:
    """Kind, begin and length in sectors of the four entries, none where it is no table."""
    disk.seek(at)
    data = disk.read(_SECTOR)
    if len(data) < _SECTOR or data[-2:] != _MARK:
        return []
    found = list(_ENTRY.iter_unpack(data[_AT:-2]))
    if any(flags not in _FLAGS for flags, *_ in found):
        return []
    return [(kind, begin, length) for _, kind, begin, length in found]
