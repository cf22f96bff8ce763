"""A part of the disks, and what its first bytes say it is."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

MOST_VOLUMES: Final = 512
HEAD_BYTES: Final = 68 << 10  # what is looked at of one
_SECTOR: Final = 512
_BTRFS_MAGIC_AT, _EXT_MAGIC_AT, _ISO_MAGIC_AT = 0x10040, 1080, 32769
_SWAP_PAGES: Final = (4096, 8192, 16384, 65536)
_SWAP_HEADER_AT: Final = 1024  # before it there is nothing
_RAID_MAGIC: Final = b"\xfc\x4e\x2b\xa9"

UNKNOWN: Final = "no file system that is known here is on it"

Piece = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Volume:
    """A part of the disks. name: for people. kind: its file system, "" where there is none that is read.

    stream: None where nobody has to look at it. note: why it is not read. harmless: whether there can be no
    files on it (swap, empty). pieces: what it is made of, in order: bytes, the number of the disk, and where
    they begin on that.
    """

    name: str
    size: int
    stream: BinaryIO | None
    kind: str = ""
    note: str = ""
    harmless: bool = False
    pieces: tuple[Piece, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether it is something that is recognised, be it read or not."""
        return bool(self.kind or self.note)


def seen(name: str, stream: BinaryIO, size: int, pieces: tuple[Piece, ...]) -> Volume:
    """What is on a volume, by its first bytes."""
    stream.seek(0)
    head = stream.read(HEAD_BYTES).ljust(HEAD_BYTES, b"\0")
    kind, note = recognised(head)
    harmless = note == _SWAP and _is_of_mkswap(head, size)
    note = _LIKE_SWAP if note == _SWAP and not harmless else note
    return Volume(name, size, stream if kind else None, kind, note, harmless, pieces)


_SWAP: Final = "it is swap space"
_LIKE_SWAP: Final = "it has the mark of swap space and is not as mkswap makes it: not looked at"
_UNREAD: Final = (
    (0, b"LUKS\xba\xbe", "it is encrypted (LUKS): only the guest can read it"),
    (3, b"-FVE-FS-", "it is encrypted (BitLocker): only the guest can read it"),
    *((page - 10, word, _SWAP) for page in _SWAP_PAGES for word in (b"SWAPSPACE2", b"SWAP-SPACE")),
    *(
        (at, _RAID_MAGIC, "it is a part of a software RAID, which is not put together here")
        for at in (0, 4096)
    ),
    (3, b"EXFAT   ", "it is exFAT, which is not read"),
    (_ISO_MAGIC_AT, b"CD001", "it is an image of a CD, which is not read"),
)
_NO_FAT: Final = (b"-FVE-FS-", b"EXFAT   ")  # a mark elsewhere keeps no guest from mounting it as FAT
_READ: Final = (
    *((at, b"LABELONE", "lvm") for at in range(0, 4 * _SECTOR, _SECTOR)),
    (_BTRFS_MAGIC_AT, b"_BHRfS_M", "btrfs"),
    (0, b"XFSB", "xfs"),
    (3, b"NTFS    ", "ntfs"),
    (_EXT_MAGIC_AT, b"\x53\xef", "ext4"),
)


def recognised(head: bytes) -> tuple[str, str]:
    """The kind of what begins so, or a sentence where it is known and not read."""
    for kind in kinds_of(head):
        return kind, ""
    for at, magic, note in _UNREAD:
        if head.startswith(magic, at):
            return "", note
    return "", ""


def kinds_of(head: bytes) -> list[str]:
    """All that what begins so may be: the mark of one kind fits beside that of another."""
    found = [kind for at, magic, kind in _READ if head.startswith(magic, at)]
    if _is_fat(head) and not head.startswith(_NO_FAT, 3):
        found.append("fat")
    return list(dict.fromkeys(found))


def others(volume: Volume) -> Iterator[Volume]:
    """The same volume as what else it may be: a guest mounts it as what it likes."""
    if volume.kind and volume.stream is not None:
        volume.stream.seek(0)
        head = volume.stream.read(HEAD_BYTES).ljust(HEAD_BYTES, b"\0")
        for kind in kinds_of(head):
            if kind != volume.kind:
                yield replace(volume, name=f"{volume.name}, as {kind}", kind=kind)


def _is_fat(head: bytes) -> bool:
    sector, clusters, reserved, fats = struct.unpack_from("<HBHB", head, 11)
    is_jump = head[0] == 0xE9 or (head[0] == 0xEB and head[2] == 0x90)
    sane = sector in (512, 1024, 2048, 4096) and clusters and clusters & (clusters - 1) == 0
    return bool(is_jump and sane and reserved and 1 <= fats <= 4 and head[510:512] == b"\x55\xaa")


def _is_of_mkswap(head: bytes, size: int) -> bool:
    """Whether nothing but swap space can be on what has its mark. size: of the volume, in bytes."""
    version, last_page = struct.unpack_from("<II", head, _SWAP_HEADER_AT)
    page = next((page for page in _SWAP_PAGES if head.startswith(b"SWAPSPACE2", page - 10)), 0)
    is_sane = bool(page and version == 1 and 0 < last_page * page <= size)
    return is_sane and not any(head[:_SWAP_HEADER_AT])


def within(pieces: tuple[Piece, ...], start: int, length: int) -> Iterator[Piece]:
    """The pieces that a part of what they make up is made of."""
    end, begin = start + length, 0
    for size, disk, at in pieces:
        first, last = max(start, begin), min(end, begin + size)
        if first < last:
            yield last - first, disk, at + first - begin
        begin += size
