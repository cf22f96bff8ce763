"""Which records of the state are whose: an index, so that nobody who lists a tenant's reads those of others.

    of_tenant  tenant, a zero byte, a letter, what orders them, the key of the record -> nothing

    a  certificates of others than guests   by issued_at (milliseconds, u64 big endian), SHA-256
    c  certificates, those of guests too    the same
    e  certificates                         by ends_at (seconds, u64 big endian), SHA-256
    g  guests                               by UUID
    t  tokens                               by expires_at (seconds, u64 big endian), SHA-256 of the token
    u  tokens for one guest                 by its UUID, a zero byte, SHA-256 of the token
    b  tokens that somebody made            by his name in the audit, a zero byte, SHA-256 of the token
    d  decisions                            by number
    x  texts                                SHA-256 of each that the tenant has decided on

Each stands a second time under the tenant "", where all of them are, but for decisions and texts: these are
in order by themselves. A row is written in the transaction that writes its record. It hangs on the record
alone, so a state of schema 1, which had no index, and one of schema 3, which had no rows of who made a token,
get it from their tables.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import lmdb

from appliance.state.fields import meaning
from appliance.state.record import damaged, unpacked

TABLE = b"of_tenant"
EVERYBODY = ""

_KEY_BYTES = 32  # of a certificate, a token, a text
_NUMBER_BYTES = 8
_MOST = (1 << 64) - 1

Rows = frozenset[bytes]
NONE: Rows = frozenset()
RowsOf = Callable[[bytes, dict[str, Any]], Rows]


class Kind(Enum):
    """What of a tenant's is looked for."""

    ADMINISTRATORS = b"a"
    CERTIFICATES = b"c"
    ENDS = b"e"
    GUESTS = b"g"
    TOKENS = b"t"
    TOKENS_FOR = b"u"
    TOKENS_BY = b"b"
    DECISIONS = b"d"
    TEXTS = b"x"


_LEAST_BYTES = {  # of a row
    Kind.ADMINISTRATORS: _NUMBER_BYTES + _KEY_BYTES,
    Kind.CERTIFICATES: _NUMBER_BYTES + _KEY_BYTES,
    Kind.ENDS: _NUMBER_BYTES + _KEY_BYTES,
    Kind.GUESTS: 1,
    Kind.TOKENS: _NUMBER_BYTES + _KEY_BYTES,
    Kind.TOKENS_FOR: _KEY_BYTES,
    Kind.TOKENS_BY: _KEY_BYTES,
    Kind.DECISIONS: _NUMBER_BYTES,
    Kind.TEXTS: _KEY_BYTES,
}


def certificate_rows(sha256: bytes, fields: dict[str, Any]) -> Rows:
    """Where a certificate stands."""
    tenant, is_guest = _whose(fields["holder"])
    issued, ends = _number(fields["issued_at"] * 1000), _number(fields["ends_at"])
    rows = _everywhere(tenant, Kind.CERTIFICATES, issued + sha256) | _everywhere(
        tenant, Kind.ENDS, ends + sha256
    )
    return rows if is_guest else rows | _everywhere(tenant, Kind.ADMINISTRATORS, issued + sha256)


def guest_rows(uuid: bytes, fields: dict[str, Any]) -> Rows:
    """Where a guest stands."""
    return _everywhere(fields["tenant"], Kind.GUESTS, uuid)


def token_rows(digest: bytes, fields: dict[str, Any]) -> Rows:
    """Where a token stands."""
    tenant, uuid = fields["tenant"], fields["uuid"].encode()
    rows = _everywhere(tenant, Kind.TOKENS, _number(fields["expires_at"]) + digest)
    rows |= _everywhere(tenant, Kind.TOKENS_BY, fields["author"].encode() + b"\0" + digest)
    return rows | _everywhere(tenant, Kind.TOKENS_FOR, uuid + b"\0" + digest) if uuid else rows


def decision_rows(number: bytes, fields: dict[str, Any]) -> Rows:
    """Where a decision stands, and the text that it is about."""
    tenant = fields["tenant"]
    rows = {_part(tenant, Kind.DECISIONS) + number}
    if text := fields.get("sha256"):
        rows.add(_part(tenant, Kind.TEXTS) + bytes.fromhex(text))
    return frozenset(rows)


