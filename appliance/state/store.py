"""Overrides and their audit, on the disk before a call returns.

What changes something waits for the disk and may be called from a thread, one call at a time; the
rest reads, without waiting, on the loop.

    overrides  digest, of one that counts for everybody; scope u32 big endian, digest, of a tenant's own
               -> JSON {allow, reason, author, set_at, expires_at}

Every value ends with an xxh3_64 of the rest. The audit is in `audit`.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path

import lmdb

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.override import Override
from appliance.domain.tenants import EVERYBODY, Realm
from appliance.domain.times import utc
from appliance.state.audit import Audit, AuditEntry
from appliance.state.audited import keys_from
from appliance.state.environment import FILE, StateDamaged, StateEnvironment, StateError, packed, unpacked
from appliance.state.fields import made_of, meaning

__all__ = ["FILE", "AuditEntry", "StateDamaged", "StateError", "StateStore"]

MAX_OVERRIDES = 100_000  # of the provider's, and as many of all tenants together
MAX_OVERRIDES_OF_TENANT = 10_000
FIRST_OVERRIDES_OF_TENANT = 16  # find room beside, whatever other tenants have

_FULL = "{:,} overrides are set, which is all: clear some, or use a hash list"
_TENANT_FULL = "{:,} overrides of tenants are set, which is all: clear some"


class StateStore:
    """Overrides and audit of one SVM. environment: the file, which the other stores of the state share."""

    def __init__(self, environment: StateEnvironment, clock: Callable[[], float], audit_entries: int) -> None:
        """clock: seconds since the epoch. audit_entries: how many entries of the audit are kept."""
        self.environment = environment
        self._clock = clock
        environment.audit_entries = audit_entries
        self._changing = environment.changing
        self._overrides_db = environment.table(b"overrides")
        self._audit = Audit(environment)

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
                override = self._read(data)
                if override.in_force(now):
                    found[_scope_and_digest(bytes(key))] = override
        return found

    def set_override(self, digest: bytes, override: Override, actor: str, realm: Realm = EVERYBODY) -> None:
        """Keep an override, and who set it. On the disk when this returns; raises StateError."""
        action, key = "allow" if override.allow else "block", _key(realm.scope, digest)
        with self._changing, self.environment.writing() as txn:
            before = self._override(txn, key)
            if before is None:
                self._make_room(txn, realm)
            txn.put(key, packed(asdict(override)), db=self._overrides_db)
            entry = AuditEntry(
                self._clock(),
                actor,
                action,
                digest,
                override.reason,
                override.expires_at,
                realm.tenant,
                before=_words(before),
                after=_words(override),
            )
            self._audit.append(txn, entry)

    def clear_override(self, digest: bytes, reason: str, actor: str, realm: Realm = EVERYBODY) -> bool:
        """Take an override back, and note who did; whether there was one. Raises StateError."""
        with self._changing, self.environment.writing() as txn:
            key = _key(realm.scope, digest)
            before = self._override(txn, key)
            txn.delete(key, db=self._overrides_db)
            entry = AuditEntry(
                self._clock(), actor, "clear", digest, reason, tenant=realm.tenant, before=_words(before)
            )
            self._audit.append(txn, entry)
        return before is not None

    def audit(self, limit: int, tenant: str = "") -> Iterator[AuditEntry]:
        """The newest `limit` changes, the newest first; of a tenant's, or ("") all. Raises StateDamaged."""
        return self._audit.newest(limit, tenant)

    def note(self, entry: AuditEntry) -> None:
        """Enter a change that the state has nowhere else. On the disk when it returns; raises StateError."""
        with self._changing, self.environment.writing() as txn:
            self._audit.append(txn, entry)

    @property
    def audit_dropped(self) -> int:
        """Entries of the audit that went since the file was opened."""
        return self.environment.audit_dropped

    def close(self) -> None:
        """Close the file for all stores, once nothing is being written; everything is on the disk then."""
        self.environment.close()

    def _override(self, txn: lmdb.Transaction, key: bytes) -> Override | None:
        data = txn.get(key, db=self._overrides_db)
        return None if data is None else self._read(data)

    def _read(self, data: bytes | memoryview) -> Override:
        fields = unpacked(data, self.environment.path)
        with meaning(self.environment.path, "an override"):
            return made_of(Override, fields)

    def _make_room(self, txn: lmdb.Transaction, realm: Realm) -> None:
        """See that one more override can be set; raises StateError."""
        if self._is_full(txn, realm):
            self._drop_ended(txn)
            if why := self._is_full(txn, realm):
                raise StateError(why)

    def _is_full(self, txn: lmdb.Transaction, realm: Realm) -> str:
        """Why no more overrides can be set, "" where they can."""
        mine = 0 if realm.is_everybody else self._set_in(txn, realm.scope)
        if mine >= MAX_OVERRIDES_OF_TENANT:
            return _FULL.format(MAX_OVERRIDES_OF_TENANT)
        entries = txn.stat(db=self._overrides_db)["entries"]
        if entries < MAX_OVERRIDES:
            return ""
        keys = txn.cursor(db=self._overrides_db).iternext(values=False)
        of_everybody = sum(len(key) == DIGEST_BYTES for key in keys)
        if realm.is_everybody:
            return _FULL.format(MAX_OVERRIDES) if of_everybody >= MAX_OVERRIDES else ""
        is_full = entries - of_everybody >= MAX_OVERRIDES and mine >= FIRST_OVERRIDES_OF_TENANT
        return _TENANT_FULL.format(MAX_OVERRIDES) if is_full else ""

    def _set_in(self, txn: lmdb.Transaction, scope: int) -> int:
        """How many overrides a tenant has."""
        cursor, first = txn.cursor(db=self._overrides_db), _key(scope, b"")
        keys = keys_from(cursor, cursor.set_range(first), cursor.next)
        mine = takewhile(lambda key: key.startswith(first), keys)
        return sum(len(key) == len(first) + DIGEST_BYTES for key in mine)

    def _drop_ended(self, txn: lmdb.Transaction) -> None:
        now = self._clock()
        for key, data in list(txn.cursor(db=self._overrides_db)):
            if not self._read(data).in_force(now):
                txn.delete(key, db=self._overrides_db)


def _key(scope: int, digest: bytes) -> bytes:
    return digest if scope == PUBLIC_SCOPE else scope.to_bytes(4, "big") + digest


def _scope_and_digest(key: bytes) -> tuple[int, bytes]:
    return int.from_bytes(key[:-DIGEST_BYTES], "big"), key[-DIGEST_BYTES:]


def _words(override: Override | None) -> str:
    """An override in words, "" for none."""
    if override is None:
        return ""
    end = f" until {utc(override.expires_at)}" if override.expires_at else ""
    word = "allowed" if override.allow else "blocked"
    return f"{word}{end} by {override.author}: {override.reason}"
