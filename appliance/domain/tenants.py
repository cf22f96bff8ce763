"""Whose VMs are protected: a tenant is a name to people, and a scope to the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.policy import MAX_TENANT_BYTES


class Tenants(Protocol):
    """The tenants that the SVM knows. A scope is one tenant's for good."""

    def scope_of(self, name: str) -> int | None:
        """A tenant's part of the cache, None where no tenant has the name."""

    def name_of(self, scope: int) -> str:
        """Whose part of the cache it is, "" where it is no tenant's."""

    def scopes(self) -> Sequence[int]:
        """Those of all tenants, in order."""


@dataclass(frozen=True, slots=True)
class Realm:
    """For whom a word counts: one tenant, or everybody, as the provider's does. tenant: "" for all."""

    scope: int = PUBLIC_SCOPE
    tenant: str = ""

    @property
    def is_everybody(self) -> bool:
        """Whether it is no single tenant's."""
        return self.scope == PUBLIC_SCOPE


EVERYBODY = Realm()


def unknown_tenant(name: str) -> str:
    """Return what is said of a tenant that nobody knows, and of one that is not the caller's to see."""
    return f"no tenant {name[:MAX_TENANT_BYTES]!r} is known: see `svm policy list`"
