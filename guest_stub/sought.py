"""Files to be looked for, since their content may be malicious now: in a file until that was done.

key, stamp, sha256 as in `records`, then the xxh3_64 of them: 77 bytes each, written as they come, so that a
killed stub loses none. While they are looked for they stand in a file of their own, and what comes meanwhile
in a new one; what is broken off begins anew. Bounded: what is more is counted, and for others to say.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from xxhash import xxh3_64_digest

from guest_stub.records import KEY_BYTES, STAMP_BYTES, Seen

FILE: Final = "sought"
TAKEN: Final = "sought.taken"
MOST_FILES: Final = 20_000
_SUM_BYTES: Final = 8
_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
_BODY_BYTES: Final = KEY_BYTES + STAMP_BYTES + 32
ENTRY_BYTES: Final = _BODY_BYTES + _SUM_BYTES
_MOST_BYTES: Final = MOST_FILES * ENTRY_BYTES


class Sought:
    """One directory's. Any thread may call. lost: files for which there was no room, or no disk."""

    def __init__(self, directory: Path) -> None:
        """Nothing is opened; what an earlier run left is there."""
        self.lost = 0
        self._path = directory / FILE
        self._taken = directory / TAKEN
        self._lock = Lock()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to be looked for."""
        return self._taken.exists() or self._path.exists()

    def note(self, files: Iterable[Seen]) -> None:
        """Keep files for later; written before it returns. Raises nothing."""
        entries = [_packed(file) for file in files]
        if entries:
            with self._lock:
                self.lost += len(entries) - self._append(entries)

    def _append(self, entries: list[bytes]) -> int:
        """How many of them are written."""
        try:
            fd = os.open(self._path, _APPEND, 0o600)
        except OSError:
            return 0
        try:
            size = os.fstat(fd).st_size
            whole = size - size % ENTRY_BYTES
            if whole != size:  # a killed stub's last one
                os.ftruncate(fd, whole)
            room = max(0, _MOST_BYTES - whole) // ENTRY_BYTES
            return os.write(fd, b"".join(entries[:room])) // ENTRY_BYTES
        except OSError:
            return 0
        finally:
            os.close(fd)

    def take(self) -> list[Seen]:
        """Return what is to be looked for, each file once; kept until done(). Raises OSError."""
        with self._lock:
            if not self._taken.exists():
                if not self._path.exists():
                    return []
                os.replace(self._path, self._taken)
            data = self._taken.read_bytes()[:_MOST_BYTES]
        parts = (data[at : at + ENTRY_BYTES] for at in range(0, len(data), ENTRY_BYTES))
        files = filter(None, map(_unpacked, parts))
        return list({file.key: file for file in files}.values())

    def done(self, left: Iterable[Seen]) -> None:
        """Forget what was taken, but for these. Raises OSError."""
        self.note(left)
        self._taken.unlink(missing_ok=True)


def _packed(file: Seen) -> bytes:
    body = file.key + file.stamp + file.sha256
    return body + xxh3_64_digest(body)


def _unpacked(entry: bytes) -> Seen | None:
    body, checksum = entry[:_BODY_BYTES], entry[_BODY_BYTES:]
    if len(entry) != ENTRY_BYTES or xxh3_64_digest(body) != checksum:
        return None
    stamp_end = KEY_BYTES + STAMP_BYTES
    return Seen(body[:KEY_BYTES], body[KEY_BYTES:stamp_end], body[stamp_end:])