class OfTenant:
    """The index within transactions of its file."""

    def __init__(self, table: Any, path: Path) -> None:
        """table: the handle of `of_tenant`. path: of its file."""
        self._table = table
        self._path = path

    def put(self, txn: lmdb.Transaction, old: Rows, new: Rows) -> None:
        """Have a record stand where it is to stand now, and nowhere else."""
        for row in old - new:
            txn.delete(row, db=self._table)
        for row in new - old:
            txn.put(row, b"", db=self._table)

    def upwards(
        self, txn: lmdb.Transaction, tenant: str, kind: Kind, beginning: bytes = b"", after: bytes = b""
    ) -> Iterator[bytes]:
        """Yield what stands there and begins so, without tenant and letter; only what comes after a row.

        Raises StateDamaged.
        """
        part, cursor = _part(tenant, kind), txn.cursor(db=self._table)
        there = cursor.set_range(part + (after or beginning))
        if there and after and bytes(cursor.key()) == part + after:
            there = cursor.next()
        while there and (key := bytes(cursor.key())).startswith(part + beginning):
            yield self._row(key[len(part) :], kind)
            there = cursor.next()

    def downwards(
        self, txn: lmdb.Transaction, tenant: str, kind: Kind, before: bytes = b""
    ) -> Iterator[bytes]:
        """Yield what stands there, the last first; only what comes before a row. Raises StateDamaged."""
        part, cursor = _part(tenant, kind), txn.cursor(db=self._table)
        beyond = part + before if before else part[:-1] + bytes([part[-1] + 1])
        there = cursor.prev() if cursor.set_range(beyond) else cursor.last()
        while there and (key := bytes(cursor.key())).startswith(part):
            yield self._row(key[len(part) :], kind)
            there = cursor.prev()

    def _row(self, row: bytes, kind: Kind) -> bytes:
        """A row that is long enough to name a record."""
        if len(row) < _LEAST_BYTES[kind]:
            raise damaged(self._path, f"a row of {kind.name.lower()} in its index has {len(row)} bytes")
        return row


def key_in(row: bytes) -> bytes:
    """The key of the certificate or token that a row is of."""
    return row[-_KEY_BYTES:]


def time_in(row: bytes) -> int:
    """What a row with a time is ordered by."""
    return int.from_bytes(row[:_NUMBER_BYTES], "big")


def index_all(env: lmdb.Environment, txn: lmdb.Transaction) -> None:
    """Schemas 2 and 4: each row of the index is there."""
    path, table = Path(env.path()), env.open_db(TABLE, txn=txn)
    for row in rows_of_all(env, txn, path):
        txn.put(row, b"", db=table)


def rows_of_all(env: lmdb.Environment, txn: lmdb.Transaction, path: Path) -> Iterable[bytes]:
    """Yield each row that the tables ask for. path: of their file. Raises StateDamaged."""
    for name, rows in _TABLES.items():
        for key, data in txn.cursor(db=env.open_db(name, txn=txn)):
            yield from rows_of(rows, bytes(key), data, path)


def rows_of(rows: RowsOf, key: bytes, data: bytes | memoryview | None, path: Path) -> Rows:
    """Where a record stands; nowhere where there is none. Raises StateDamaged."""
    if data is None:
        return NONE
    fields = unpacked(data, path)
    with meaning(path, "a record of a tenant"):
        return rows(key, fields)


_TABLES: dict[bytes, RowsOf] = {
    b"certificates": certificate_rows,
    b"guests": guest_rows,
    b"tokens": token_rows,
    b"decisions": decision_rows,
}


def _whose(holder: str) -> tuple[str, bool]:
    """Which tenant's the holder of a certificate is, "" for none, and whether it is a guest: of its URI."""
    kind, *names = holder.rsplit("://", maxsplit=1)[-1].split("/")
    is_guest = kind == "guest"
    return (names[-2] if len(names) == (2 if is_guest else 3) else ""), is_guest


def _everywhere(tenant: str, kind: Kind, row: bytes) -> Rows:
    return frozenset({_part(tenant, kind) + row, _part(EVERYBODY, kind) + row})


def _part(tenant: str, kind: Kind) -> bytes:
    return tenant.encode() + b"\0" + kind.value


def _number(value: float) -> bytes:
    return max(0, min(int(value), _MOST)).to_bytes(_NUMBER_BYTES, "big")
