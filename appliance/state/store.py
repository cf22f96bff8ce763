"""Overrides and their audit, on the disk before a call returns.

What changes something waits for the disk and may be called from a thread, one call at a time; the
rest reads, without waiting, on the loop.

    overrides  digest -> JSON {allow, reason, author, set_at, expires_at}
    audit      number as u64 big endian -> JSON {at, actor, action, digest, reason, expires_at}

Only so many entries of the audit are kept: each new one makes the oldest go. Every value ends with an
xxh3_64 of the rest.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import lmdb

from appliance.domain.override import Override
from appliance.state.environment import FILE, StateDamaged, StateEnvironment, StateError, packed, unpacked

__all__ = ["FILE", "AuditEntry", "StateDamaged", "StateError", "StateStore"]

MAX_OVERRIDES = 100_000
DROPPED_AT_ONCE = 100  # entries of the audit that may go with one change, when the bound was lowered


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change by an administrator. at, expires_at: seconds since the epoch; 0: no end.

    action: "allow", "block" or "clear". actor: who, by the connection.
    """

    at: float
    actor: str
    action: str
    digest: bytes
    reason: str
    expires_at: int = 0


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

    @classmethod
    def open(cls, directory: Path, clock: Callable[[], float], audit_entries: int) -> "StateStore":
        """Open the state of a directory, or begin one; raises as StateEnvironment.open() does."""
        environment = StateEnvironment.open(directory)
        try:
            return cls(environment, clock, audit_entries)
        except BaseException:
            environment.close()
            raise

    def overrides(self) -> dict[bytes, Override]:
        """Every override that has not ended. Raises StateDamaged."""
        now, found = self._clock(), {}
        with self.environment.reading() as txn:
            for digest, data in txn.cursor(db=self._overrides_db):
                override = Override(**unpacked(data, self.environment.path))
                if override.in_force(now):
                    found[bytes(digest)] = override
        return found

    def set_override(self, digest: bytes, override: Override, actor: str) -> None:
        """Keep an override, and who set it. On the disk when this returns; raises StateError."""
        action = "allow" if override.allow else "block"
        entry = AuditEntry(self._clock(), actor, action, digest, override.reason, override.expires_at)
        with self._changing, self.environment.writing() as txn:
            new = txn.get(digest, db=self._overrides_db) is None
            if new and txn.stat(db=self._overrides_db)["entries"] >= MAX_OVERRIDES:
                self._drop_ended(txn)
            if new and txn.stat(db=self._overrides_db)["entries"] >= MAX_OVERRIDES:
                raise StateError(
                    f"{MAX_OVERRIDES:,} overrides are set, which is all: clear some, or use a hash list"
                )
            txn.put(digest, packed(asdict(override)), db=self._overrides_db)
            dropped = self._append(txn, entry)
        self.audit_dropped += dropped

    def clear_override(self, digest: bytes, reason: str, actor: str) -> bool:
        """Take an override back, and note who did; whether there was one. Raises StateError."""
        with self._changing, self.environment.writing() as txn:
            found = bool(txn.delete(digest, db=self._overrides_db))
            dropped = self._append(txn, AuditEntry(self._clock(), actor, "clear", digest, reason))
        self.audit_dropped += dropped
        return found

    def audit(self, limit: int) -> list[AuditEntry]:
        """The newest `limit` changes, the newest first. Raises StateDamaged."""
        entries: list[AuditEntry] = []
        with self.environment.reading() as txn:
            cursor = txn.cursor(db=self._audit_db)
            for _number, data in cursor.iterprev() if cursor.last() else ():
                if len(entries) >= limit:
                    break
                fields = unpacked(data, self.environment.path)
                entries.append(AuditEntry(**{**fields, "digest": bytes.fromhex(fields["digest"])}))
        return entries

    def close(self) -> None:
        """Close the file for all stores, once nothing is being written; everything is on the disk then."""
        self.environment.close()

    def _append(self, txn: lmdb.Transaction, entry: AuditEntry) -> int:
        """Enter a change; how many old ones had to go for it."""
        cursor = txn.cursor(db=self._audit_db)
        number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 1
        fields = {**asdict(entry), "digest": entry.digest.hex()}
        txn.put(number.to_bytes(8, "big"), packed(fields), db=self._audit_db, append=True)
        over = max(0, txn.stat(db=self._audit_db)["entries"] - self._audit_entries)
        dropped = min(over, DROPPED_AT_ONCE)
        cursor.first()
        for _ in range(dropped):
            cursor.delete()
        return dropped

    def _drop_ended(self, txn: lmdb.Transaction) -> None:
        now = self._clock()
        for digest, data in list(txn.cursor(db=self._overrides_db)):
            if not Override(**unpacked(data, self.environment.path)).in_force(now):
                txn.delete(digest, db=self._overrides_db)
