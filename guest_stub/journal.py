"""What was let through while nobody could say what it is; looked at when an SVM is back.

Lines of JSON, written as they come, so that a killed stub loses none: {"path": hexadecimal, "at",
"operation", "key": hexadecimal, "handle": hexadecimal, "tries"}. While they are replayed they stand in a file
of their own, and what is noted meanwhile in a new one; a replay that is broken off begins anew. Bounded in
lines and bytes, and one owner of files takes no more room than he leaves to the others: what is more is
counted, and the last entry that is replayed says since when something is missing.
"""

import errno
import io
import json
import os
import stat
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from guest_stub.records import KEY_BYTES
from guest_stub.remediation.handles import MOST_BYTES as MOST_HANDLE_BYTES

FILE: Final = "journal"
REPLAYED: Final = "journal.replaying"
MOST_ENTRIES: Final = 20_000
MOST_BYTES: Final = 16 << 20
MOST_TRIES: Final = 5  # that an entry may tell of
MISSED: Final = "missed"  # the operation of the entry that tells since when there was no room
NOBODY: Final = -1  # whose files count for no owner
_MOST_LINE_BYTES: Final = 16 << 10
# A FIFO in its place is not waited for.
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Entry(NamedTuple):
    """A file that was let through.

    path: "" where it could not be told. at: seconds since the epoch. operation: what was done with it.
    key: as in `records`, by which it is found wherever it is; b"" where inodes say nothing. handle: as in
    `remediation.handles`, b"" where there is none. tries: how often it was looked at, and nobody could say.
    """

    path: str
    at: float
    operation: str
    key: bytes = b""
    handle: bytes = b""
    tries: int = 0


