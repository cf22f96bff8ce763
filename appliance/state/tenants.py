"""Which tenants there are, and whose part of the cache is whose.

    tenants  name -> JSON {scope, guests}
    meta     "next scope" -> u32 little endian

A scope is given once and never again, also when the tenant's guests are gone. guests: how many of its guests
are in the register. A policy of an earlier version has its tenant's scope and no entry here: it is entered
when it is asked for. Every value but the next scope ends with an xxh3_64 of the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import lmdb

from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.policy import DEFAULT_TENANT
from appliance.state.environment import StateEnvironment, StateError, damaged, packed, unpacked
from appliance.state.fields import meaning, number_of, scope_of, tenant_of

MAX_TENANTS = 4096

_NEXT_SCOPE = b"next scope"
_LAST_SCOPE = 0xFFFFFFFF  # nobody's: see `ksn_control`


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose guests the SVM protects. guests: in the register."""

    name: str
    scope: int
    guests: int = 0


class TenantTable:
    """All tenants. Names are those of `is_tenant`."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._path = environment.path
        self._tenants_db = environment.table(b"tenants")
        self._policies_db = environment.table(b"policies")
        self._meta_db = environment.table(b"meta")

    def get(self, txn: lmdb.Transaction, name: str) -> Tenant | None:
        """A tenant, None where there is none of that name. Raises StateDamaged."""
        for table in (self._tenants_db, self._policies_db):
            data = txn.get(name.encode(), db=table)
            if data is not None:
                return self._tenant(name, data, table)
        return Tenant(name, DEFAULT_TENANT_SCOPE) if name == DEFAULT_TENANT else None

    def each(self, txn: lmdb.Transaction) -> Iterator[Tenant]:
        """All tenants. Raises StateDamaged."""
        known = set()
        for table in (self._tenants_db, self._policies_db):
            for key, data in txn.cursor(db=table):
                with meaning(self._path, "a tenant's record"):
                    name = tenant_of(key)
                if name not in known:
                    known.add(name)
                    yield self._tenant(name, data, table)
        if DEFAULT_TENANT not in known:
            yield Tenant(DEFAULT_TENANT, DEFAULT_TENANT_SCOPE)

    def settle(self, txn: lmdb.Transaction, name: str) -> Tenant:
        """A tenant, which is made where there is none. Raises StateError where there are too many."""
        tenant = self.get(txn, name)
        if tenant is None:
            if txn.stat(db=self._tenants_db)["entries"] >= MAX_TENANTS:
                raise StateError(f"{MAX_TENANTS:,} tenants are known, which is all: take one of them")
            tenant = Tenant(name, self._new_scope(txn))
        self._put(txn, tenant)
        return tenant

    def count(self, txn: lmdb.Transaction, name: str, guests: int) -> None:
        """Note that a tenant has so many guests more, or fewer."""
        tenant = self.settle(txn, name)
        self._put(txn, replace(tenant, guests=max(0, tenant.guests + guests)))

    def _put(self, txn: lmdb.Transaction, tenant: Tenant) -> None:
        fields = {"scope": tenant.scope, "guests": tenant.guests}
        txn.put(tenant.name.encode(), packed(fields), db=self._tenants_db)

    def _new_scope(self, txn: lmdb.Transaction) -> int:
        """A scope that nobody else has had."""
        known = txn.get(_NEXT_SCOPE, db=self._meta_db)
        scope = DEFAULT_TENANT_SCOPE + 1 if known is None else int.from_bytes(known, "little")
        if not DEFAULT_TENANT_SCOPE < scope < _LAST_SCOPE:
            raise damaged(self._path, f"the next tenant would have the scope {hex(scope)[:20]}")
        txn.put(_NEXT_SCOPE, (scope + 1).to_bytes(4, "little"), db=self._meta_db)
        return scope

    def _tenant(self, name: str, data: bytes | memoryview, table: Any) -> Tenant:
        """What its record in either table says; a policy tells no guests."""
        fields = unpacked(data, self._path)
        with meaning(self._path, "a tenant's record"):
            guests = 0 if table is self._policies_db else number_of("guests", fields)
            return Tenant(name, scope_of(fields), guests)
