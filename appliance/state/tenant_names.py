"""Which tenant has which name and which scope, at hand: both are a tenant's for good.

Read from the tables `tenants` and `policies`: a tenant comes to be with its first guest, or its policy.
What was read once is kept; who is not found is looked for anew.
"""

from collections.abc import Sequence

from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.policy import DEFAULT_TENANT
from appliance.state.environment import StateEnvironment, unpacked
from appliance.state.fields import meaning, scope_of, tenant_of

_TABLES = (b"tenants", b"policies")


class TenantNames:
    """Implements `Tenants`. Each call may raise StateDamaged."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._environment = environment
        self._tables = [environment.table(name) for name in _TABLES]
        self._scopes = {DEFAULT_TENANT: DEFAULT_TENANT_SCOPE}  # by name
        self._names = {DEFAULT_TENANT_SCOPE: DEFAULT_TENANT}

    def scope_of(self, name: str) -> int | None:
        """A tenant's part of the cache, None where no tenant has the name."""
        if name not in self._scopes:
            self._read()
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
            for table in self._tables:
                for key, data in txn.cursor(db=table):
                    with meaning(self._environment.path, "a tenant's record"):
                        name = tenant_of(key)
                        if name not in self._scopes:
                            scope = scope_of(unpacked(data, self._environment.path))
                            self._scopes[name], self._names[scope] = scope, name