class Journal:
    """One directory's. lost: entries for which there was no room, no disk, or whose path is too long."""

    def __init__(self, directory: Path) -> None:
        """Take up what an earlier run left. Where the disk does not let it, that is tried with each entry."""
        self.lost = 0
        self.directory = directory
        self._path = directory / FILE
        self._replayed = directory / REPLAYED
        self._noted: set[int] = set()  # the same file over and over is one entry
        self._owners: Counter[int] = Counter()  # how many entries each has
        self._began = 0.0  # the first entry
        self._missed = 0.0  # since when something is missing; 0 while nothing is, or the file says so
        self._says_missed = False
        self._file: BinaryIO = io.BytesIO()  # which nothing is ever written to
        self._is_open = False
        self._entries, self._whole = 0, True
        self.problem = ""
        self._open()

    def _open(self) -> bool:
        """Open the file if it is not; whether it is."""
        if self._is_open:
            return True
        try:
            fd = os.open(self._path, _APPEND, 0o600)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(errno.EINVAL, "no regular file")
                os.fchmod(fd, 0o600)
                self._entries, self._whole = _count(self._path, status.st_size)
            except OSError:
                os.close(fd)
                raise
        except OSError as problem:
            self.problem = f"{self._path}: {problem.strerror}: what is let through cannot be noted for later"
            return False
        self._file, self._is_open, self.problem = os.fdopen(fd, "ab", buffering=0), True, ""
        return True

    @property
    def waiting(self) -> bool:
        """Whether there is anything to replay."""
        return self._file.tell() > 0 or self._missed > 0 or self._replayed.exists()

    @property
    def room(self) -> int:
        """For how many entries, of those who can wait: they leave half to others. Any thread may ask."""
        return max(0, MOST_ENTRIES // 2 - self._entries)

    @property
    def was_broken_off(self) -> bool:
        """Whether a replay was: the next one begins with what that one had."""
        return self._replayed.exists()

    def note(self, entry: Entry, name: int, owner: int = NOBODY) -> bool:
        """Keep an entry, unless it is kept already; whether it is. Raises nothing.

        name: stands for the file as it is. owner: whose it is, by number.
        """
        if name in self._noted or not (entry.path or entry.key):
            return name in self._noted
        line = _line(entry)
        if len(line) > _MOST_LINE_BYTES and entry.key:
            line = _line(entry._replace(path=""))
        if len(line) > _MOST_LINE_BYTES:
            self.lost += 1
            return False
        left = MOST_ENTRIES - self._entries
        full = left <= 0 or self._owners[owner] >= left or self._size() >= MOST_BYTES
        if full or not self._write(line):
            self.lost += 1
            self._miss(entry.at)
            return False
        self._noted.add(name)
        self._began = self._began or entry.at
        if owner != NOBODY:
            self._owners[owner] += 1
        return True

    def _size(self) -> int:
        return self._file.tell() if self._open() else 0

    def _miss(self, at: float) -> None:
        """Have the replay tell since when something is missing, also in the next run if the disk lets it."""
        if not self._says_missed:
            self._missed = self._missed or self._began or at
            if self._write(_line(Entry("", self._missed, MISSED))):
                self._missed, self._says_missed = 0.0, True

    def _write(self, line: bytes) -> bool:
        """Whether there was room for it; what was cut off before it gets a line of its own."""
        line = line if self._whole else b"\n" + line
        try:
            if not self._open() or self._file.tell() >= MOST_BYTES + _MOST_LINE_BYTES:
                return False
            written = self._file.write(line)
        except OSError:
            return False
        self._whole = written == len(line)
        self._entries += self._whole
        return self._whole

    def replay(self) -> Generator[Entry, None, None]:
        """Yield what was kept; it is kept until done(). Raises OSError."""
        if not self._replayed.exists():
            if self._missed:
                yield Entry("", self._missed, MISSED)
                self._missed = 0.0
            if not self._file.tell():
                return
            os.replace(self._path, self._replayed)
            self._begin_anew()
        with self._replayed.open("rb") as lines:
            while line := lines.readline(_MOST_LINE_BYTES):
                entry = _parse(line)
                if entry is not None:
                    yield entry

    def _begin_anew(self) -> None:
        """In a new file; where the disk has no room for one that is tried again with the next entry."""
        self._file.close()
        self._file, self._is_open = io.BytesIO(), False
        self._noted.clear()
        self._owners.clear()
        self._began, self._says_missed = 0.0, False
        self._entries, self._whole = 0, True
        self._open()

    def done(self) -> None:
        """Forget what was replayed. Raises OSError."""
        self._replayed.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _line(entry: Entry) -> bytes:
    fields: dict[str, str | float] = {
        "path": os.fsencode(entry.path).hex(),
        "at": entry.at,
        "operation": entry.operation,
    }
    if entry.key:
        fields["key"] = entry.key.hex()
    if entry.handle:
        fields["handle"] = entry.handle.hex()
    if entry.tries:
        fields["tries"] = entry.tries
    return json.dumps(fields).encode() + b"\n"


def _parse(line: bytes) -> Entry | None:
    """Take a line apart; None for one of no sense, as the last one of a killed stub."""
    try:
        fields = json.loads(line)
        path = os.fsdecode(bytes.fromhex(fields["path"]))
        key = bytes.fromhex(fields.get("key", ""))
        handle, tries = bytes.fromhex(fields.get("handle", "")), fields.get("tries", 0)
        entry = Entry(path, float(fields["at"]), str(fields["operation"]), key, handle, int(tries))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    sound = "\0" not in path and len(key) in (0, KEY_BYTES) and len(handle) <= MOST_HANDLE_BYTES
    return entry if sound and 0 <= entry.tries <= MOST_TRIES else None


def _count(path: Path, size: int) -> tuple[int, bool]:
    """How many lines an earlier run left, and whether the last one is whole. One over the bound is full."""
    if size >= MOST_BYTES:
        return MOST_ENTRIES, False
    entries, last = 0, b"\n"
    with path.open("rb") as left:
        while size > 0 and (piece := left.read(min(size, 1 << 16))):
            entries, last, size = entries + piece.count(b"\n"), piece[-1:], size - len(piece)
    return entries, last == b"\n"
