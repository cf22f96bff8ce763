"""Digests of one kind, packed and searched where they lie: a million take 28 to 44 MB, once for all workers.

A table is three sections of bytes:

- records   digest, size as 8 bytes, offset of the name as 4 bytes, both big-endian; sorted; a size of
            ANY_SIZE fits every file
- sizes     the sizes that occur, 8 bytes each in the machine's order, sorted: a file of another
            size need not be hashed
- names     shared by all tables: 1 byte disposition, 1 byte length, the name in UTF-8
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable

from appliance.domain.outcome import Disposition

ANY_SIZE = (1 << 64) - 1
MAX_NAME_BYTES = 255

_TAIL = struct.Struct(">QI")
_SIZE = struct.Struct("=Q")


class NameHeap:
    """The names of all tables while they are built."""

    def __init__(self) -> None:
        """Start empty."""
        self._data = bytearray()
        self._last: tuple[Disposition, bytes] | None = None
        self._last_at = 0

    def add(self, disposition: Disposition, name: bytes) -> int:
        """Return the offset of `name`, at most MAX_NAME_BYTES of UTF-8; the same as before is kept once."""
        if (disposition, name) != self._last:
            self._last, self._last_at = (disposition, name), len(self._data)
            self._data += bytes((disposition, len(name))) + name
        return self._last_at

    def packed(self) -> bytes:
        """Return the section."""
        return bytes(self._data)


def name_at(names: memoryview, offset: int) -> tuple[Disposition, str]:
    """Return the disposition and the name at `offset`."""
    length = names[offset + 1]
    return Disposition(names[offset]), bytes(names[offset + 2 : offset + 2 + length]).decode()


def record(digest: bytes, size: int, name_offset: int) -> bytes:
    """Return one record of a table."""
    return digest + _TAIL.pack(size, name_offset)


def pack(records: Iterable[bytes], digest_bytes: int) -> tuple[bytes, bytes]:
    """Return (records, sizes) from records in any order; one is kept for each digest and size."""
    ordered = sorted(records)
    key = digest_bytes + 8
    kept = [one for before, one in zip([b"", *ordered], ordered, strict=False) if one[:key] != before[:key]]
    sizes = sorted({_TAIL.unpack_from(one, digest_bytes)[0] for one in kept})
    return b"".join(kept), b"".join(map(_SIZE.pack, sizes))


class HashTable:
    """A packed table, searched where it lies."""

    def __init__(self, records: memoryview, sizes: memoryview, digest_bytes: int) -> None:
        """Take the sections as `pack` made them; an empty table is two empty sections."""
        self._records = records
        self._sizes = sizes.cast("Q")
        self._digest_bytes = digest_bytes
        self._record_bytes = digest_bytes + _TAIL.size
        self._any_size = len(self._sizes) > 0 and self._sizes[-1] == ANY_SIZE

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._records) // self._record_bytes

    def has_size(self, size: int) -> bool:
        """Whether a file of `size` bytes can be in the table at all."""
        if self._any_size:
            return True
        at = bisect_left(self._sizes, size)
        return at < len(self._sizes) and self._sizes[at] == size

    def find(self, digest: bytes, size: int) -> int | None:
        """Return the offset of the name for a file of this digest and size, or None."""
        at = bisect_left(range(len(self)), digest, key=self._digest_at)
        while at < len(self) and self._digest_at(at) == digest:
            wanted, name_offset = _TAIL.unpack_from(
                self._records, at * self._record_bytes + self._digest_bytes
            )
            if wanted in (size, ANY_SIZE):
                return int(name_offset)
            at += 1
        return None

    def _digest_at(self, index: int) -> bytes:
        start = index * self._record_bytes
        return bytes(self._records[start : start + self._digest_bytes])
