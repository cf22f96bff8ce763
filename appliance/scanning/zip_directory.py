"""Finds the directories of zips and reads them, as Java and Python do: by their end, and by nothing else.

libarchive looks for the end record in the last 16 KiB, takes how a member is packed from the header
before the member, and gives up at the first member that is broken. So it is told where a zip ends,
and what its directory says is compared with what came out.

The layout: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

Data = bytes | mmap.mmap

END_BYTES = 22
MAX_COMMENT = 65535
STORED, DEFLATED = 0, 8

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64, _LOCATOR = b"PK\x06\x06", b"PK\x06\x07"
_LOCATOR_BYTES, _END_64_BYTES = 20, 56
_ENTRY = struct.Struct("<8xHH8xLLHHH8xL")
_HEADER = struct.Struct("<6xHH8xL4xHH")
_IN_64 = 0xFFFFFFFF
_LOCKED, _SIZES_FOLLOW = 1, 8  # flags of a member


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as the directory has it.

    at: where its own header begins. data: where its bytes begin, `packed` of them. method: how they
    are packed. agrees: whether its own header says the same of them.
    """

    at: int
    data: int
    packed: int
    method: int
    locked: bool
    agrees: bool
    name: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that an end record points at.

    start: where it begins. end: behind the end record, without the comment. shift: what the offsets
    in it leave out, since something was put before the zip afterwards.
    """

    start: int
    end: int
    shift: int


def directories(data: Data) -> list[Directory]:
    """Return each directory of which some program says that `data` is that zip; the last ends first.

    Several end records can stand there, in the comment of another; and whether the sizes of a zip64
    count is no agreed matter.
    """
    found: dict[int, Directory] = {}
    until = len(data)
    floor = max(0, until - END_BYTES - MAX_COMMENT)
    while (at := data.rfind(_END, floor, until)) >= 0:
        until = at + len(_END) - 1
        if at + END_BYTES <= len(data):
            for directory in _pointed_at(data, at):
                found.setdefault(directory.start, directory)
    return list(found.values())


def entries(data: Data, directory: Directory) -> Iterator[Entry | None]:
    """Yield the members that `directory` names, in its order; None for one that is not there."""
    at = directory.start
    while at + 46 <= directory.end and data[at : at + 4] == _CENTRAL:
        flags, method, packed, size, name_length, extra_length, comment_length, offset = _ENTRY.unpack(
            data[at : at + 46]
        )
        name_end = at + 46 + name_length
        if _IN_64 in (packed, size, offset):
            packed, offset = _of_64(data[name_end : name_end + extra_length], packed, size, offset)
        name = data[at + 46 : name_end]
        at = name_end + extra_length + comment_length
        yield _entry(data, offset + directory.shift, (flags, method, packed), name)


def holds_more(data: Data, directory: Directory, named: list[Entry]) -> bool:
    """Whether a member stands before `directory` that is not among those it named, for readers of streams."""
    at = 0
    for entry in sorted(named, key=lambda entry: entry.at):
        if entry.at > at and data.find(_LOCAL, at, entry.at) >= 0:
            return True
        at = max(at, entry.data + entry.packed)
    return data.find(_LOCAL, at, directory.start) >= 0


def _pointed_at(data: Data, at: int) -> Iterator[Directory]:
    size, offset = struct.unpack("<LL", data[at + 12 : at + 20])
    # By its size, and where that is wrong, as unzip does, by its place.
    places = [(at - size, offset), (offset, offset)]
    large = at - _LOCATOR_BYTES
    if large >= 0 and data[large : large + 4] == _LOCATOR:
        (told,) = struct.unpack("<Q", data[large + 8 : large + 16])
        for end in (large - _END_64_BYTES, told):
            if 0 <= end < large and data[end : end + 4] == _END_64:
                size, offset = struct.unpack("<QQ", data[end + 40 : end + 56])
                places += [(end - size, offset), (offset, offset)]
    for start, said in places:
        if 0 <= start < at and data[start : start + 4] == _CENTRAL:
            yield Directory(start, at + END_BYTES, start - said)


def _of_64(extra: bytes, packed: int, size: int, offset: int) -> tuple[int, int]:
    # The large numbers stand in a field of their own, each only where it is needed (4.5.3).
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 1:
            numbers = (int.from_bytes(extra[at : at + 8], "little") for at in range(4, 4 + length, 8))
            if size == _IN_64:
                next(numbers, 0)
            packed = next(numbers, packed) if packed == _IN_64 else packed
            offset = next(numbers, offset) if offset == _IN_64 else offset
            break
        extra = extra[4 + length :]
    return packed, offset


def _entry(data: Data, at: int, said: tuple[int, int, int], name: bytes) -> Entry | None:
    head = data[at : at + 30] if at >= 0 else b""
    if len(head) < 30 or head[:4] != _LOCAL:
        return None
    flags, method, packed = said
    own_flags, own_method, own_packed, name_length, extra_length = _HEADER.unpack(head)
    same_size = own_packed in (packed, _IN_64) or bool(own_flags & _SIZES_FOLLOW)
    agrees = own_method == method and not (own_flags ^ flags) & _LOCKED and same_size
    start = at + 30 + name_length + extra_length
    return Entry(at, start, packed, method, bool(flags & _LOCKED), agrees, name)
