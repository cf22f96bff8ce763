"""What tenants have decided, and when: policies, and the complete history of how they came to be.

    policies   tenant -> JSON {scope, active, mode, documents, decided: {KSN type: number of the decision}}
    decisions  number as u64 big endian -> JSON {kind, at, tenant, actor, ...}
    texts      SHA-256 (32 bytes) -> JSON {text}: each text that was shown, once

A decision on a Statement is of the kind "consent" and has decision, type, version and sha256; a change of the
rest is of the kind "settings" and has active, mode and documents as they were after it. Where there is no
documents, an earlier version has written it, and none were allowed. Nothing of it is ever dropped. Which
decisions and texts are a tenant's stands in `of_tenant`. Scopes are those of `tenants`. One change is one
transaction, on the disk when the call returns. Every value ends with an xxh3_64 of the rest.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Any

import lmdb

from appliance.domain.policy import (
    MAX_TENANT_BYTES,
    Consent,
    Decision,
    HistoryEntry,
    KsnType,
    Mode,
    Policy,
    SettingsChange,
    is_tenant,
)
from appliance.state.audit import Audit, AuditEntry
from appliance.state.audited import keys_from
from appliance.state.environment import StateEnvironment, damaged, packed, unpacked
from appliance.state.of_tenant import NONE, TABLE, Kind, OfTenant, decision_rows
from appliance.state.tenants import TenantTable

_CONSENT, _SETTINGS = "consent", "settings"
_PAGE = 32  # entries of the history that are read at once


class PolicyRefused(Exception):
    """A policy cannot be made or changed like that; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What somebody says to a Statement. text: all that he was shown, the provider's own part included.

    The text is kept under the SHA-256 of its UTF-8 bytes just as they are. That is the `sha256` of a
    Statement where the text is its canonical form and nothing was added to it.
    """

    decision: Decision
    type: KsnType
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What is to be changed of a policy; None leaves a thing as it is."""

    active: bool | None = None
    mode: Mode | None = None
    decided: Decided | None = None
    documents: bool | None = None


