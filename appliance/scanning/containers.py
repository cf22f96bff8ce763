"""Tells containers from ordinary files by a few bytes, so that ordinary files never meet libarchive.

A file may be several at once, since each program looks at the bytes that it knows: the first name in
a tar is the magic of whatever it says, and before an ISO image 32 KiB are free. All that match count.

Only what a reader of that kind would accept counts, since a file that is taken for a container and
is none costs time and would be called damaged. Static libraries (ar) are left alone: their members
stand uncompressed in the file, which is scanned as a whole; Debian packages are ar too and unpacked.
"""

import mmap
import re
from dataclasses import dataclass, replace

from appliance.scanning.zip_directory import END_BYTES, Directory, directories

Bytes = bytes | mmap.mmap

# What libarchive reads by itself. Filters that would start a program (lrzip, grzip, lzop) have no place here.
COMPRESSIONS = ("gzip", "bzip2", "xz", "lzma", "zstd", "lz4", "compress", "lzip")

TAR_BLOCK = 512
ISO_MAGIC_AT = 32769
_PIECE = 65536  # bytes that are compared with zeros at a time
_MOST_SKIPPED = 10_000  # frames in a row


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of container and how libarchive is to read it.

    formats, filters: names of libarchive's readers. fallback: formats to try where the first ones
    find not a single member: a zip without its directory, zeros that pass for the end of a tar.
    goes_on: programs that open it may open what stands behind its end as well: an initrd is a cpio
    with a compressed one behind it, and a compressed file may be several in a row.
    certain: a checksum said what it is, so if nothing comes out it is libarchive that cannot.
    unreadable: why libarchive cannot read it though others can, else "".
    start: where it begins. directory: of a zip, the directory to read it by.
    begins_as_zip: whether readers of streams take it for a zip as well.
    """

    name: str
    formats: tuple[str, ...]
    filters: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    goes_on: bool = False
    certain: bool = False
    unreadable: str = ""
    start: int = 0
    directory: Directory | None = None
    begins_as_zip: bool = False


ZIP = Kind("zip", ("zip",), fallback=("zip_streamable",))
ZIP_BY_DIRECTORY = Kind("zip", ("zip_seekable",))
ZIP_FROM_ITS_FRONT = Kind("zip", ("zip_streamable",))
TAR = Kind("tar", ("tar",), certain=True)
LOOSE_TAR = Kind("tar", ("tar",))  # as bsdtar takes it, and hardly anybody else
ISO = Kind("iso", ("iso9660",))
CPIO = Kind("cpio", ("cpio",), goes_on=True)
RPM = Kind("rpm", ("cpio",), ("rpm", *COMPRESSIONS))
LHA = Kind("lha", ("lha",))


def _compressed(name: str, compression: str) -> Kind:
    # A compressed tar is read as a stream: it may be far larger than one member may be.
    return Kind(
        name, ("tar", "cpio", "raw", "empty"), (compression,), fallback=("raw", "empty"), goes_on=True
    )


GZIP, LZMA = _compressed("gz", "gzip"), _compressed("lzma", "lzma")
ZSTD, LZ4 = _compressed("zst", "zstd"), _compressed("lz4", "lz4")
OLD_ZSTD = replace(ZSTD, unreadable="it is of a zstd before 0.8")
ODD_GZIP = replace(GZIP, unreadable="its flags are none that gzip has")
SKIPPED_ZSTD = replace(ZSTD, unreadable=f"more than {_MOST_SKIPPED} frames to be skipped stand before it")

# (first bytes, kind), in no particular order: none is the beginning of another.
MAGICS: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", ZIP),
    (b"PK\x07\x08", ZIP),  # spanned, or split into one
    (b"PK00PK\x03\x04", ZIP),
    (b"7z\xbc\xaf\x27\x1c", Kind("7z", ("7zip",))),
    (b"Rar!\x1a\x07\x00", Kind("rar", ("rar",))),
    (b"Rar!\x1a\x07\x01\x00", Kind("rar", ("rar5",))),
    (b"MSCF\0\0\0\0", Kind("cab", ("cab",), goes_on=True)),
    (b"xar!", Kind("xar", ("xar",))),
    (b"!<arch>\ndebian-binary", Kind("deb", ("ar",))),
    (b"070701", CPIO),
    (b"070702", CPIO),
    (b"070707", CPIO),
    (b"\xed\xab\xee\xdb", RPM),
    (b"\x1f\x8b\x08", GZIP),
    (b"\x1f\x9d", _compressed("Z", "compress")),
    (b"\xfd7zXZ\0", _compressed("xz", "xz")),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    *((bytes([version]) + b"\xb5\x2f\xfd", OLD_ZSTD) for version in (0x1E, 0x22, 0x23, 0x24)),
    *((bytes([version]) + b"\xb5\x2f\xfd", OLD_ZSTD) for version in (0x25, 0x26, 0x27)),
    (b"\x04\x22\x4d\x18", LZ4),
    (b"\x02\x21\x4c\x18", LZ4),  # as lz4 -l writes it, and kernels are packed
    (b"LZIP\x00", _compressed("lz", "lzip")),
    (b"LZIP\x01", _compressed("lz", "lzip")),
    (b"BZh", _compressed("bz2", "bzip2")),
)
MAX_MAGIC = max(len(magic) for magic, _ in MAGICS)
# Kinds whose magic is short get a second look.
_SECOND_LOOK = {
    "Z": re.compile(rb"\x1f\x9d[\x09-\x10\x89-\x90]"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
}
_LHA = re.compile(rb"[\0-\xff]{2}-l[hz][0-9a-z]-")
# A byte of properties, four of the dictionary's size, eight of the content's: unknown, or less than a
# terabyte; and the first byte of what is packed is always zero.
_LZMA = re.compile(rb"[\0-\xe0][\0-\xff]{4}(?:\xff{8}|[\0-\xff]{5}\0{3})\0", re.DOTALL)
_GZIP_BYTES = 18  # the least that one has
_LZMA_MOST_SETTINGS = 4  # bits of a literal's context and position together: more is nothing that xz reads
# GNU tar, Python and busybox agree on little: blanks before it, and no end, a sign, "0o", underscores.
_CHECKSUM = re.compile(rb"[\s\0]*(?:([-+]?)(?:0[oO])?([0-7][0-7_]*)|\Z)([\s\0]|\Z)?")
_BASE_64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SEVEN_BITS = bytes(range(128))
_SKIPPED = b"\x2a\x4d\x18"  # behind a byte 0x50 to 0x5f: a frame of zstd or lz4 with something else in it

_BY_FIRST: dict[int, tuple[tuple[bytes, Kind], ...]] = {
    first: tuple(row for row in MAGICS if row[0][0] == first) for first in {magic[0] for magic, _ in MAGICS}
}


def container_kinds(data: Bytes) -> list[Kind]:
    """Return every kind of container that `data` is; mostly none or one. Never raises for content.

    A zip is known by its end, whatever stands before it: self-extractors, zipapps and pictures with a
    zip behind them are zips. What only begins as one is read from its front.
    """
    if not len(data):
        return []
    kinds = _kinds_at(data, 0)
    found = directories(data) if len(data) >= END_BYTES else []
    if not found:
        return kinds
    # Readers of streams begin at the front of a zip, and others at its end: these may be two.
    begins_as_zip = ZIP in kinds
    zips = [
        replace(ZIP_BY_DIRECTORY, directory=each, begins_as_zip=begins_as_zip and each is found[0])
        for each in found
    ]
    return [kind for kind in kinds if kind is not ZIP] + zips


def following(data: Bytes, end: int) -> list[Kind]:
    """Return what containers begin behind `end`: all that the bytes there may be, mostly none.

    Zeros between the two are skipped. A zip is left out: container_kinds finds it.
    """
    start = first_not_zero(data, end)
    return [kind for kind in _kinds_at(data, start) if kind is not ZIP] if start < len(data) else []


def first_not_zero(data: Bytes, start: int) -> int:
    """Return where the first byte from `start` on stands that is not zero; the end where there is none."""
    while start < len(data):
        piece = data[start : start + _PIECE]
        if piece != bytes(len(piece)):
            return start + len(piece) - len(piece.lstrip(b"\0"))
        start += len(piece)
    return start


def behind_skipped_frames(data: Bytes, start: int) -> int:
    """Return where the first frame from `start` on begins that zstd and lz4 do not skip."""
    for _ in range(_MOST_SKIPPED):
        if data[start + 1 : start + 4] != _SKIPPED or data[start] >> 4 != 5:
            break
        start += 8 + int.from_bytes(data[start + 4 : start + 8], "little")
    return start


def _kinds_at(data: Bytes, at: int) -> list[Kind]:
    """Return what may begin at `at`, which is within `data`, a zip by its front included."""
    head = data[at : at + MAX_MAGIC]
    kinds = [_by_magic(head)]
    if data[at + 1 : at + 4] == _SKIPPED:
        kinds.append(_behind_skipped(data, at))
    if len(data) - at >= END_BYTES:
        kinds += (
            LZMA if _is_lzma(head) else None,
            _tar(data, at),
            ISO if data[at + ISO_MAGIC_AT : at + ISO_MAGIC_AT + 5] == b"CD001" else None,
            LHA if _LHA.match(head) else None,
            CPIO if _is_binary_cpio(data, at) else None,
        )
    found = [kind for kind in kinds if kind is not None]
    return [kind if kind.start or kind is ZIP else replace(kind, start=at) for kind in found] if at else found


def _by_magic(head: bytes) -> Kind | None:
    for magic, kind in _BY_FIRST.get(head[0], ()):
        if head.startswith(magic):
            if kind is GZIP and len(head) >= _GZIP_BYTES and head[3] & 0xE0:
                return ODD_GZIP
            pattern = _SECOND_LOOK.get(kind.name)
            if pattern is None or pattern.match(head):
                return kind
    return None


def _behind_skipped(data: Bytes, at: int) -> Kind | None:
    start = behind_skipped_frames(data, at)
    if start == at or start >= len(data):
        return None
    kind = _by_magic(data[start : start + MAX_MAGIC])
    if data[start + 1 : start + 4] == _SKIPPED and data[start] >> 4 == 5:
        return replace(SKIPPED_ZSTD, start=start)
    return replace(kind, start=start) if kind in (ZSTD, OLD_ZSTD, LZ4) else None


def _is_lzma(head: bytes) -> bool:
    if not _LZMA.match(head):
        return False
    properties, dictionary = head[0], int.from_bytes(head[1:5], "little")
    literal, position = properties % 9, properties // 9 % 5
    # As xz and 7z have it: a power of two, or half as much again; and what the first lzma made, whole MiB.
    top = 1 << max(dictionary.bit_length() - 1, 0)
    plausible = dictionary in (top, top + top // 2, 0xFFFFFFFF) or not dictionary & 0xFFFFF
    return literal + position <= _LZMA_MOST_SETTINGS and dictionary >= 4096 and plausible


def _tar(data: Bytes, at: int) -> Kind | None:
    # Zeros may stand before it: they are the end of another one, which held nothing.
    start = at
    if not data[at]:
        start = first_not_zero(data, at)
        start -= (start - at) % TAR_BLOCK
    block = data[start : start + TAR_BLOCK]
    return _tar_by_its_checksum(block) if len(block) == TAR_BLOCK else None


def _tar_by_its_checksum(block: bytes) -> Kind | None:
    # The checksum field must be a number before the sum is worth its time; old tars have no "ustar".
    field = block[148:156]
    claimed = _checksum(field)
    if claimed is None:
        return None
    rest = block[:148] + block[156:]
    total = sum(rest) + 8 * ord(" ")
    # Some old tars took the bytes for signed ones.
    if claimed not in (total, total - 256 * len(rest.translate(None, _SEVEN_BITS))):
        return None
    number = _CHECKSUM.match(field)
    return LOOSE_TAR if number is not None and number[3] is None else TAR


def _checksum(field: bytes) -> int | None:
    """Return the checksum in a tar's header, as any program reads it; None where there is none."""
    number = _CHECKSUM.match(field)
    if number is not None:
        value = int((number[2] or b"0").replace(b"_", b""), 8)
        return -value if number[1] == b"-" else value
    if field[:1] in (b"\x80", b"\xff"):  # GNU: base 256
        return int.from_bytes(field[4:], "big", signed=True)
    if field[:1] in (b"+", b"-"):  # old GNU: base 64
        value = 0
        for digit in field[1:].rstrip(b"\0 "):
            value = value << 6 | max(_BASE_64.find(digit), 0)
        return value if field[:1] == b"+" else -value
    return None


def _is_binary_cpio(data: Bytes, at: int) -> bool:
    # Two bytes tell little: the name's length and final zero, and the file type, must be right too.
    head = data[at : at + 26]
    order = {b"\xc7\x71": "little", b"\x71\xc7": "big"}.get(head[:2])
    if order is None or len(head) < 26:
        return False
    length = int.from_bytes(head[20:22], "little" if order == "little" else "big")
    file_type = int.from_bytes(head[6:8], "little" if order == "little" else "big") >> 12
    name = data[at + 26 : at + 26 + length]
    whole = 1 < length <= 4096 and len(name) == length and name.find(b"\0") == length - 1
    return whole and file_type in (1, 2, 4, 6, 8, 10, 12)
