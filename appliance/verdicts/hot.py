"""The records of late in memory: a table of bounded size in front of LMDB, exact and lossy.

LMDB's tree costs a lookup several cache misses in a row. Here a digest names one bucket, and what
lies in a bucket lies together. A dict would do the same with three times the memory.

A bucket is WAYS entries, each a digest of 32 bytes and the number of a record. The table compares
whole digests: what it finds is what was kept. What it does not find may still be in LMDB; a full bucket
gives up its oldest entry. Only short records are kept: there are few different ones, while names of
threats and members are for guests to choose.
"""

import sys
from collections.abc import Sequence

from appliance.domain.digest import DIGEST_BYTES

WAYS = 10
MIN_BITS = 8
MAX_BITS = 17  # 2**17 buckets of 340 bytes: 42.5 MiB, for a million records
LONGEST_RECORD = 64

_NUMBER_BYTES = 2
_ENTRY = DIGEST_BYTES + _NUMBER_BYTES
_BUCKET = WAYS * _ENTRY
_USUAL = 7  # entries of a bucket, on average, above which the table is too small
_MOST = 8.5  # and above which there is hardly a free one, however many more are kept
_GROWTH_BITS = 2
_MOST_NUMBERS = (1 << 16) - 1
_MIXER = 0x9E3779B1  # 2**32 over the golden ratio: spreads the small numbers of scopes
_EMPTY = bytes(_ENTRY)
_FIRST = _ENTRY  # where the first bucket begins, behind an entry that stays empty


