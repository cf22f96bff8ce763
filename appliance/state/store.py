"""Overrides and their audit, on the disk before a call returns.

What changes something waits for the disk and may be called from a thread, one call at a time; the
rest reads, without waiting, on the loop.

    overrides  digest, of one that counts for everybody; scope u32 big endian, digest, of a tenant's own
               -> JSON {allow, reason, author, set_at, expires_at}
    audit      number as u64 big endian -> JSON {at, actor, action, digest, reason, expires_at, tenant}
    audited    tenant, a zero byte, number as u64 big endian -> nothing: which entries of the audit are its

Only so many entries of the audit are kept, and of what counts for one tenant a tenth of that: each new one
makes the oldest go. An entry without a tenant is of a word that counts for everybody, as are all of
earlier versions. Every value but those of `audited` ends with an xxh3_64 of the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import lmdb

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.override import Override
from appliance.domain.tenants import EVERYBODY, Realm
from appliance.state.environment import FILE, StateDamaged, StateEnvironment, StateError, packed, unpacked

__all__ = ["FILE", "AuditEntry", "StateDamaged", "StateError", "StateStore"]

MAX_OVERRIDES = 100_000  # of the provider's, and as many of all tenants together
MAX_OVERRIDES_OF_TENANT = 10_000
TENANT_PART = 10  # one in so many entries of the audit may be of one tenant
DROPPED_AT_ONCE = 100  # entries of the audit that may go with one change, when the bound was lowered

_FULL = "{:,} overrides are set, which is all: clear some, or use a hash list"
_TENANT_FULL = "{:,} overrides of tenants are set, which is all: clear some"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change by an administrator. at, expires_at: seconds since the epoch; 0: no end.

    action: "allow", "block" or "clear". actor: who, by the connection. tenant: for which it counts, "" for
    everybody.
    """

    at: float
    actor: str
    action: str
    digest: bytes
    reason: str
    expires_at: int = 0
    tenant: str = ""


