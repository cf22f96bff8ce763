"""Containers that tests unpack, made on the spot: each holds the members it is given.

Where Python's own library cannot write a kind, libarchive's writer does, and for the rest the tools
that .ci/debian-packages installs for tests. RAR has no free writer: its stored form is put
together here.
"""

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import libarchive

Members = Mapping[str, bytes]
PASSWORD = "secret"
COMPRESSORS = ("gz", "bz2", "xz", "lzma", "zst", "lz4", "lz", "Z")


def zipped(members: Members, method: int = zipfile.ZIP_DEFLATED, prefix: bytes = b"") -> bytes:
    """Return a zip; `prefix` stands before it, as the program of a self-extractor does."""
    out = io.BytesIO()
    out.write(prefix)
    with zipfile.ZipFile(out, "a", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def tarred(members: Members, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def written(members: Members, form: str, compression: str | None = None) -> bytes:
    """Return what a writer of libarchive makes, such as "7zip", "iso9660" or "cpio_newc"."""
    blocks: list[bytes] = []

    def keep(block: bytes) -> int:
        blocks.append(bytes(block))
        return len(block)

    with libarchive.custom_writer(keep, form, compression) as archive:
        for name, data in members.items():
            archive.add_file_from_memory(name, len(data), data)
    return b"".join(blocks)


def compressed(data: bytes, how: str) -> bytes:
    """Return `data` as one stream of a compressor, one of COMPRESSORS."""
    match how:
        case "gz":
            return gzip.compress(data, mtime=0)
        case "bz2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "lzma":
            return lzma.compress(data, lzma.FORMAT_ALONE)
    writers = {"zst": "zstd", "lz4": "lz4", "lz": "lzip", "Z": "compress"}
    return written({"x": data}, "raw", writers[how])


def deb(members: Members) -> bytes:
    """Return a Debian package whose data holds `members`."""
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": compressed(tarred({"control": b"Package: x\n"}), "xz"),
        "data.tar.xz": compressed(tarred(members), "xz"),
    }
    return written(parts, "ar_svr4")


def rar4(members: Members) -> bytes:
    """Return a RAR of version 4 that stores its members (unrar's technote.txt)."""

    def block(kind: int, flags: int, rest: bytes, data: bytes = b"") -> bytes:
        body = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
        return struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body + data

    blocks = [b"Rar!\x1a\x07\x00", block(0x73, 0, bytes(6))]
    for name, data in members.items():
        sizes = struct.pack("<II", len(data), len(data))
        fields = struct.pack("<BIIBBHI", 3, zlib.crc32(data), 0x5A210000, 20, 0x30, len(name), 0o100644)
        blocks.append(block(0x74, 0x8000, sizes + fields + name.encode(), data))
    return b"".join([*blocks, block(0x7B, 0x4000, b"")])


def rar5(members: Members) -> bytes:
    """Return a RAR of version 5 that stores its members (https://www.rarlab.com/technote.htm)."""

    def number(value: int) -> bytes:
        out = b""
        while value > 0x7F:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    def block(rest: bytes, data: bytes = b"") -> bytes:
        body = number(len(rest)) + rest
        return struct.pack("<I", zlib.crc32(body)) + body + data

    blocks = [b"Rar!\x1a\x07\x01\x00", block(number(1) + number(0) + number(0))]
    for name, data in members.items():
        head = number(2) + number(2) + number(len(data))
        head += number(4) + number(len(data)) + number(0o100644) + struct.pack("<I", zlib.crc32(data))
        head += number(0) + number(1) + number(len(name)) + name.encode()
        blocks.append(block(head, data))
    return b"".join([*blocks, block(number(5) + number(0) + number(0))])


def by_tool(members: Members, suffix: str, *command: str) -> bytes:
    """Return what a program makes: `command` with the container's path and the members' names behind it."""
    with tempfile.TemporaryDirectory() as directory:
        for name, data in members.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        container = Path(directory, f"made.{suffix}")
        subprocess.run(
            [*command, str(container), *members], cwd=directory, check=True, capture_output=True, timeout=60
        )
        return container.read_bytes()


def by_input(data: bytes, *command: str) -> bytes:
    """Return what a program makes of `data`."""
    return subprocess.run(command, input=data, check=True, capture_output=True, timeout=60).stdout


def cab(members: Members) -> bytes:
    """Return a cabinet."""
    return by_tool(members, "cab", "gcab", "-c", "-z")


def iso(members: Members) -> bytes:
    """Return a CD image with Rock Ridge and Joliet names."""
    return by_tool(members, "iso", "genisoimage", "-quiet", "-R", "-J", "-o")


def seven_zip(members: Members, *options: str) -> bytes:
    """Return a .7z of the 7z program; options: such as f"-p{PASSWORD}" or "-mhe=on"."""
    return by_tool(members, "7z", "7z", "a", *options, "--")


def locked_zip(members: Members, method: str = "ZipCrypto") -> bytes:
    """Return a zip under a password, by "ZipCrypto" or "AES256"."""
    return by_tool(members, "zip", "7z", "a", f"-p{PASSWORD}", f"-mem={method}", "--")


def binary_cpio(members: Members, order: str) -> bytes:
    """Return a cpio in the old binary form, its numbers "little" or "big" endian."""
    mark = "<" if order == "little" else ">"

    def entry(name: bytes, data: bytes) -> bytes:
        halves = [
            0o070707,
            0,
            1,
            0o100644,
            0,
            0,
            1,
            0,
            0,
            0,
            len(name) + 1,
            len(data) >> 16,
            len(data) & 0xFFFF,
        ]
        body = struct.pack(f"{mark}13H", *halves) + name + b"\0"
        return body + bytes(len(body) % 2) + data + bytes(len(data) % 2)

    entries = [entry(name.encode(), data) for name, data in members.items()]
    return b"".join([*entries, entry(b"TRAILER!!!", b"")])


def rpm(members: Members) -> bytes:
    """Return an RPM package with empty headers."""
    lead = b"\xed\xab\xee\xdb\x03\0" + bytes(90)
    header = b"\x8e\xad\xe8\x01" + bytes(12)
    return lead + header + header + compressed(written(members, "cpio_newc"), "gz")


def lha(members: Members) -> bytes:
    """Return an LHA archive of level 0 that stores its members."""
    blocks = []
    for name, data in members.items():
        body = b"-lh0-" + struct.pack("<III", len(data), len(data), 0x5A210000) + b"\x20\0"
        body += bytes([len(name)]) + name.encode() + struct.pack("<H", _crc16(data))
        blocks.append(bytes([len(body), sum(body) & 0xFF]) + body + data)
    return b"".join([*blocks, b"\0"])


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc
