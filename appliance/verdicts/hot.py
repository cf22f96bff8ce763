"""The records of late in memory: a table of bounded size in front of LMDB, exact and lossy.

LMDB's tree costs a lookup several cache misses in a row, and py-lmdb as much again in Python. Here a digest
names one bucket, and numpy looks for all digests of a batch at once.

A bucket is WAYS entries. An entry is 34 bytes in two arrays: its tag, which is the first two bytes of the
digest and stands beside the other tags of the bucket; and the record's number with the other 30 bytes of
the digest. A bucket is searched by tag, and what has the tag is compared whole: what the table finds
is what was kept. What it does not find may still be in LMDB; a full bucket gives up an entry for a new
one. Only short records are kept: there are few different ones, while names of threats and members are
for guests to choose. The same digest may lie in a bucket for two scopes: a record's number is of one scope.
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.domain.digest import DIGEST_BYTES
from appliance.verdicts.judged import MOST_NUMBERS, NOT_YET, Judged

WAYS: Final = 40
MIN_BITS: Final = 6
MAX_BITS: Final = 15  # 2**15 buckets of 1,360 bytes: 42.5 MiB, for 1.3 million records
LONGEST_RECORD: Final = 64

_TAG_BYTES: Final = 2  # and those of a record's number
_PARTS: Final = DIGEST_BYTES // _TAG_BYTES
_FREE: Final = 0  # the tag of a free entry: a digest that begins with two zero bytes is not kept
_USUAL: Final = 32  # entries of a bucket, on average, above which the table is too small
_MOST: Final = 38  # and above which there is hardly a free one, however many more are kept
_GROWTH_BITS: Final = 2
_MIXER: Final = 0x9E3779B1  # 2**32 over the golden ratio: spreads the small numbers of scopes
_WORD_BITS: Final = 32  # of a digest, the second of which names the bucket
_WORD_MASK: Final = (1 << _WORD_BITS) - 1
_TAG_AND_WORD: Final = struct.Struct("<H2xI")
_PART, _WORD, _LONG_WORD = np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8")
_FEW: Final = 7  # digests that are looked for one by one, which is quicker than numpy up to here

Parts = NDArray[np.uint16]


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
        return self._bits == MAX_BITS and self._held >= _MOST << MAX_BITS

    def find(self, scope: int, digests: Sequence[bytes]) -> list[bytes | None]:
        """The record of each digest, in order; None where the table does not know."""
        if len(digests) > _FEW:
            return list(map(self._records.__getitem__, self._numbers(scope, digests).tolist()))
        return [self._records[self._look_up(scope, digest)[1]] for digest in digests]

    def judge(self, scope: int, digests: Sequence[bytes], judged: Judged) -> tuple[list[int], list[int]]:
        """What `judged` says of each digest's record, in order, and the indexes of those not known here."""
        if len(digests) <= _FEW:
            few = [self._look_up(scope, digest)[1] for digest in digests]
            missing = [] if all(few) else [index for index, number in enumerate(few) if not number]
            return [judged[self._records[number]] for number in few], missing
        numbers = self._numbers(scope, digests)
        by_number = np.frombuffer(judged.by_number(self._records), np.uint8)
        judgements = by_number.take(numbers)
        new = numbers[judgements == NOT_YET]
        if len(new):
            judged.judge(np.unique(new).tolist())
            judgements = by_number.take(numbers)
        return judgements.tolist(), np.flatnonzero(numbers == 0).tolist()

    def keep(self, scope: int, digest: bytes, record: bytes) -> None:
        """Take over a record. A long one is not kept, and drops what was here for the digest."""
        if not _fits(digest, record):
            self.drop(scope, digest)
            return
        if self._held >= _USUAL << self._bits and self._bits < MAX_BITS:
            self._grow()
        self._make_numbers(1)
        tag, bucket = self._tag_and_bucket(scope, digest)
        if tag == _FREE:
            return
        place, _ = self._look_up(scope, digest)
        if place < 0:
            place = self._new_place(bucket)
        number = self._number(scope, record).to_bytes(_TAG_BYTES, "little")
        self._tags.flat[place] = tag
        self._entries[place] = np.frombuffer(number + digest[_TAG_BYTES:], _PART)

    def fill(self, scope: int, digests: Sequence[bytes], records: Sequence[bytes]) -> None:
        """Take over digests, none of which is here yet, and their records: quicker than `keep` for each.

        What comes when its bucket is full is not kept.
        """
        pairs = [pair for pair in zip(digests, records, strict=True) if _fits(*pair)]
        self._make_numbers(len({record for _, record in pairs}))
        entries = _in_parts(b"".join([digest for digest, _ in pairs])).copy()
        tags = entries[:, 0].copy()
        entries[:, 0] = [self._number(scope, record) for _, record in pairs]
        buckets = self._buckets(np.array([scope], np.uint32), entries)
        left = np.flatnonzero(tags != _FREE)
        for _ in range(WAYS):  # one for each bucket at a time
            _, first = np.unique(buckets[left], return_index=True)
            some = left[first]
            free = self._tags.take(buckets[some], axis=0) == _FREE
            ways = free.argmax(axis=1)
            some, ways = some[free.any(axis=1)], ways[free.any(axis=1)]
            self._tags[buckets[some], ways] = tags[some]
            self._entries[buckets[some] * WAYS + ways] = entries[some]
            self._held += len(some)
            left = np.delete(left, first)
            if not len(left):
                break

    def drop(self, scope: int, digest: bytes) -> None:
        """Forget a record, if it is here."""
        place, _ = self._look_up(scope, digest)
        if place >= 0:
            self._tags.flat[place] = _FREE
            self._entries[place] = 0
            self._held -= 1

    def clear(self) -> None:
        """Forget everything."""
        self._begin(self._bits)

    def _begin(self, bits: int) -> None:
        self._make_buckets(min(bits, MAX_BITS))
        self._held = 0
        self._turn = 0  # the way that a full bucket gives up next
        self._by_record: dict[tuple[int, bytes], int] = {}  # scope and record -> number
        self._scopes = np.zeros(MOST_NUMBERS, np.uint32)  # by number
        self._scope_view = self._scopes.data
        self._records: list[bytes | None] = [None]  # by number

    def _make_buckets(self, bits: int) -> None:
        self._bits = bits
        # Arrays of zeros take memory where they are written to.
        self._tags = np.zeros((1 << bits, WAYS), _PART)
        self._entries = np.zeros((WAYS << bits, _PARTS), _PART)
        self._tag_view = self._tags.data.cast("B")
        self._entry_view = self._entries.data.cast("B")

    def _grow(self) -> None:
        """Make more buckets: what was in one goes to some that were none, so each entry keeps its way."""
        taken = np.flatnonzero(self._tags)
        tags, entries, ways = self._tags.take(taken), self._entries.take(taken, axis=0), taken % WAYS
        self._make_buckets(min(self._bits + _GROWTH_BITS, MAX_BITS))
        buckets = self._buckets(self._scopes.take(entries[:, 0]), entries)
        self._tags[buckets, ways] = tags
        self._entries[buckets * WAYS + ways] = entries

    def _numbers(self, scope: int, digests: Sequence[bytes]) -> NDArray[np.uint16]:
        """The number of each digest's record, in order; 0 where the table does not know.

        Takes as long for digests that somebody chose as for any others.
        """
        together = b"".join(digests)
        if len(together) != DIGEST_BYTES * len(digests) or set(map(len, digests)) != {DIGEST_BYTES}:
            return np.zeros(len(digests), np.uint16)
        asked = _in_parts(together)
        buckets = self._buckets(np.array([scope], np.uint32), asked)
        # The first way with the digest's tag; where there is none it is way 0, whose tag differs.
        ways = (self._tags.take(buckets, axis=0) == asked[:, :1]).argmax(axis=1)
        places = buckets * WAYS + ways
        entries = self._entries.take(places, axis=0)
        numbers = entries[:, 0]
        found = self._tags.take(places) == asked[:, 0]
        found &= _equal_but_for_tag(entries, asked)
        found &= self._scopes.take(numbers) == scope
        return np.where(found, numbers, 0)

    def _make_numbers(self, count: int) -> None:
        """See that so many new records can be given numbers; at worst, forget everything."""
        if len(self._records) + count > MOST_NUMBERS:
            self.clear()

    def _number(self, scope: int, record: bytes) -> int:
        """The number of a record, never 0; a new one where it has none."""
        number = self._by_record.get((scope, record))
        if number is None:
            number = self._by_record[scope, record] = len(self._records)
            self._records.append(record)
            self._scopes[number] = scope
        return number

    def _buckets(self, scopes: NDArray[np.uint32], digests: Parts) -> NDArray[np.intp]:
        """The number of each digest's bucket. scopes: of each, or one for all. Tags are not looked at."""
        # An odd factor for each scope: the same digest of two scopes seldom shares a bucket.
        mixed = digests.view(_WORD)[:, 1] * (scopes * np.uint32(_MIXER) | np.uint32(1))
        return (mixed >> np.uint32(_WORD_BITS - self._bits)).astype(np.intp)

    def _tag_and_bucket(self, scope: int, digest: bytes) -> tuple[int, int]:
        """The tag of one digest, and the number of its bucket."""
        tag, word = _TAG_AND_WORD.unpack_from(digest)
        return tag, (word * (scope * _MIXER | 1) & _WORD_MASK) >> _WORD_BITS - self._bits

    def _look_up(self, scope: int, digest: bytes) -> tuple[int, int]:
        """Where the digest's entry is, and its record's number; -1 and 0 for nowhere.

        A digest of a wrong length is nowhere. In one piece, since each open of a file in a guest waits for
        it; by memoryview, since a call of numpy costs more than all that there is to do here.
        """
        if len(digest) != DIGEST_BYTES:
            return -1, 0
        tag, bucket = self._tag_and_bucket(scope, digest)
        if tag == _FREE:
            return -1, 0
        start = bucket * WAYS * _TAG_BYTES
        tags = self._tag_view[start : start + WAYS * _TAG_BYTES].tobytes()
        at = tags.find(digest[:_TAG_BYTES])
        while at >= 0:
            if at % _TAG_BYTES == 0:
                place = bucket * WAYS + at // _TAG_BYTES
                entry = self._entry_view[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES].tobytes()
                if entry[_TAG_BYTES:] == digest[_TAG_BYTES:]:
                    number = int.from_bytes(entry[:_TAG_BYTES], "little")
                    if self._scope_view[number] == scope:
                        return place, number
            at = tags.find(digest[:_TAG_BYTES], at + 1)
        return -1, 0

    def _new_place(self, bucket: int) -> int:
        """Where a new entry of a bucket goes: a free place, or that of another entry."""
        tags: list[int] = self._tags[bucket].tolist()
        if _FREE in tags:
            self._held += 1
            return bucket * WAYS + tags.index(_FREE)
        way, self._turn = self._turn, (self._turn + 1) % WAYS
        return bucket * WAYS + way


def _in_parts(together: bytes) -> Parts:
    """Digests that stand one after another, a row for each."""
    return np.frombuffer(together, _PART).reshape(-1, _PARTS)


def _equal_but_for_tag(entries: Parts, asked: Parts) -> NDArray[np.bool_]:
    """Whether each digest equals that of its entry, in which a number stands in place of the tag."""
    differ = (entries ^ asked).view(_LONG_WORD)
    equal: NDArray[np.bool_] = (
        differ[:, 0] >> np.uint64(16) | differ[:, 1] | differ[:, 2] | differ[:, 3]
    ) == 0
    return equal


def _fits(digest: bytes, record: bytes) -> bool:
    return len(record) <= LONGEST_RECORD and len(digest) == DIGEST_BYTES
