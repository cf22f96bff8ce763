"""Digests as guests asked about them, on their way: small files, each written once, read once, and deleted.

    a file  sections, one after another: guest u16, hour u32, count u32, all big endian; then the digests

To write one costs next to nothing, however much there is. One that is merged at once is gone before the
kernel has written it to the disk. What a killed SVM left is read at the next start, as far as it makes sense.

No guest has more here than there is room left: one that asks without end gets half of all, two of them a
third each, and so on, and who asks little finds room.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.domain.digest import DIGEST_BYTES

PREFIX, SUFFIX = "exposure-", ".raw"
PIECE_DIGESTS = 2048  # that are read at once

_HEAD = struct.Struct(">HII")

Section = tuple[int, int, bytes | bytearray]  # guest's number, hour, digests


@dataclass(slots=True)
class _Reading:
    """A file that is being read: where in it, and what is left of the section."""

    path: Path
    fd: int
    number: int = 0
    hour: int = 0
    left: int = 0


class RawFiles:
    """Those of one directory. waiting: bytes of digests that were not read yet."""

    def __init__(self, directory: Path, most_bytes: int) -> None:
        """most_bytes: what may wait. Raises OSError."""
        self.waiting = 0
        self._of_guest = Counter[int]()  # number -> its bytes among those
        self._directory = directory
        self._most_bytes = most_bytes
        self._paths = sorted(directory.glob(f"{PREFIX}*{SUFFIX}"))
        self._next = 1 + max((_number_of(path) for path in self._paths), default=0)
        self._reading: _Reading | None = None
        for path in self._paths:
            self.waiting += path.stat().st_size
            for number, _, digests in _sections(path):
                self._of_guest[number] += len(digests)

    def put(self, sections: Iterable[Section]) -> int:
        """Write sections, and return how many digests there was no room for. Raises OSError."""
        taken, dropped = list[Section](), 0
        for number, hour, digests in sections:
            count = min(len(digests), self._room(number)) // DIGEST_BYTES
            dropped += len(digests) // DIGEST_BYTES - count
            if count:
                taken.append((number, hour, digests[: count * DIGEST_BYTES]))
                self._count(number, count * DIGEST_BYTES, 1)
        if taken:
            self._write(taken)
        return dropped

    def read(self) -> Section | None:
        """Return the next digests, PIECE_DIGESTS of one section at the most; None where nothing waits."""
        while True:
            reading = self._reading or self._open_next()
            if reading is None:
                return None
            if not reading.left and not self._begin_section(reading):
                self._drop(reading)
                continue
            data = os.read(reading.fd, min(reading.left, PIECE_DIGESTS) * DIGEST_BYTES)
            data = data[: len(data) - len(data) % DIGEST_BYTES]
            if not data:  # it was cut off
                self._drop(reading)
                continue
            reading.left -= len(data) // DIGEST_BYTES
            self._count(reading.number, -len(data), 0)
            return reading.number, reading.hour, data

    def find(self, digest: bytes) -> Iterator[tuple[int, int]]:
        """Yield whose a digest is, and in which hour, of all that waits, and of some that was read."""
        for path in list(self._paths):
            for number, hour, section in _sections(path):
                if _holds(section, digest):
                    yield number, hour

    def close(self) -> None:
        """Leave what waits to the next start."""
        if self._reading is not None:
            os.close(self._reading.fd)
            self._reading = None

    def _room(self, number: int) -> int:
        """How many more bytes of a guest may wait: until it has as many as are left for others then."""
        left = self._most_bytes - self.waiting - _HEAD.size
        return max(0, (left - self._of_guest[number]) // 2)

    def _count(self, number: int, size: int, heads: int) -> None:
        """Note bytes of a guest that wait now, or (less than 0) no more."""
        self.waiting += size + heads * _HEAD.size
        self._of_guest[number] += size
        if self._of_guest[number] <= 0:
            del self._of_guest[number]

    def _write(self, sections: list[Section]) -> None:
        path = self._directory / f"{PREFIX}{self._next:012}{SUFFIX}"
        self._next += 1
        try:
            with path.open("xb", buffering=0) as file:
                for number, hour, digests in sections:
                    for part in (_HEAD.pack(number, hour, len(digests) // DIGEST_BYTES), digests):
                        if file.write(part) != len(part):
                            raise OSError(28, "No space left on device", str(path))
        except OSError:
            for number, _, digests in sections:
                self._count(number, -len(digests), -1)
            path.unlink(missing_ok=True)
            raise
        self._paths.append(path)

    def _open_next(self) -> _Reading | None:
        while self._paths:
            path = self._paths[0]
            try:
                self._reading = _Reading(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                return self._reading
            except OSError:  # somebody deleted it
                del self._paths[0]
        self.waiting = 0
        self._of_guest.clear()
        return None

    def _begin_section(self, reading: _Reading) -> bool:
        head = os.read(reading.fd, _HEAD.size)
        if len(head) < _HEAD.size:
            return False
        reading.number, reading.hour, reading.left = _HEAD.unpack(head)
        self.waiting -= len(head)
        return reading.left > 0

    def _drop(self, reading: _Reading) -> None:
        os.close(reading.fd)
        reading.path.unlink(missing_ok=True)
        self._paths.remove(reading.path)
        self._reading = None


def _sections(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield what a file has, the last as far as it is there; nothing where it cannot be read."""
    with suppress(OSError):
        data, at = path.read_bytes(), 0
        while at + _HEAD.size <= len(data):
            number, hour, count = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            section = data[at : at + count * DIGEST_BYTES]
            yield number, hour, section[: len(section) - len(section) % DIGEST_BYTES]
            at += count * DIGEST_BYTES


def _holds(section: bytes, digest: bytes) -> bool:
    at = section.find(digest)
    while at >= 0 and at % DIGEST_BYTES:
        at = section.find(digest, at + 1)
    return at >= 0


def _number_of(path: Path) -> int:
    digits = path.name[len(PREFIX) : -len(SUFFIX)]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