class HotTable:
    """Records by scope and digest."""

    def __init__(self, expected: int) -> None:
        """expected: how many records there are now. The table grows by itself when more are kept."""
        self._begin(max(MIN_BITS, (expected // _USUAL).bit_length()))

    def __len__(self) -> int:
        """How many records it holds."""
        return self._held

    @property
    def is_full(self) -> bool:
        """Whether it holds about as many as it can, and cannot grow."""
        return self._bits == MAX_BITS and self._held >= _MOST * (1 << MAX_BITS)

    def find(self, scope: int, digests: Sequence[bytes]) -> list[bytes | None]:
        """The record of each digest, in order; None where the table does not know."""
        records = self._records.get(scope)
        together = b"".join(digests)
        if records is None or len(together) != DIGEST_BYTES * len(digests) or not together:
            return [None] * len(digests)
        if max(map(len, digests)) != DIGEST_BYTES:
            return [None] * len(digests)
        search, numbers, mask = self._buffer.find, self._numbers, self._mask
        try:
            # Where nothing is found `at` is -1, and the number there is that of an empty entry.
            return [
                records[
                    numbers[
                        (search(digest, start := _FIRST + (word & mask) * _BUCKET, start + _BUCKET) >> 1)
                        + DIGEST_BYTES // 2
                    ]
                ]
                for digest, word in zip(digests, _words(together, scope), strict=True)
            ]
        except IndexError:
            # Somebody asked for bytes that begin amid one entry and end amid the next: no digest at all.
            return [None] * len(digests)

    def keep(self, scope: int, digest: bytes, record: bytes, displace: bool = True) -> None:
        """Take over a record. A long one is not kept, and drops what was here for the digest.

        displace: whether, in a full bucket, another has to go for it.
        """
        if not _is_short(record):
            self.drop(scope, digest)
            return
        if self._is_crowded and self._bits < MAX_BITS:
            self._begin(self._bits + _GROWTH_BITS)  # what it held comes back as it is asked for
        self._make_numbers(1)
        start = self._start(scope, digest)
        at = self._place(digest, start)
        if at < 0:
            if not displace and self._is_taken(start + self._oldest[(start - _FIRST) // _BUCKET] * _ENTRY):
                return
            at = self._oldest_place(start)
        self._buffer[at : at + _ENTRY] = digest + self._number(scope, record)

    def fill(self, scope: int, digests: Sequence[bytes], records: Sequence[bytes]) -> None:
        """Take over digests of 32 bytes, none of which is here yet, and their records.

        Quicker than `keep` for each of them.
        """
        distinct = {record for record in records if _is_short(record)}
        self._make_numbers(len(distinct))
        numbers = {record: self._number(scope, record) for record in distinct}
        words = _words(b"".join(digests), scope)
        for digest, record, word in zip(digests, records, words, strict=True):
            if record in numbers:
                at = self._oldest_place(_FIRST + (word & self._mask) * _BUCKET)
                self._buffer[at : at + _ENTRY] = digest + numbers[record]

    def drop(self, scope: int, digest: bytes) -> None:
        """Forget a record, if it is here."""
        at = self._place(digest, self._start(scope, digest))
        if at >= 0 and self._is_taken(at):
            self._buffer[at : at + _ENTRY] = _EMPTY
            self._held -= 1

    def clear(self) -> None:
        """Forget everything."""
        self._begin(self._bits)

    def _begin(self, bits: int) -> None:
        self._bits = min(bits, MAX_BITS)
        self._mask = (1 << self._bits) - 1
        self._buffer = bytearray(_FIRST + (_BUCKET << self._bits))  # takes memory where it is written to
        self._numbers = memoryview(self._buffer).cast("H")  # of a record; 0 in an empty entry
        self._oldest = bytearray(1 << self._bits)  # by bucket: the entry that is given up next
        self._held = 0
        self._by_record: dict[tuple[int, bytes], int] = {}  # scope and record -> number
        self._records: dict[int, list[bytes | None]] = {}  # scope -> by number; None: of another scope

    @property
    def _is_crowded(self) -> bool:
        return self._held >= _USUAL << self._bits

    def _make_numbers(self, count: int) -> None:
        """See that so many new records can be given numbers; at worst, forget everything."""
        if len(self._by_record) + count > _MOST_NUMBERS:
            self.clear()

    def _number(self, scope: int, record: bytes) -> bytes:
        """The number of a record, a new one where it has none, as it stands in an entry."""
        number = self._by_record.get((scope, record))
        if number is None:
            number = self._by_record[scope, record] = len(self._by_record) + 1
            records = self._records.setdefault(scope, [])
            records.extend([None] * (number - len(records)))
            records.append(record)
        return number.to_bytes(_NUMBER_BYTES, sys.byteorder)

    def _start(self, scope: int, digest: bytes) -> int:
        """Where the digest's bucket begins."""
        first = _word(scope) * 4
        return _FIRST + (int.from_bytes(digest[first : first + 4], sys.byteorder) & self._mask) * _BUCKET

    def _place(self, digest: bytes, start: int) -> int:
        """Where the digest's entry begins, -1 for nowhere."""
        at = self._buffer.find(digest, start, start + _BUCKET)
        while at >= 0 and (at - start) % _ENTRY:
            at = self._buffer.find(digest, at + 1, start + _BUCKET)
        return at

    def _oldest_place(self, start: int) -> int:
        """Where a bucket's next entry goes, in place of its oldest."""
        bucket = (start - _FIRST) // _BUCKET
        way = self._oldest[bucket]
        self._oldest[bucket] = (way + 1) % WAYS
        at = start + way * _ENTRY
        self._held += not self._is_taken(at)
        return at

    def _is_taken(self, at: int) -> bool:
        """Whether a record is kept in the entry that begins there."""
        return self._numbers[(at + DIGEST_BYTES) >> 1] != 0


def _word(scope: int) -> int:
    """Which word of a digest names its bucket: the same digest of two scopes seldom shares one."""
    return scope * _MIXER >> 29 & 7


def _words(together: bytes, scope: int) -> list[int]:
    """The word that names the bucket, of each of many digests that stand one after another."""
    return memoryview(together).cast("I")[_word(scope) :: DIGEST_BYTES // 4].tolist()


def _is_short(record: bytes) -> bool:
    return len(record) <= LONGEST_RECORD
