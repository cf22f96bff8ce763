"""Which entries of the audit are which tenant's, and how many there are, without counting them.

    audited  tenant, a zero byte, number of the entry as u64 big endian -> its place among the tenant's

A tenant's entries have places one after another, u64 big endian too. The newest is entered and the oldest
goes, of all entries and so of each tenant's: how many there are follows from the first and the last of them.
In a state of schema 2 they had no places.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import lmdb

from appliance.state.fields import numbered

TABLE = b"audited"

_NUMBER_BYTES = 8


class Audited:
    """The rows within transactions of their file. number: of an entry, 8 bytes."""

    def __init__(self, table: Any, path: Path) -> None:
        """table: the handle of `audited`. path: of its file, for what is said of damage."""
        self._table, self._path = table, path

    def enter(self, txn: lmdb.Transaction, tenant: str, number: bytes) -> None:
        """Enter a tenant's newest entry."""
        last = self._place(txn, next(self.newest(txn, tenant), None), tenant)
        txn.put(_row(tenant, number), _place(last + 1), db=self._table)

    def drop(self, txn: lmdb.Transaction, tenant: str, number: bytes) -> None:
        """Forget a tenant's oldest entry."""
        txn.delete(_row(tenant, number), db=self._table)

    def count(self, txn: lmdb.Transaction, tenant: str) -> int:
        """How many a tenant has."""
        first, last = next(self.oldest(txn, tenant), None), next(self.newest(txn, tenant), None)
        if first is None:
            return 0
        return self._place(txn, last, tenant) - self._place(txn, first, tenant) + 1

    def count_all(self, txn: lmdb.Transaction) -> int:
        """How many all tenants have."""
        return int(txn.stat(db=self._table)["entries"])

    def oldest(self, txn: lmdb.Transaction, tenant: str) -> Iterator[bytes]:
        """The numbers of a tenant's entries, the oldest first."""
        cursor, first = txn.cursor(db=self._table), _row(tenant, b"")
        return self._numbers(keys_from(cursor, cursor.set_range(first), cursor.next), first)

    def newest(self, txn: lmdb.Transaction, tenant: str, before: bytes = b"") -> Iterator[bytes]:
        """The same, the newest first, below a number; b"": all."""
        cursor, first = txn.cursor(db=self._table), _row(tenant, b"")
        beyond = cursor.set_range(first + (before or b"\xff" * _NUMBER_BYTES))
        keys = keys_from(cursor, cursor.prev() if beyond else cursor.last(), cursor.prev)
        return self._numbers(keys, first)

    def _numbers(self, keys: Iterator[bytes], first: bytes) -> Iterator[bytes]:
        rows = takewhile(lambda key: key.startswith(first), keys)
        return (numbered(key[len(first) :], self._path) for key in rows)

    def _place(self, txn: lmdb.Transaction, number: bytes | None, tenant: str) -> int:
        if number is None:
            return 0
        place = txn.get(_row(tenant, number), db=self._table) or b""
        return int.from_bytes(numbered(bytes(place), self._path), "big")


def give_places(env: lmdb.Environment, txn: lmdb.Transaction) -> None:
    """Schema 3: each row has its place."""
    table, tenant, place = env.open_db(TABLE, txn=txn), b"", 0
    cursor = txn.cursor(db=table)
    for key in keys_from(cursor, cursor.first(), cursor.next):
        place = place + 1 if key[:-_NUMBER_BYTES] == tenant else 1
        tenant = key[:-_NUMBER_BYTES]
        cursor.put(key, _place(place))


def keys_from(cursor: Any, there: bool, move: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the key that a cursor is at, if it is at one, and those that it comes to."""
    while there:
        yield bytes(cursor.key())
        there = move()


def _row(tenant: str, number: bytes) -> bytes:
    return tenant.encode() + b"\0" + number


def _place(place: int) -> bytes:
    return place.to_bytes(_NUMBER_BYTES, "big")
