"""The audit: every change by an administrator, written in the transaction that makes it.

    audit    number as u64 big endian -> JSON {at, actor, action, subject, before, after, reason, tenant;
             of an override digest, expires_at}

Which of them are a tenant's stands in `audited`. Only so many entries are kept, of what is one tenant's a
tenth of that, and of all tenants' a half, beyond which each tenant pays for its new ones with its old ones: a
half is for what is no single tenant's, whose entries name none. Each new one makes the oldest go, and costs
the same however many there are. Every value ends with an xxh3_64 of the rest.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import lmdb

from appliance.state.audited import TABLE, Audited, keys_from
from appliance.state.environment import StateEnvironment, packed, unpacked
from appliance.state.fields import key_after, made_of, meaning, numbered

TENANT_PART = 10  # one in so many entries of the audit may be of one tenant
DROPPED_AT_ONCE = 100  # entries of the audit that may go with one change, when the bound was lowered
_PAGE = 32  # entries that are read at once
MAX_WORDS = 512  # characters of before and after each; what is longer is cut


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change by an administrator. at, expires_at: seconds since the epoch; 0: no end.

    actor: who, by the connection. action: "allow", "block", "clear", "policy", "token", ... digest: of an
    override. tenant: whose it is, "" for everybody's. subject: of what else it is: a guest, a certificate.
    before, after: how that was and is, in words; "" where there was, or is, none.
    """

    at: float
    actor: str
    action: str
    digest: bytes = b""
    reason: str = ""
    expires_at: int = 0
    tenant: str = ""
    subject: str = ""
    before: str = ""
    after: str = ""


class Audit:
    """The tables of the audit, in the file that the stores of the state share."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._environment = environment
        self._audit_db = environment.table(b"audit")
        self._audited = Audited(environment.table(TABLE), environment.path)

    def newest(self, limit: int, tenant: str = "") -> Iterator[AuditEntry]:
        """The newest `limit` changes, the newest first; of a tenant's, or ("") all. Raises StateDamaged.

        They are read as they are asked for, some at a time; between two of them nothing is held.
        """
        before = b""
        while limit > 0:
            with self._environment.reading() as txn:
                numbers = list(islice(self._newest_numbers(txn, tenant, before), min(limit, _PAGE)))
                found = [txn.get(number, db=self._audit_db) for number in numbers]
                entries = [self._entry(data) for data in found if data is not None]
            yield from entries
            if len(numbers) < _PAGE:
                return
            before, limit = numbers[-1], limit - len(numbers)

    def append(self, txn: lmdb.Transaction, entry: AuditEntry) -> None:
        """Enter a change, within the transaction that makes it; old entries may have to go for it."""
        cursor = txn.cursor(db=self._audit_db)
        number = key_after(cursor.key() if cursor.last() else b"", self._environment.path)
        txn.put(number, packed(_fields(entry)), db=self._audit_db, append=True)
        dropped = 0
        if entry.tenant:
            self._audited.enter(txn, entry.tenant, number)
            dropped += self._drop_of_tenant(txn, entry.tenant)
        over = max(0, txn.stat(db=self._audit_db)["entries"] - self._environment.audit_entries)
        for oldest in list(islice(txn.cursor(db=self._audit_db), min(over, DROPPED_AT_ONCE))):
            self._drop(txn, bytes(oldest[0]), self._entry(oldest[1]).tenant)
            dropped += 1
        self._environment.audit_dropped += dropped

    def _entry(self, data: bytes | memoryview) -> AuditEntry:
        fields = unpacked(data, self._environment.path)
        with meaning(self._environment.path, "an entry of the audit"):
            return made_of(AuditEntry, fields)

    def _drop_of_tenant(self, txn: lmdb.Transaction, tenant: str) -> int:
        """Have a tenant's oldest entries go where it has too many; how many went."""
        count, most = self._audited.count(txn, tenant), max(1, self._environment.audit_entries // TENANT_PART)
        if self._audited.count_all(txn) > self._environment.audit_entries // 2:  # whoever adds one loses one
            most = min(most, max(1, count - 1))
        over = min(max(0, count - most), DROPPED_AT_ONCE)
        for number in list(islice(self._audited.oldest(txn, tenant), over)):
            self._drop(txn, number, tenant)
        return over

    def _drop(self, txn: lmdb.Transaction, number: bytes, tenant: str) -> None:
        txn.delete(number, db=self._audit_db)
        if tenant:
            self._audited.drop(txn, tenant, number)

    def _newest_numbers(self, txn: lmdb.Transaction, tenant: str, before: bytes) -> Iterator[bytes]:
        """The numbers of a tenant's entries, or ("") of all, the newest first, below one; b"": all."""
        if tenant:
            return self._audited.newest(txn, tenant, before)
        cursor = txn.cursor(db=self._audit_db)
        beyond = bool(before) and cursor.set_range(before)
        keys = keys_from(cursor, cursor.prev() if beyond else cursor.last(), cursor.prev)
        return (numbered(key, self._environment.path) for key in keys)


def _fields(entry: AuditEntry) -> dict[str, Any]:
    """What is kept of an entry: without what is not said."""
    fields = {
        **asdict(entry),
        "digest": entry.digest.hex(),
        "before": entry.before[:MAX_WORDS],
        "after": entry.after[:MAX_WORDS],
    }
    return {name: value for name, value in fields.items() if value or name in ("at", "actor", "action")}
