"""The one file of a backup: what it is made of, written and read.

    MAGIC, then the parts one after another, then the manifest, then its length (u32 big endian) and SHA-256

The manifest stands at the end since the parts are copied straight into the file, and what they are is known
afterwards. It is JSON: {format, made_at, program, schemas: {part: number}, parts: [{name, bytes, sha256}]}.

The reader trusts none of it. A part's name is one of two files or `identity/` and one plain name, so none
leads out of where it is put; the parts fill the file exactly, so what is read is bounded by its own size.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

MAGIC: Final = b"kvm-light-agent backup\n"
FORMAT: Final = 1
MAX_MANIFEST_BYTES: Final = 64 << 10
MAX_PARTS: Final = 64
MAX_IDENTITY_BYTES: Final = 64 << 10  # of one file of the identity
IDENTITY: Final = "identity/"

_TRAILER = 4 + 32
_CHUNK = 1 << 20
_END_OF_TIME = 253_402_300_800  # the year 10,000
_NAME = re.compile(r"(?:state|events)\.lmdb|identity/[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BadBackup(Exception):
    """The file is no backup that can be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file in the backup. sha256: in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. made_at: seconds since the epoch. schemas: by part, of the LMDB files."""

    made_at: float
    program: str
    schemas: Mapping[str, int] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    def names(self) -> set[str]:
        """The names of the parts."""
        return {part.name for part in self.parts}


def is_part_name(name: str) -> bool:
    """Whether a part may have this name."""
    return _NAME.fullmatch(name) is not None


class Writer:
    """Writes a backup into an empty file that is open to be written and read."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin. Raises OSError."""
        self._file = file
        self._parts: list[Part] = []
        file.write(MAGIC)
        file.flush()

    def add(self, name: str, write: Callable[[int], None]) -> None:
        """Add a part. write: called with the descriptor, writes all of it from where that stands on.

        Raises OSError, and what `write` raises.
        """
        start = self._file.tell()
        write(self._file.fileno())
        self._file.seek(start)
        sha256, size = hashlib.sha256(), 0
        while chunk := self._file.read(_CHUNK):
            sha256.update(chunk)
            size += len(chunk)
        self._parts.append(Part(name, size, sha256.hexdigest()))

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add a small part. Raises OSError."""

        def write(fd: int) -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]

        self.add(name, write)

    def end(self, made_at: float, program: str, schemas: Mapping[str, int]) -> Manifest:
        """Write the manifest, and have all on the disk. Raises OSError."""
        manifest = Manifest(made_at, program, schemas, tuple(self._parts))
        data = json.dumps({"format": FORMAT, **asdict(manifest)}).encode()
        self._file.write(data + len(data).to_bytes(4, "big") + hashlib.sha256(data).digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        return manifest


def read_manifest(file: BinaryIO, path: Path) -> Manifest:
    """Return what the backup says of itself. Raises BadBackup, OSError. path: for the message."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise BadBackup(f"{path} is no backup of an SVM: give a file that `svm backup` has made")
    if size < len(MAGIC) + _TRAILER:
        raise damaged(path, "it is cut off")
    file.seek(size - _TRAILER)
    trailer = file.read(_TRAILER)
    length = int.from_bytes(trailer[:4], "big")
    if not 0 < length <= min(MAX_MANIFEST_BYTES, size - len(MAGIC) - _TRAILER):
        raise damaged(path, "it is cut off, or its end is not what was written")
    file.seek(size - _TRAILER - length)
    data = file.read(length)
    if hashlib.sha256(data).digest() != trailer[4:]:
        raise damaged(path, "it is cut off, or its end is not what was written")
    manifest = _manifest(data, path)
    if sum(part.bytes for part in manifest.parts) != size - len(MAGIC) - _TRAILER - length:
        raise damaged(path, "its parts are not as long as it says")
    return manifest


def read_parts(
    file: BinaryIO, path: Path, manifest: Manifest, sinks: Mapping[str, BinaryIO] | None = None
) -> None:
    """Read all parts, and hold each to its SHA-256. sinks: where a part goes, by name; only read without.

    Raises BadBackup at the first that is not what was written, OSError.
    """
    file.seek(len(MAGIC))
    for part in manifest.parts:
        sha256, left = hashlib.sha256(), part.bytes
        while left and (chunk := file.read(min(left, _CHUNK))):
            sha256.update(chunk)
            left -= len(chunk)
            if sinks is not None:
                sinks[part.name].write(chunk)
        if left or sha256.hexdigest() != part.sha256:
            raise damaged(path, f"{part.name} in it is not what was written")


def damaged(path: Path, why: str) -> BadBackup:
    """Return the error that says that a file is not what was written."""
    return BadBackup(f"{path} is damaged ({why}): use another backup")


def _manifest(data: bytes, path: Path) -> Manifest:
    try:
        said: dict[str, Any] = json.loads(data)
        if (known := int(said["format"])) > FORMAT:
            raise BadBackup(f"{path} is of format {known}, this program knows {FORMAT}: run the newer svm")
        parts = tuple(_part(each) for each in said["parts"])
        schemas = {str(name): int(schema) for name, schema in said["schemas"].items()}
        manifest = Manifest(float(said["made_at"]), str(said["program"]), schemas, parts)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(path, f"its manifest has no meaning: {type(error).__name__}") from error
    if not 0 <= manifest.made_at < _END_OF_TIME:
        raise damaged(path, "its time has no meaning")
    if len(parts) > MAX_PARTS or len(manifest.names()) != len(parts):
        raise damaged(path, "it has too many parts, or one twice")
    if not {"state.lmdb", "events.lmdb"} <= manifest.names():
        raise damaged(path, "it lacks the state or the events")
    return manifest


def _part(said: Mapping[str, Any]) -> Part:
    """Raises what a field without a meaning raises."""
    part = Part(str(said["name"]), int(said["bytes"]), str(said["sha256"]))
    if not is_part_name(part.name) or part.bytes < 0:
        raise ValueError(part.name)
    if part.name.startswith(IDENTITY) and part.bytes > MAX_IDENTITY_BYTES:
        raise ValueError(part.name)
    return part