class PolicyStore:
    """The policies of all tenants. What changes something waits for the disk, the rest does not wait."""

    def __init__(self, environment: StateEnvironment, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self._environment = environment
        self._clock = clock
        self._policies_db = environment.table(b"policies")
        self._decisions_db = environment.table(b"decisions")
        self._texts_db = environment.table(b"texts")
        self._tenants = TenantTable(environment)
        self._index = OfTenant(environment.table(TABLE))
        self._audit = Audit(environment)

    def policies(self) -> Iterator[Policy]:
        """Every policy, by name, read as it is asked for. Raises StateDamaged."""
        with self._environment.reading() as txn:
            names = [bytes(key).decode() for key in txn.cursor(db=self._policies_db).iternext(values=False)]
        for name in names:
            if (found := self.policy(name)) is not None:
                yield found

    def policy(self, tenant: str) -> Policy | None:
        """The policy of a tenant, None where it has none. Raises StateDamaged."""
        if not is_tenant(tenant):
            return None
        with self._environment.reading() as txn:
            return self._policy(txn, tenant)

    def create(
        self, tenant: str, mode: Mode, decided: Decided, actor: str, documents: bool = False
    ) -> Policy:
        """Make an active policy, with the decision without which there is none. Raises PolicyRefused.

        actor: who decided, by the connection. documents: whether they may be handed over. Raises StateError
        where it could not be written.
        """
        if not is_tenant(tenant):
            raise PolicyRefused(
                f"{tenant[:MAX_TENANT_BYTES]!r} is no name of a tenant: take 1 to {MAX_TENANT_BYTES} of A-Z, "
                "a-z, 0-9, dot, underscore and hyphen"
            )
        with self._environment.changing, self._environment.writing() as txn:
            if self._policy(txn, tenant) is not None:
                raise PolicyRefused(f"the tenant {tenant} has a policy already: change that one")
            consent = self._decide(txn, tenant, decided, actor)
            scope = self._tenants.settle(txn, tenant).scope
            policy = Policy(tenant, scope, True, mode, {decided.type: consent}, documents)
            self._set(txn, policy, actor)
            self._keep(txn, policy)
            self._note(txn, None, policy, actor)
        return policy

    def change(self, tenant: str, change: PolicyChange, actor: str) -> Policy:
        """Change a policy, and return it as it is now. Raises PolicyRefused where there is none.

        actor: who decided, by the connection. Raises StateError where it could not be written.
        """
        with self._environment.changing, self._environment.writing() as txn:
            old = self._policy(txn, tenant) if is_tenant(tenant) else None
            if old is None:
                raise PolicyRefused(f"the tenant {tenant[:MAX_TENANT_BYTES]} has no policy: create one")
            decided = dict(old.decided)
            if change.decided is not None:
                decided[change.decided.type] = self._decide(txn, tenant, change.decided, actor)
            active = old.active if change.active is None else change.active
            mode = old.mode if change.mode is None else change.mode
            documents = old.documents if change.documents is None else change.documents
            policy = Policy(tenant, old.scope, active, mode, decided, documents)
            if policy != replace(old, decided=decided):
                self._set(txn, policy, actor)
            self._keep(txn, policy)
            self._note(txn, old, policy, actor)
        return policy

    def history(self, tenant: str | None, limit: int) -> Iterator[HistoryEntry]:
        """The newest `limit` entries of a tenant, or of all, by number downwards. Raises StateDamaged.

        They are read as they are asked for, some at a time; between two of them nothing is held.
        """
        before = b""
        while limit > 0:
            with self._environment.reading() as txn:
                numbers = list(islice(self._numbers(txn, tenant, before), min(limit, _PAGE)))
                found = [(number, txn.get(number, db=self._decisions_db)) for number in numbers]
                entries = [self._entry(number, data) for number, data in found if data is not None]
            yield from entries
            if len(numbers) < _PAGE:
                return
            before, limit = numbers[-1], limit - len(numbers)

    def _numbers(self, txn: lmdb.Transaction, tenant: str | None, before: bytes) -> Iterator[bytes]:
        """The numbers of decisions downwards, b"": from the newest on."""
        if tenant is not None:
            return self._index.downwards(txn, tenant, Kind.DECISIONS, before)
        cursor = txn.cursor(db=self._decisions_db)
        there = cursor.prev() if before and cursor.set_range(before) else cursor.last()
        return keys_from(cursor, there, cursor.prev)

    def _entry(self, number: bytes, data: bytes | memoryview) -> HistoryEntry:
        return _entry(int.from_bytes(number, "big"), unpacked(data, self._environment.path))

    def texts(self, beginning: str, tenant: str = "") -> list[str]:
        """Texts that somebody was shown and whose SHA-256 begins so, two at most. Raises StateDamaged.

        beginning: hexadecimal digits in small letters. tenant: who has to have decided on them, "" for any.
        """
        whole = bytes.fromhex(beginning[: len(beginning) // 2 * 2])  # by which a table can be searched
        with self._environment.reading() as txn:
            if tenant:
                keys = self._index.upwards(txn, tenant, Kind.TEXTS, whole)
            else:
                cursor = txn.cursor(db=self._texts_db)
                keys = keys_from(cursor, cursor.set_range(whole), cursor.next)
            begins = takewhile(lambda key: key.startswith(whole), keys)
            found = islice((key for key in begins if key.hex().startswith(beginning)), 2)
            return [self._text(key, txn.get(key, db=self._texts_db, default=b"")) for key in found]

    def _text(self, digest: bytes, data: bytes | memoryview) -> str:
        text = str(unpacked(data, self._environment.path)["text"])
        if hashlib.sha256(text.encode()).digest() != digest:
            raise damaged(self._environment.path, "a text that was decided on is not what it was")
        return text

    def _policy(self, txn: lmdb.Transaction, tenant: str) -> Policy | None:
        data = txn.get(tenant.encode(), db=self._policies_db)
        if data is None:
            return None
        fields = unpacked(data, self._environment.path)
        decided = {KsnType(type_): self._decision(txn, number) for type_, number in fields["decided"].items()}
        mode, documents = Mode(fields["mode"]), fields.get("documents", False)
        return Policy(tenant, fields["scope"], fields["active"], mode, decided, documents)

    def _decision(self, txn: lmdb.Transaction, number: int) -> Consent:
        data = txn.get(number.to_bytes(8, "big"), db=self._decisions_db)
        if data is None:
            raise damaged(self._environment.path, f"decision {number}, on which a policy rests, is gone")
        return _consent(number, unpacked(data, self._environment.path))

    def _decide(self, txn: lmdb.Transaction, tenant: str, decided: Decided, actor: str) -> Consent:
        """Enter a decision, and the text that it is about."""
        digest = hashlib.sha256(decided.text.encode()).digest()
        txn.put(digest, packed({"text": decided.text}), db=self._texts_db, overwrite=False)
        fields = {
            "kind": _CONSENT,
            "at": self._clock(),
            "tenant": tenant,
            "actor": actor,
            "decision": decided.decision,
            "type": decided.type,
            "version": decided.version,
            "sha256": digest.hex(),
        }
        return _consent(self._append(txn, fields), fields)

    def _set(self, txn: lmdb.Transaction, policy: Policy, actor: str) -> None:
        """Enter how a policy is set from now on."""
        fields = {"kind": _SETTINGS, "at": self._clock(), "tenant": policy.tenant, "actor": actor}
        now = {"active": policy.active, "mode": policy.mode, "documents": policy.documents}
        self._append(txn, {**fields, **now})

    def _note(self, txn: lmdb.Transaction, before: Policy | None, after: Policy, actor: str) -> None:
        """Enter the change into the audit."""
        subject = f"tenant {after.tenant}"
        entry = AuditEntry(
            self._clock(),
            actor,
            "policy",
            tenant=after.tenant,
            subject=subject,
            before=_words(before),
            after=_words(after),
        )
        self._audit.append(txn, entry)

    def _append(self, txn: lmdb.Transaction, fields: dict[str, Any]) -> int:
        cursor = txn.cursor(db=self._decisions_db)
        number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 1
        key = number.to_bytes(8, "big")
        txn.put(key, packed(fields), db=self._decisions_db, append=True)
        self._index.put(txn, NONE, decision_rows(key, fields))
        return number

    def _keep(self, txn: lmdb.Transaction, policy: Policy) -> None:
        fields = {
            "scope": policy.scope,
            "active": policy.active,
            "mode": policy.mode,
            "documents": policy.documents,
            "decided": {type_: consent.number for type_, consent in policy.decided.items()},
        }
        txn.put(policy.tenant.encode(), packed(fields), db=self._policies_db)


def _entry(number: int, fields: dict[str, Any]) -> HistoryEntry:
    if fields["kind"] == _CONSENT:
        return _consent(number, fields)
    who = (number, fields["at"], fields["tenant"], fields["actor"])
    return SettingsChange(*who, fields["active"], Mode(fields["mode"]), fields.get("documents", False))


def _consent(number: int, fields: dict[str, Any]) -> Consent:
    return Consent(
        number,
        fields["at"],
        fields["tenant"],
        fields["actor"],
        Decision(fields["decision"]),
        KsnType(fields["type"]),
        fields["version"],
        fields["sha256"],
    )


def _words(policy: Policy | None) -> str:
    """A policy in words, "" for none."""
    if policy is None:
        return ""
    said = [
        f"{type_} KSN: {consent.decision}, version {consent.version}"
        for type_, consent in sorted(policy.decided.items())
    ]
    active = "active" if policy.active else "not active"
    documents = "documents may be handed over" if policy.documents else "no documents"
    return ", ".join([active, f"{policy.mode.name.lower()} mode", documents, *said])
