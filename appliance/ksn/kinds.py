"""What kind a content is, by its first bytes alone: whether it could be handed over at all.

Pure, and on the safe side: what is two kinds at once is the one that is handed over less readily, and what
is cut off before it can be told is OTHER. Executables are PE (and NE, LE, LX), ELF, Mach-O, Java classes and
archives, DEX, Android packages, and scripts that begin with #!. Memory dumps in these forms are not, since
they hold what the program was working on. Documents are PDF, OLE (the older Office), RTF, and zips that begin
as those of Office (Open XML), OpenDocument and EPUB do.

Magic numbers: PE/COFF, ELF gABI, Mach-O loader.h, JVMS 4.1, the Dalvik executable format, APPNOTE.TXT for
zip, MS-CFB for OLE. 0xCAFE among the extra fields of the first member is how Java's own tools mark a JAR.
"""

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Final

HEAD_BYTES: Final = 4096  # so much of a content is looked at
_PDF_WITHIN = 1024  # readers look for its magic so far
_LOCAL_HEADER = 30
_JAR_FIELD = 0xCAFE
_ELF_CORE, _MACH_CORE = 4, 4  # e_type and filetype of a memory dump

_DOCUMENTS = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rt")
_ARCHIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x07\x08",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x1f\x8b",
    b"\x1f\x9d",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"LZIP",
    b"MSCF",
    b"!<arch>\n",
    b"\xed\xab\xee\xdb",
    b"070701",
    b"070702",
    b"070707",
    b"xar!",
)
_WINDOWS = (b"PE\0\0", b"NE", b"LE", b"LX")
_MACH = {
    b"\xfe\xed\xfa\xce": ">",
    b"\xfe\xed\xfa\xcf": ">",
    b"\xce\xfa\xed\xfe": "<",
    b"\xcf\xfa\xed\xfe": "<",
}
_CLASS_OR_FAT = b"\xca\xfe\xba\xbe"  # a Java class, or Mach-O for several machines

# How the names of a zip's first members begin.
_DOCUMENT_MEMBERS = (
    b"[Content_Types].xml",
    b"_rels/",
    b"docProps/",
    b"docMetadata/",
    b"customXml/",
    b"word/",
    b"xl/",
    b"ppt/",
    b"visio/",
    b"mimetype",
)
_PROGRAM_MEMBERS = (b"META-INF/MANIFEST.MF", b"AndroidManifest.xml", b"classes.dex")


class Kind(StrEnum):
    """What a content is, as far as it matters for handing it over."""

    EXECUTABLE = "executable"  # or a script
    DOCUMENT = "document"
    ARCHIVE = "archive"
    OTHER = "other"


def kind_of(head: bytes) -> Kind:
    """Return the kind of a content. head: its first HEAD_BYTES, or all of a shorter one. Raises nothing."""
    if b"%PDF-" in head[:_PDF_WITHIN] or head.startswith(_DOCUMENTS):
        return Kind.DOCUMENT
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
        return Kind.ARCHIVE
    return Kind.EXECUTABLE if any(is_one(head) for is_one in _EXECUTABLES) else Kind.OTHER


def _zip(head: bytes) -> Kind:
    """The kind of a zip, by its first member."""
    if len(head) < _LOCAL_HEADER:
        return Kind.ARCHIVE
    name_length, extra_length = struct.unpack_from("<HH", head, 26)
    name = head[_LOCAL_HEADER : _LOCAL_HEADER + name_length]
    extra = head[_LOCAL_HEADER + name_length :][:extra_length]
    if name.startswith(_DOCUMENT_MEMBERS):
        return Kind.DOCUMENT
    # A document that was packed anew may begin with META-INF/ as well; it has no mark of Java's.
    marked = name.startswith(b"META-INF/") and _JAR_FIELD in _fields(extra)
    if marked or name.endswith(b".class") or name in _PROGRAM_MEMBERS:
        return Kind.EXECUTABLE
    return Kind.ARCHIVE


def _fields(extra: bytes) -> list[int]:
    """The numbers of a member's extra fields, as far as they are whole."""
    found, at = [], 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<HH", extra, at)
        found.append(number)
        at += 4 + length
    return found


def _is_windows(head: bytes) -> bool:
    """Whether it is a program for Windows: MZ alone begins many a text."""
    if not head.startswith(b"MZ") or len(head) < 64:
        return False
    (at,) = struct.unpack_from("<I", head, 60)
    return head[at : at + 4].startswith(_WINDOWS)


def _is_elf(head: bytes) -> bool:
    if not head.startswith(b"\x7fELF") or len(head) < 18 or head[5] not in (1, 2):
        return False
    return bool(struct.unpack_from("<H" if head[5] == 1 else ">H", head, 16)[0] != _ELF_CORE)


def _is_mach(head: bytes) -> bool:
    order = _MACH.get(head[:4])
    if order is None or len(head) < 16:
        return False
    return bool(struct.unpack_from(f"{order}I", head, 12)[0] != _MACH_CORE)


def _is_java(head: bytes) -> bool:
    return len(head) >= 8 and head.startswith((_CLASS_OR_FAT, b"dex\n0", b"dey\n0"))


def _is_script(head: bytes) -> bool:
    return head.startswith(b"#!")


_EXECUTABLES: tuple[Callable[[bytes], bool], ...] = (_is_windows, _is_elf, _is_mach, _is_java, _is_script)
