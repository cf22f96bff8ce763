"""The account of what left for KSN: only ever longer, each entry chained to the one before.

    ledger  number as u64 big endian, from 1 -> chain value (32 bytes), then canonical JSON
    meta    "ledger" -> how many entries (u64 big endian), the last chain value

The chain value of an entry is SHA-256(the chain value before it + its number as u64 big endian + its JSON);
before the first stand 32 zero bytes. So an entry that was changed, removed, put in or moved is found, and
with the count in `meta` also that the newest are gone. Who can write the whole file can make it all anew:
against him only a chain value helps that somebody noted elsewhere.

Nothing is ever dropped. When the file is full nothing more can be appended, and so nothing sent; the last
part of it is left to overrides and policies.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lmdb

from appliance.state.environment import MAP_BYTES, StateEnvironment, StateError, damaged

LEFT_TO_OTHERS = 512 << 20  # bytes of the file that the ledger does not use

_HEAD = b"ledger"
_HEAD_BYTES = 40
_KEY_BYTES = 8
_BEGINNING = bytes(32)
_AT_ONCE = 1000  # entries that are read in one transaction


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry. at: seconds since the epoch, as in the payload, 0 where it has none. payload: all of it."""

    number: int
    at: float
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What a look at the whole ledger found.

    entries: how many are there. problem: "", or a sentence that names the first entry that is wrong.
    last: in hexadecimal, the chain value of the last entry up to which all of them chain.
    """

    entries: int
    problem: str
    last: str


class LedgerStore:
    """The ledger of one SVM."""

    def __init__(self, environment: StateEnvironment) -> None:
        """Raises StateError where the file is open to read and there is no ledger yet."""
        self._environment = environment
        self.path = environment.path
        self._ledger_db = environment.table(b"ledger")
        self._meta_db = environment.table(b"meta")

    def append(self, payloads: Sequence[Mapping[str, Any]]) -> int:
        """Append entries, all or none, and return the number of the first.

        On the disk when this returns; from a thread, one call at a time. Raises StateError where they could
        not be written, and StateDamaged where the ledger's end is not what was written.
        """
        with self._environment.changing, self._environment.writing() as txn:
            if self._environment.used_bytes() > MAP_BYTES - LEFT_TO_OTHERS:
                raise StateError(
                    f"the ledger in {self._environment.path} is full: keep a copy of the file, and begin anew"
                )
            count, chain = self._head(txn)
            for number, payload in enumerate(payloads, count + 1):
                data = _canonical(payload)
                chain = _chained(chain, number, data)
                if not txn.put(number.to_bytes(8, "big"), chain + data, db=self._ledger_db, append=True):
                    raise damaged(self._environment.path, f"there is an entry {number} of the ledger already")
            txn.put(_HEAD, (count + len(payloads)).to_bytes(8, "big") + chain, db=self._meta_db)
        return count + 1

    def count(self) -> int:
        """How many entries were written, and so the number of the newest. Raises StateDamaged."""
        with self._environment.reading() as txn:
            return self._head(txn)[0]

    def entries(self, first: int = 1, limit: int | None = None) -> Iterator[LedgerEntry]:
        """Yield entries from a number on, `limit` at the most, also those that come meanwhile.

        Raises StateDamaged at one that cannot be read; whether they are what was written, verify() tells.
        """
        while limit is None or limit > 0:
            some = self._some(first, _AT_ONCE if limit is None else min(limit, _AT_ONCE))
            if not some:
                return
            yield from some
            first = some[-1].number + 1
            limit = None if limit is None else limit - len(some)

    def newest(self) -> Iterator[LedgerEntry]:
        """Yield all entries there are, the newest first. Raises StateDamaged at one that cannot be read."""
        after = min(self.count(), self._newest()) + 1
        while after > 1:
            first = max(1, after - _AT_ONCE)
            yield from reversed(self._some(first, after - first))
            after = first

    def verify(self) -> LedgerCheck:
        """Look at every entry, as the ledger is when this begins. May take long: for a thread."""
        with self._environment.reading() as txn:
            entries = txn.stat(db=self._ledger_db)["entries"]
            problem, chain = self._walked(txn)
        return LedgerCheck(entries, problem, chain.hex())

    def _walked(self, txn: lmdb.Transaction) -> tuple[str, bytes]:
        """Return the first problem, "" for none, and the chain value of the last entry that chains."""
        number, chain = 0, _BEGINNING
        for key, stored in txn.cursor(db=self._ledger_db):
            number, value = number + 1, bytes(stored)
            if key != number.to_bytes(8, "big"):
                return f"entry {number} is missing", chain
            if _chained(chain, number, value[32:]) != value[:32]:
                before = f" or entry {number - 1}" if number > 1 else ""
                return f"entry {number}{before} is not what was written: they do not chain", chain
            chain = value[:32]
        head = bytes(txn.get(_HEAD, db=self._meta_db) or bytes(8) + _BEGINNING)
        count = int.from_bytes(head[:8], "big")
        if number < count:
            return f"entry {number + 1} is missing: {count} were written", chain
        if number > count:
            return f"entry {count + 1} was put in: {count} were written", chain
        if head[8:] != chain:
            return f"entry {number} is not what was written: its chain value was noted otherwise", chain
        return "", chain

    def _newest(self) -> int:
        """The number of the last entry that is there, 0 for none."""
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._ledger_db)
            return int.from_bytes(cursor.key(), "big") if cursor.last() else 0

    def _head(self, txn: lmdb.Transaction) -> tuple[int, bytes]:
        head = txn.get(_HEAD, db=self._meta_db)
        if head is None:
            if txn.stat(db=self._ledger_db)["entries"]:
                raise damaged(self._environment.path, "how many entries the ledger has is gone")
            return 0, _BEGINNING
        if len(head) != _HEAD_BYTES or head[0] & 0x80:  # no ledger comes to so many entries
            raise damaged(self._environment.path, "how many entries the ledger has is no number")
        return int.from_bytes(head[:8], "big"), bytes(head[8:])

    def _some(self, first: int, limit: int) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._ledger_db)
            there = cursor.set_range(max(first, 1).to_bytes(8, "big"))
            while there and len(found) < limit:
                found.append(self._entry(bytes(cursor.key()), bytes(cursor.value())))
                there = cursor.next()
        return found

    def _entry(self, key: bytes, value: bytes) -> LedgerEntry:
        number = int.from_bytes(key, "big")
        if len(key) != _KEY_BYTES:  # else whoever reads on from here would come here again
            raise damaged(self._environment.path, f"an entry of the ledger has the number {key.hex()}")
        try:
            payload = json.loads(value[32:])
            return LedgerEntry(number, float(payload.get("at", 0)), payload)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise damaged(self._environment.path, f"entry {number} of the ledger is no JSON") from error


def _canonical(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _chained(before: bytes, number: int, data: bytes) -> bytes:
    return hashlib.sha256(before + number.to_bytes(8, "big") + data).digest()
