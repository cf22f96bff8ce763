"""The lines of a file, or of the only file in a ZIP, in bounded memory."""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

MAX_LINE_BYTES = 64 * 1024
# What zipfile and its decompressors raise for a ZIP that is damaged, beside OSError. Found by fuzzing.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,  # a password; a method that is not there (NotImplementedError)
    ValueError,  # names and offsets of no sense
    OverflowError,
)


class SourceError(Exception):
    """The file as a whole cannot be read as what it is said to be; the message says why."""


class Bad(NamedTuple):
    """What could not be taken. where: "line 17"; why: a sentence."""

    where: str
    why: str


class Progress:
    """How far a source is: `done` of `total`, in bytes, rows or events. Written by the source."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0


def check_regular(path: Path) -> None:
    """Refuse what is no regular file: a pipe may never end, nor begin. Raises SourceError, OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise SourceError(f"{path}: is no regular file: write what comes by a pipe or a device to one first")


def lines(path: Path, progress: Progress) -> Iterator[tuple[int, str | Bad]]:
    """The lines of a file, or of the only one in a ZIP, numbered from 1. Raises SourceError, OSError."""
    check_regular(path)
    try:
        if zipfile.is_zipfile(path):
            yield from _only_member(path, progress)
            return
    except _DAMAGED as error:
        raise SourceError(f"{path}: the ZIP cannot be read: {error}") from error
    progress.total = path.stat().st_size
    with path.open("rb") as plain:
        yield from _lines(plain, progress)


def _only_member(path: Path, progress: Progress) -> Iterator[tuple[int, str | Bad]]:
    """The lines of the only file in a ZIP."""
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if len(members) != 1:
            raise SourceError(f"{path}: the ZIP has {len(members)} files; it should have one")
        progress.total = members[0].file_size
        with archive.open(members[0]) as file:
            yield from _lines(file, progress)


def _lines(file: IO[bytes], progress: Progress) -> Iterator[tuple[int, str | Bad]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        progress.done += len(line)
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                progress.done += len(rest)
            yield number, Bad(f"line {number}", f"it has more than {MAX_LINE_BYTES} bytes")
            continue
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            yield number, Bad(f"line {number}", "it is not UTF-8")