class StateStore:
    """Overrides and audit of one SVM. audit_dropped: entries of the audit that went since it was opened.

    environment: the file, which the other stores of the state share.
    """

    def __init__(self, environment: StateEnvironment, clock: Callable[[], float], audit_entries: int) -> None:
        """clock: seconds since the epoch. audit_entries: how many entries of the audit are kept."""
        self.environment = environment
        self.audit_dropped = 0
        self._clock = clock
        self._audit_entries = audit_entries
        self._changing = environment.changing
        self._overrides_db = environment.table(b"overrides")
        self._audit_db = environment.table(b"audit")
        self._audited_db = environment.table(b"audited")

    @classmethod
    def open(cls, directory: Path, clock: Callable[[], float], audit_entries: int) -> "StateStore":
        """Open the state of a directory, or begin one; raises as StateEnvironment.open() does."""
        environment = StateEnvironment.open(directory)
        try:
            return cls(environment, clock, audit_entries)
        except BaseException:
            environment.close()
            raise

    def overrides(self) -> dict[tuple[int, bytes], Override]:
        """Every override that has not ended, by scope and digest. Raises StateDamaged."""
        now, found = self._clock(), {}
        with self.environment.reading() as txn:
            for key, data in txn.cursor(db=self._overrides_db):
                override = Override(**unpacked(data, self.environment.path))
                if override.in_force(now):
                    found[_scope_and_digest(bytes(key))] = override
        return found

    def set_override(self, digest: bytes, override: Override, actor: str, realm: Realm = EVERYBODY) -> None:
        """Keep an override, and who set it. On the disk when this returns; raises StateError."""
        action, key = "allow" if override.allow else "block", _key(realm.scope, digest)
        end = override.expires_at
        entry = AuditEntry(self._clock(), actor, action, digest, override.reason, end, realm.tenant)
        with self._changing, self.environment.writing() as txn:
            if txn.get(key, db=self._overrides_db) is None:
                self._make_room(txn, realm)
            txn.put(key, packed(asdict(override)), db=self._overrides_db)
            dropped = self._append(txn, entry)
        self.audit_dropped += dropped

    def clear_override(self, digest: bytes, reason: str, actor: str, realm: Realm = EVERYBODY) -> bool:
        """Take an override back, and note who did; whether there was one. Raises StateError."""
        entry = AuditEntry(self._clock(), actor, "clear", digest, reason, tenant=realm.tenant)
        with self._changing, self.environment.writing() as txn:
            found = bool(txn.delete(_key(realm.scope, digest), db=self._overrides_db))
            dropped = self._append(txn, entry)
        self.audit_dropped += dropped
        return found

    def audit(self, limit: int, tenant: str = "") -> list[AuditEntry]:
        """The newest `limit` changes, the newest first; of a tenant's, or ("") all. Raises StateDamaged."""
        with self.environment.reading() as txn:
            if tenant:
                numbers = self._numbers(txn, tenant, newest_first=True)
                found = ((number, txn.get(number, db=self._audit_db)) for number in numbers)
                return [self._entry(data) for _, data in islice(found, limit) if data is not None]
            cursor = txn.cursor(db=self._audit_db)
            newest = cursor.iterprev() if cursor.last() else iter(())
            return [self._entry(data) for _number, data in islice(newest, limit)]

    def close(self) -> None:
        """Close the file for all stores, once nothing is being written; everything is on the disk then."""
        self.environment.close()

    def _entry(self, data: bytes | memoryview) -> AuditEntry:
        fields = unpacked(data, self.environment.path)
        return AuditEntry(**{**fields, "digest": bytes.fromhex(fields["digest"])})

    def _append(self, txn: lmdb.Transaction, entry: AuditEntry) -> int:
        """Enter a change; how many old ones had to go for it."""
        cursor = txn.cursor(db=self._audit_db)
        number = (int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 1).to_bytes(8, "big")
        fields = {**asdict(entry), "digest": entry.digest.hex()}
        txn.put(number, packed(fields), db=self._audit_db, append=True)
        dropped = 0
        if entry.tenant:
            txn.put(_audited(entry.tenant, number), b"", db=self._audited_db)
            dropped += self._drop_of_tenant(txn, entry.tenant)
        over = max(0, txn.stat(db=self._audit_db)["entries"] - self._audit_entries)
        for oldest in list(islice(txn.cursor(db=self._audit_db), min(over, DROPPED_AT_ONCE))):
            self._drop(txn, bytes(oldest[0]), self._entry(oldest[1]).tenant)
            dropped += 1
        return dropped

    def _drop_of_tenant(self, txn: lmdb.Transaction, tenant: str) -> int:
        """Have a tenant's oldest entries go where it has too many; how many went."""
        mine = list(self._numbers(txn, tenant))
        over = max(0, len(mine) - max(1, self._audit_entries // TENANT_PART))
        for number in mine[: min(over, DROPPED_AT_ONCE)]:
            self._drop(txn, number, tenant)
        return min(over, DROPPED_AT_ONCE)

    def _drop(self, txn: lmdb.Transaction, number: bytes, tenant: str) -> None:
        txn.delete(number, db=self._audit_db)
        if tenant:
            txn.delete(_audited(tenant, number), db=self._audited_db)

    def _numbers(self, txn: lmdb.Transaction, tenant: str, newest_first: bool = False) -> Iterator[bytes]:
        """The numbers of a tenant's entries, in order."""
        first, cursor = _audited(tenant, b""), txn.cursor(db=self._audited_db)
        if newest_first:
            beyond = cursor.set_range(_audited(tenant, b"\xff" * 8))
            keys = _keys(cursor, cursor.prev() if beyond else cursor.last(), cursor.prev)
        else:
            keys = _keys(cursor, cursor.set_range(first), cursor.next)
        for key in takewhile(lambda key: key.startswith(first), keys):
            yield key[len(first) :]

    def _make_room(self, txn: lmdb.Transaction, realm: Realm) -> None:
        """See that one more override can be set; raises StateError."""
        if self._is_full(txn, realm):
            self._drop_ended(txn)
            if why := self._is_full(txn, realm):
                raise StateError(why)

    def _is_full(self, txn: lmdb.Transaction, realm: Realm) -> str:
        """Why no more overrides can be set, "" where they can."""
        if not realm.is_everybody and self._set_in(txn, realm.scope) >= MAX_OVERRIDES_OF_TENANT:
            return _FULL.format(MAX_OVERRIDES_OF_TENANT)
        entries = txn.stat(db=self._overrides_db)["entries"]
        if entries < MAX_OVERRIDES:
            return ""
        keys = txn.cursor(db=self._overrides_db).iternext(values=False)
        of_everybody = sum(len(key) == DIGEST_BYTES for key in keys)
        if realm.is_everybody:
            return _FULL.format(MAX_OVERRIDES) if of_everybody >= MAX_OVERRIDES else ""
        return _TENANT_FULL.format(MAX_OVERRIDES) if entries - of_everybody >= MAX_OVERRIDES else ""

    def _set_in(self, txn: lmdb.Transaction, scope: int) -> int:
        """How many overrides a tenant has."""
        cursor, first = txn.cursor(db=self._overrides_db), _key(scope, b"")
        keys = _keys(cursor, cursor.set_range(first), cursor.next)
        mine = takewhile(lambda key: key.startswith(first), keys)
        return sum(len(key) == len(first) + DIGEST_BYTES for key in mine)

    def _drop_ended(self, txn: lmdb.Transaction) -> None:
        now = self._clock()
        for key, data in list(txn.cursor(db=self._overrides_db)):
            if not Override(**unpacked(data, self.environment.path)).in_force(now):
                txn.delete(key, db=self._overrides_db)


def _key(scope: int, digest: bytes) -> bytes:
    return digest if scope == PUBLIC_SCOPE else scope.to_bytes(4, "big") + digest


def _scope_and_digest(key: bytes) -> tuple[int, bytes]:
    return int.from_bytes(key[:-DIGEST_BYTES], "big"), key[-DIGEST_BYTES:]


def _audited(tenant: str, number: bytes) -> bytes:
    return tenant.encode() + b"\0" + number


def _keys(cursor: Any, there: bool, move: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the key that a cursor is at, if it is at one, and those that it comes to."""
    while there:
        yield bytes(cursor.key())
        there = move()
