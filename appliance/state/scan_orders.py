"""Scans that administrators ordered, and how they ended; on the disk before a call returns.

    scans  id (16 bytes) -> JSON {guest, tenant, paths, actor, ordered_at, due_at; when over: ended_at, state,
           counts, text}

Where there is no tenant, an earlier version has written it, which knew one alone.
What changes something waits for the disk and may be called from a thread, one call at a time. Every value
ends with an xxh3_64 of the rest. A path need not be UTF-8: what is not stands in it as surrogates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from appliance.domain.scan import ScanCounts, ScanOrder
from appliance.state.audit import Audit, AuditEntry
from appliance.state.environment import StateEnvironment, packed, unpacked
from appliance.state.fields import made_of, meaning


class ScanOrderStore:
    """The table of orders, in the file that the stores of the state share."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._environment = environment
        self._scans_db = environment.table(b"scans")
        self._audit = Audit(environment)

    def all(self) -> list[ScanOrder]:
        """Every order. Raises StateDamaged."""
        paths: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}  # one order of a thousand guests has them once
        with self._environment.reading() as txn:
            return [
                self._order(bytes(key), bytes(value), paths) for key, value in txn.cursor(db=self._scans_db)
            ]

    def write(
        self, orders: Sequence[ScanOrder], drop: Iterable[bytes] = (), entries: Iterable[AuditEntry] = ()
    ) -> None:
        """Keep orders, new ones or as they are now, and forget others, by id. Raises StateError.

        entries: what stands in the audit for it.
        """
        with self._environment.changing, self._environment.writing() as txn:
            for scan in drop:
                txn.delete(scan, db=self._scans_db)
            for order in orders:
                txn.put(order.id, packed(_fields(order)), db=self._scans_db)
            for entry in entries:
                self._audit.append(txn, entry)

    def _order(
        self, key: bytes, value: bytes, paths: dict[tuple[bytes, ...], tuple[bytes, ...]]
    ) -> ScanOrder:
        fields = unpacked(value, self._environment.path)
        with meaning(self._environment.path, "a scan's record"):
            named = tuple(path.encode(errors="surrogateescape") for path in fields.pop("paths"))
            counts = made_of(ScanCounts, fields.pop("counts", {}))
            return made_of(ScanOrder, fields, id=key, paths=paths.setdefault(named, named), counts=counts)


def _fields(order: ScanOrder) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "guest": order.guest,
        "tenant": order.tenant,
        "paths": [path.decode(errors="surrogateescape") for path in order.paths],
        "actor": order.actor,
        "ordered_at": order.ordered_at,
        "due_at": order.due_at,
    }
    if not order.is_open:
        fields |= {
            "ended_at": order.ended_at,
            "state": order.state,
            "counts": asdict(order.counts),
            "text": order.text,
        }
    return fields
