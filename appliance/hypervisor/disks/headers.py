"""The first bytes of a disk image: its format, what lies under it, and why it cannot be read where it cannot.

qcow2: QEMU's docs/interop/qcow2.txt. vmdk: VMware's "Virtual Disk Format 5.0". No I/O.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 64 << 10
FORMATS: Final = ("raw", "qcow2", "vmdk")

_QCOW2: Final = b"QFI\xfb"
_VMDK: Final = b"KDMV"
_DESCRIPTOR: Final = b"# Disk DescriptorFile"
_OTHERS: Final = (
    (0, b"QED\0", "QED"),
    (0, b"COWD", "an old vmdk (COWD)"),
    (0, b"conectix", "VHD"),
    (0, b"vhdxfile", "VHDX"),
    (0x40, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"WithoutFreeSpace", "a Parallels disk"),
    (0, b"WithouFreSpacExt", "a Parallels disk"),
)
_MAX_BACKING_BYTES: Final = 1023
_BACKING_FORMAT: Final = 0xE2792ACA
_DIRTY, _COMPRESSION_TYPE = 1 << 0, 1 << 3  # of the incompatible features: those that are read
_COMPRESSION_AT: Final = 104  # in a header that is longer
_COMPRESSION_TYPES: Final = (0, 1)  # zlib, zstd
_UNREAD_FEATURES: Final = {  # and those that are known
    1 << 1: "it is marked as corrupt: look at it with `qemu-img check`, and mend it with -r",
    1 << 2: "its data is in a file of its own (data_file), which is not read: use `qemu-img convert`",
    1 << 4: "it has extended_l2, which is not read: convert it with `qemu-img convert -O qcow2`",
}
_MOST_EXTENTS: Final = 256
_EXTENT_LINE: Final = re.compile(
    r'(?:RW|RDONLY)\s+(\d{1,15})\s+(SPARSE|FLAT)\s+"([^"/\\]{1,255})"(?:\s+(\d{1,15}))?'
)


class BadImage(Exception):
    """The image cannot be read. The text says why, and what to do; the image's name stands in front of it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself. backing: the file under it, as it is written there, "" for none.

    backing_format: "" where it does not say. extents: of a vmdk, kind ("sparse" or "flat"), sectors, start;
    extent_files: the files that these lie in, beside it; none where they lie in itself.
    """

    format: str
    backing: str = ""
    backing_format: str = ""
    extents: tuple[tuple[str, int, int], ...] = ()
    extent_files: tuple[str, ...] = ()


def probed(head: bytes) -> str:
    """The format that the first bytes look like. Raises BadImage for one that is known and not read."""
    if head.startswith(_QCOW2):
        return "qcow2"
    if head.startswith(_VMDK) or head[:512].lstrip().startswith(_DESCRIPTOR):
        return "vmdk"
    for at, magic, name in _OTHERS:
        if head.startswith(magic, at):
            raise BadImage(f"it is {name}, which is not read: convert it with `qemu-img convert -O qcow2`")
    return "raw"


def header_of(head: bytes, image_format: str) -> Header:
    """What an image of a format says of itself. head: its first HEADER_BYTES. Raises BadImage."""
    if not head:
        raise BadImage("it has 0 bytes, and no disk has: copy it again")
    try:
        if image_format == "qcow2":
            return _qcow2(head)
        if image_format == "vmdk":
            return _vmdk(head)
    except (struct.error, IndexError) as error:
        raise BadImage(f"it is cut off in its header, after {len(head)} bytes: copy it again") from error
    except UnicodeDecodeError as error:
        raise BadImage("its header is damaged (a name in it is not UTF-8)") from error
    if image_format != "raw":
        raise BadImage(f"the format {image_format[:20]!r} is not read: {', '.join(FORMATS)} are")
    return Header("raw")


def _qcow2(head: bytes) -> Header:
    magic, version, backing_at, backing_size, cluster_bits, _size, crypt = struct.unpack_from(
        ">4sIQIIQI", head
    )
    if magic != _QCOW2:
        raise BadImage("it is no qcow2: its first bytes are others")
    if version not in (2, 3) or not 9 <= cluster_bits <= 21:
        raise BadImage(f"its header is damaged (version {version}, clusters of 2^{cluster_bits} bytes)")
    if crypt:
        raise BadImage("it is encrypted: only who has its key can read it; scan it in the guest")
    length = 72
    if version == 3:
        length = struct.unpack_from(">I", head, 100)[0]
        _refuse_features(head, length)
    if not backing_at:
        return Header("qcow2")
    if not 0 < backing_size <= _MAX_BACKING_BYTES or backing_at + backing_size > len(head):
        raise BadImage("its header is damaged (the name of the file under it)")
    backing = head[backing_at : backing_at + backing_size].decode()
    if "\0" in backing:
        raise BadImage("its header is damaged (the name of the file under it)")
    return Header("qcow2", backing, _extension(head, length, backing_at))


def _refuse_features(head: bytes, length: int) -> None:
    """Raises BadImage for what has to be known to read the image right, and is not. length: of its header."""
    features = struct.unpack_from(">Q", head, 72)[0]
    for feature, why in _UNREAD_FEATURES.items():
        if features & feature:
            raise BadImage(why)
    if unknown := features & ~(_DIRTY | _COMPRESSION_TYPE):
        raise BadImage(
            f"it has features that are not known here (bits {unknown:#x}), and is not read: convert it with "
            "`qemu-img convert -O qcow2`"
        )
    compression = head[_COMPRESSION_AT] if length > _COMPRESSION_AT else 0
    if compression not in _COMPRESSION_TYPES or bool(compression) != bool(features & _COMPRESSION_TYPE):
        raise BadImage(f"its header is damaged (compression of the type {compression})")


def _extension(head: bytes, at: int, end: int) -> str:
    """The format of the file under a qcow2, "" where it does not say."""
    while at + 8 <= min(end, len(head)):
        kind, length = struct.unpack_from(">II", head, at)
        if not kind or length > end:
            break
        if kind == _BACKING_FORMAT:
            return head[at + 8 : at + 8 + length].decode()
        at += 8 + (length + 7) // 8 * 8
    return ""


def _vmdk(head: bytes) -> Header:
    if not head.startswith(_VMDK):
        return _by_descriptor(head)
    capacity, _grain, at, size = struct.unpack_from("<QQQQ", head, 12)
    told = head[at * 512 : (at + size) * 512].split(b"\0", 1)[0] if size else b""
    _refuse_parent(told.decode("utf-8", "replace"))
    return Header("vmdk", extents=(("sparse", capacity, 0),))


def _by_descriptor(head: bytes) -> Header:
    text = head.split(b"\0", 1)[0].decode("utf-8", "replace")
    if not text.lstrip().startswith(_DESCRIPTOR.decode()):
        raise BadImage("it is no vmdk: its first bytes are others")
    _refuse_parent(text)
    extents: list[tuple[str, int, int]] = []
    files: list[str] = []
    for line in text.splitlines():
        if not line.startswith(("RW ", "RDONLY ", "NOACCESS ")):
            continue
        found = _EXTENT_LINE.fullmatch(line.strip())
        if found is None or len(extents) >= _MOST_EXTENTS:
            raise BadImage("it has extents that are not read: convert it with `qemu-img convert -O qcow2`")
        extents.append((found[2].lower(), int(found[1]), int(found[4] or 0)))
        files.append(found[3])
    if not extents:
        raise BadImage("its descriptor names no extent: it is damaged")
    return Header("vmdk", extents=tuple(extents), extent_files=tuple(files))


def _refuse_parent(descriptor: str) -> None:
    said = re.search(r"^parentCID\s*=\s*([0-9a-fA-F]{1,8})", descriptor, re.MULTILINE)
    if said is not None and said[1].lower() != "ffffffff":
        raise BadImage(
            "it is a vmdk that lies on another, which is not read: convert it with `qemu-img convert`"
        )
