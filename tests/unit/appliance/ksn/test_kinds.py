"""Tests of appliance/ksn/kinds.py."""

import io
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ksn.kinds import HEAD_BYTES, Kind, kind_of

MEMORY_DUMP = 4


def windows(magic: bytes = b"PE\0\0", at: int = 128) -> bytes:
    """The beginning of a program for Windows, whose second header stands at `at`."""
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", at)
    return head.ljust(at, b"\0") + magic + bytes(64)


def elf(type_: int = 2, order: str = "<") -> bytes:
    """The beginning of an ELF file of a type."""
    return (
        b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + bytes(10) + struct.pack(f"{order}H", type_)
    )


def mach(type_: int = 2, order: str = "<") -> bytes:
    """The beginning of a Mach-O file of a type."""
    return struct.pack(f"{order}IIII", 0xFEEDFACF, 7, 3, type_) + bytes(16)


def zipped(*names: str, extra: bytes = b"") -> bytes:
    """A zip with members of these names. extra: of the first."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.extra, extra = extra, b""
            archive.writestr(info, b"x")
    return file.getvalue()


JAVA = struct.pack("<HH", 0xCAFE, 0)

EXECUTABLES = {
    "PE": windows(),
    "NE": windows(b"NE"),
    "ELF": elf(),
    "ELF, the other order": elf(3, ">"),
    "Mach-O": mach(),
    "Mach-O, the other order": mach(order=">"),
    "Mach-O for several machines": b"\xca\xfe\xba\xbe\0\0\0\x02",
    "a Java class": b"\xca\xfe\xba\xbe\0\0\0\x3d",
    "DEX": b"dex\n035\0",
    "a script": b"#!/bin/sh\n",
    "a JAR with a manifest first": zipped("META-INF/MANIFEST.MF", "a.class"),
    "a JAR of Java's own tools": zipped("META-INF/", extra=JAVA),
    "a JAR, the mark behind another field": zipped("META-INF/", extra=struct.pack("<HHI", 1, 4, 0) + JAVA),
    "a JAR without a manifest": zipped("a.class"),
    "an Android package": zipped("AndroidManifest.xml", "classes.dex"),
    "this Python": Path(sys.executable).read_bytes()[:HEAD_BYTES],
}
DOCUMENTS = {
    "PDF": b"%PDF-1.7\n",
    "PDF behind something": b"\n" * 1000 + b"%PDF-1.7\n",
    "OLE": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
    "RTF": b"{\\rtf1 x}",
    "Open XML": zipped("[Content_Types].xml", "word/document.xml"),
    "Open XML, packed anew": zipped("word/document.xml", "[Content_Types].xml"),
    "OpenDocument": zipped("mimetype", "content.xml"),
    "a script that is a PDF as well": b"#!/bin/sh\n%PDF-1.4\n",
    "a program that is a PDF as well": windows(at=64).ljust(900, b"\0") + b"%PDF-1.4\n",
    "a document with the mark of a JAR": zipped("word/document.xml", extra=JAVA),
}
ARCHIVES = {
    "zip": zipped("a.txt"),
    "zip, cut off": b"PK\x03\x04",
    "an empty zip": zipped(),
    "an OpenDocument that begins as a JAR could": zipped("META-INF/", "META-INF/manifest.xml", "content.xml"),
    "a zip with the mark of a JAR": zipped("a.txt", extra=JAVA),
    "7z": b"7z\xbc\xaf\x27\x1c",
    "rar": b"Rar!\x1a\x07\x01\0",
    "gzip": b"\x1f\x8b\x08",
    "tar": b"#!/bin/sh".ljust(257, b"\0") + b"ustar\0",
    "deb": b"!<arch>\ndebian-binary",
}
OTHERS = {
    "nothing": b"",
    "text": b"MZ is how it begins, and it goes on for more than sixty-four bytes as text does",
    "MZ, cut off": b"MZ\0\0",
    "MZ whose second header lies beyond": windows(at=HEAD_BYTES),
    "ELF, cut off": b"\x7fELF",
    "a memory dump in ELF": elf(MEMORY_DUMP),
    "a memory dump in ELF, the other order": elf(MEMORY_DUMP, ">"),
    "a memory dump in Mach-O": mach(MEMORY_DUMP),
    "a picture": b"\x89PNG\r\n\x1a\n",
    "a web page": b"<!DOCTYPE html>",
    "a mail": b"From: me\n",
}
CASES = [
    pytest.param(head, kind, id=f"{kind}: {name}")
    for kind, heads in (
        (Kind.EXECUTABLE, EXECUTABLES),
        (Kind.DOCUMENT, DOCUMENTS),
        (Kind.ARCHIVE, ARCHIVES),
        (Kind.OTHER, OTHERS),
    )
    for name, head in heads.items()
]


@pytest.mark.parametrize(("head", "kind"), CASES)
def test_the_first_bytes_tell_the_kind(head: bytes, kind: Kind) -> None:
    """Where it is two at once, it is the one that is handed over less readily."""
    assert kind_of(head[:HEAD_BYTES]) is kind


@given(
    st.sampled_from([b"", b"MZ", b"\x7fELF", b"PK\x03\x04", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!"]),
    st.binary(max_size=200),
)
def test_whatever_comes_has_a_kind(magic: bytes, rest: bytes) -> None:
    """No content makes it raise, however it is cut off or made up."""
    assert kind_of(magic + rest) in Kind


@given(st.sampled_from([*EXECUTABLES.values(), *ARCHIVES.values()]), st.integers(0, 300))
def test_a_content_that_is_cut_off_is_never_a_document(head: bytes, length: int) -> None:
    """Nor is one that begins as something else."""
    assert kind_of(head[:length]) is not Kind.DOCUMENT
