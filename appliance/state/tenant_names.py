"""Which tenant has which name and which scope, at hand: both are a tenant's for good.

What was read once is kept; who is not found is looked for anew.
"""

from collections.abc import Sequence

from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.policy import is_tenant
from appliance.state.environment import StateEnvironment
from appliance.state.tenants import Tenant, TenantTable


class TenantNames:
    """Implements `Tenants`. Each call may raise StateDamaged."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._environment = environment
        self._table = TenantTable(environment)
        self._scopes: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def scope_of(self, name: str) -> int | None:
        """A tenant's part of the cache, None where no tenant has the name."""
        if name not in self._scopes and is_tenant(name):
            with self._environment.reading() as txn:
                self._keep(self._table.get(txn, name))
        return self._scopes.get(name)

    def name_of(self, scope: int) -> str:
        """Whose part of the cache it is, "" where it is no tenant's."""
        if scope >= DEFAULT_TENANT_SCOPE and scope not in self._names:
            self._read()
        return self._names.get(scope, "")

    def scopes(self) -> Sequence[int]:
        """Those of all tenants, in order."""
        self._read()
        return sorted(self._names)

    def _read(self) -> None:
        with self._environment.reading() as txn:
            for tenant in self._table.each(txn):
                self._keep(tenant)

    def _keep(self, tenant: Tenant | None) -> None:
        if tenant is not None:
            self._scopes[tenant.name] = tenant.scope
            self._names[tenant.scope] = tenant.name
