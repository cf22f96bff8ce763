"""Tells containers from ordinary files by a few bytes, so that ordinary files never meet libarchive.

Only what a reader of that kind would accept counts, since a file that is taken for a container and
is none costs time and would be called damaged. Static libraries (ar) are left alone: their members
stand uncompressed in the file, which is scanned as a whole; Debian packages are ar too and unpacked.
"""

import mmap
import re
from dataclasses import dataclass

Bytes = bytes | mmap.mmap

# What libarchive reads by itself. Filters that would start a program (lrzip, grzip, lzop) have no place here.
COMPRESSIONS = ("gzip", "bzip2", "xz", "lzma", "zstd", "lz4", "compress", "lzip")

ZIP_END_BYTES = 22
ZIP_MAX_COMMENT = 65535
TAR_BLOCK = 512
ISO_MAGIC_AT = 32769
_ENOUGH_TO_TELL = 65536  # bytes of the beginning of a container


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of container and how libarchive is to read it.

    formats, filters: names of libarchive's readers. fallback: formats to try where the first ones
    find not a single member: a zip without its directory, zeros that pass for the end of a tar.
    goes_on: programs that open it may open what stands behind its end as well: an initrd is a cpio
    with a compressed one behind it, and a compressed file may be several in a row.
    """

    name: str
    formats: tuple[str, ...]
    filters: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    goes_on: bool = False


ZIP = Kind("zip", ("zip",), fallback=("zip_streamable",))
ZIP_FROM_ITS_FRONT = Kind("zip", ("zip_streamable",))
TAR = Kind("tar", ("tar",))
ISO = Kind("iso", ("iso9660",))
CPIO = Kind("cpio", ("cpio",), goes_on=True)
RPM = Kind("rpm", ("cpio",), ("rpm", *COMPRESSIONS))


def _compressed(name: str, compression: str) -> Kind:
    # A compressed tar is read as a stream: it may be far larger than one member may be.
    return Kind(
        name, ("tar", "cpio", "raw", "empty"), (compression,), fallback=("raw", "empty"), goes_on=True
    )


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
    (b"\x1f\x8b\x08", _compressed("gz", "gzip")),
    (b"\x1f\x9d", _compressed("Z", "compress")),
    (b"\xfd7zXZ\0", _compressed("xz", "xz")),
    (b"\x28\xb5\x2f\xfd", _compressed("zst", "zstd")),
    (b"\x04\x22\x4d\x18", _compressed("lz4", "lz4")),
    (b"LZIP\x01", _compressed("lz", "lzip")),
    (b"BZh", _compressed("bz2", "bzip2")),
    (b"\x5d\0\0", _compressed("lzma", "lzma")),
)
MAX_MAGIC = max(len(magic) for magic, _ in MAGICS)
# Kinds whose magic is short get a second look.
_SECOND_LOOK = {
    "Z": re.compile(rb"\x1f\x9d[\x09-\x10\x89-\x90]"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "lzma": re.compile(rb"\x5d\0\0[\0-\xff]{2}(\xff{8}|[\0-\xff]{5}\0{3})"),
}
_LHA = re.compile(rb"[\0-\xff]{2}-l[hz][0-9a-z]-")
_OCTAL = re.compile(rb"[ 0]*([0-7]+)[ \0]")

_BY_FIRST: dict[int, tuple[tuple[bytes, Kind], ...]] = {
    first: tuple(row for row in MAGICS if row[0][0] == first) for first in {magic[0] for magic, _ in MAGICS}
}


def container_kinds(data: Bytes) -> list[Kind]:
    """Return every kind of container that `data` is; mostly none or one. Never raises for content.

    A zip is known by its end, whatever stands before it: a file that begins as another container,
    another zip among them, and ends as a zip is opened as both, since some program will open it as either.
    """
    kind = container_kind(data)
    if kind is None:
        return []
    last = _zip_by_its_end(data) if len(data) >= ZIP_END_BYTES else None
    if last is None:
        return [kind]
    if kind.name != "zip":
        return [kind, last]
    return [kind, ZIP_FROM_ITS_FRONT] if _begins_before_its_directory_says(data) else [kind]


def container_kind(data: Bytes) -> Kind | None:
    """Return the kind of container that `data` is, or None: an ordinary file. Never raises for content."""
    head = data[:MAX_MAGIC]
    if len(data) < ZIP_END_BYTES:
        return _by_magic(head) if head else None
    return (
        _by_magic(head)
        or _tar(data)
        or (ISO if data[ISO_MAGIC_AT : ISO_MAGIC_AT + 5] == b"CD001" else None)
        or (Kind("lha", ("lha",)) if _LHA.match(head) else None)
        or _binary_cpio(data)
        or _zip_by_its_end(data)
    )


def following(data: Bytes, end: int) -> tuple[int, Kind] | None:
    """Return where the next container behind `end` begins, and its kind; None where there is none.

    Zeros between the two are skipped. A zip is left out: container_kinds finds it.
    """
    start = first_not_zero(data, end)
    kind = container_kind(data[start : start + _ENOUGH_TO_TELL]) if start < len(data) else None
    return None if kind is None or kind.name == "zip" else (start, kind)


def first_not_zero(data: Bytes, start: int) -> int:
    """Return where the first byte from `start` on stands that is not zero; the end where there is none."""
    while start < len(data):
        piece = data[start : start + _ENOUGH_TO_TELL]
        if piece != bytes(len(piece)):
            return start + len(piece) - len(piece.lstrip(b"\0"))
        start += len(piece)
    return start


def _by_magic(head: bytes) -> Kind | None:
    for magic, kind in _BY_FIRST.get(head[0], ()):
        if head.startswith(magic):
            pattern = _SECOND_LOOK.get(kind.name)
            if pattern is None or pattern.match(head):
                return kind
    return None


def _tar(data: Bytes) -> Kind | None:
    # The checksum field must be octal before the sum is worth its time; old tars have no "ustar".
    # Zeros may stand before it: they are the end of another one, which held nothing.
    start = first_not_zero(data, 0)
    start -= start % TAR_BLOCK
    block = data[start : start + TAR_BLOCK]
    field = _OCTAL.match(block[148:156])
    if field is None or len(block) < TAR_BLOCK:
        return None
    expected = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return TAR if int(field[1], 8) == expected and block[0] else None


def _binary_cpio(data: Bytes) -> Kind | None:
    # Two bytes tell little: the name's length and final zero, and the file type, must be right too.
    head = data[:26]
    order = {b"\xc7\x71": "little", b"\x71\xc7": "big"}.get(head[:2])
    if order is None or len(head) < 26:
        return None
    length = int.from_bytes(head[20:22], "little" if order == "little" else "big")
    file_type = int.from_bytes(head[6:8], "little" if order == "little" else "big") >> 12
    name = data[26 : 26 + length]
    whole = 1 < length <= 4096 and len(name) == length and name.find(b"\0") == length - 1
    return CPIO if whole and file_type in (1, 2, 4, 6, 8, 10, 12) else None


def _zip_by_its_end(data: Bytes) -> Kind | None:
    # Programs find a zip by its end: self-extractors, zipapps and pictures with a zip behind them are zips.
    at = _zip_end(data)
    if at < 0:
        return None
    directory = int.from_bytes(data[at + 12 : at + 16], "little")
    if directory == 0xFFFFFFFF:  # zip64: its own end stands right before
        return ZIP if at >= 20 and data[at - 20 : at - 16] == b"PK\x06\x07" else None
    start = at - directory
    return ZIP if directory and start >= 0 and data[start : start + 4] == b"PK\x01\x02" else None


def _begins_before_its_directory_says(data: Bytes) -> bool:
    # Readers of streams begin at the front of a zip, and others at its end: here these are two.
    at = _zip_end(data)
    directory = int.from_bytes(data[at + 12 : at + 16], "little")
    offset = int.from_bytes(data[at + 16 : at + 20], "little")
    return directory == 0xFFFFFFFF or offset + directory < at


def _zip_end(data: Bytes) -> int:
    """Return where the end record of a zip begins, -1 where there is none."""
    end = len(data)
    at = data.rfind(b"PK\x05\x06", max(0, end - ZIP_END_BYTES - ZIP_MAX_COMMENT), end)
    return at if at + ZIP_END_BYTES <= end else -1
