"""Files that were judged, and quarantines to put them into."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest_stub.decision import FileId
from guest_stub.remediation.bounds import Bounds
from guest_stub.remediation.done import Done
from guest_stub.remediation.facts import Attributes, Entry, Judged
from guest_stub.remediation.quarantine import Quarantine, QuarantineSettings

BAD = b"all of this was judged to be bad\n" * 40
NOON_NS = 1_900_000_000 * 10**9
MIB = 1 << 20


def settings(directory: Path, bytes: int = 64 * MIB, days: int = 30) -> QuarantineSettings:
    """Of a quarantine below a directory."""
    return QuarantineSettings(directory / "quarantine", Bounds(bytes, days))


@contextmanager
def quarantine(directory: Path, bytes: int = 64 * MIB, now_ns: int = NOON_NS) -> Iterator[Quarantine]:
    """An open one, at a time that moves on by a nanosecond with each look at it."""
    opened = Quarantine(settings(directory, bytes), itertools.count(now_ns).__next__)
    try:
        yield opened
    finally:
        opened.close()


def judged(path: Path, threat: str = "Test.File") -> Judged:
    """The file as it is now, found to be bad, by somebody who leaves no trace."""
    with open_for_reading(path) as fd:
        file = FileId.of(os.fstat(fd))
        return Judged(file, hashlib.sha256(os.pread(fd, file.size, 0)).digest(), threat)


@contextmanager
def open_for_reading(path: Path) -> Iterator[int]:
    """As fanotify hands it over."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if path.is_dir() else os.O_NOATIME))
    try:
        yield fd
    finally:
        os.close(fd)


def take(opened: Quarantine, path: Path, threat: str = "Test.File") -> Done:
    """Judge the file and put it into the quarantine."""
    with open_for_reading(path) as fd:
        return opened.take(fd, judged(path, threat))


def bad_file(path: Path, content: bytes = BAD) -> Path:
    """A file to be judged."""
    path.write_bytes(content)
    return path


def contents(opened: Quarantine) -> list[bytes]:
    """What is in the quarantine, oldest first; every entry is read to its end."""
    found = []
    for entry in opened.entries():
        with opened.opened(entry.id) as (_, pieces):
            found.append(b"".join(pieces))
    return found


def entry_of(content: bytes, id: str = "0123456789ab", path: bytes = b"/srv/bad") -> Entry:
    """An entry of a content, as plain as one can be."""
    file = FileId(1, 2, len(content), 3, 4)
    facts = Judged(file, hashlib.sha256(content).digest(), "Test.File", path)
    return Entry(id, NOON_NS, facts, Attributes(os.geteuid(), os.getegid(), 0o640, 10**18, 2 * 10**18))
