"""Which entries of the cache an administrator sees: all, or a tenant's own and those for everybody."""

from collections.abc import Sequence

from appliance.domain.guest import KSN_SHARED_SCOPE, PUBLIC_SCOPE
from appliance.domain.outcome import Source
from appliance.domain.tenants import EVERYBODY, Realm, Tenants, unknown_tenant
from appliance.domain.verdict import Verdict
from appliance.protection import Protection
from appliance.verdicts.store import VerdictStore

Entry = tuple[Verdict, int]  # and whose part of the cache it is of


class NoSuchTenant(Exception):
    """No tenant has the name. The message says so."""


class Sight:
    """What of the cache is whose. tenant: a tenant's name, or "" for what is anybody's."""

    def __init__(self, tenants: Tenants, store: VerdictStore, protection: Protection) -> None:
        self.tenants = tenants
        self._store = store
        self._protection = protection

    def realm(self, tenant: str) -> Realm:
        """For whom a word of a tenant's administrator counts; raises NoSuchTenant."""
        if not tenant:
            return EVERYBODY
        scope = self.tenants.scope_of(tenant)
        if scope is None:
            raise NoSuchTenant(unknown_tenant(tenant))
        return Realm(scope, tenant)

    def scopes(self, tenant: str) -> tuple[int, ...]:
        """Those that are seen, the weightiest first. A tenant that is not known sees what is public."""
        if not tenant:
            return (PUBLIC_SCOPE, KSN_SHARED_SCOPE, *self.tenants.scopes())
        scope = self.tenants.scope_of(tenant)
        if scope is None:
            return (PUBLIC_SCOPE,)
        if self._protection.takes_part(scope) and self._protection.shares:
            return (PUBLIC_SCOPE, KSN_SHARED_SCOPE, scope)
        return (PUBLIC_SCOPE, scope)

    def entries(self, tenant: str, digests: Sequence[bytes]) -> list[Entry | None]:
        """Of each digest the first entry that is seen, or the worst where a later one is worse.

        Of whatever generation. What KSN said is seen by nobody who does not take part in it.
        """
        found: list[Entry | None] = [None] * len(digests)
        for scope in self.scopes(tenant):
            hides_ksn = bool(tenant) and scope != PUBLIC_SCOPE and not self._takes_part(scope)
            for index, verdict in enumerate(self._store.lookup(scope, digests)):
                if verdict is None or (hides_ksn and verdict.source is Source.KSN):
                    continue
                before = found[index]
                if before is None or verdict.disposition < before[0].disposition:
                    found[index] = verdict, scope
        return found

    def words(self, tenant: str, digests: Sequence[bytes]) -> list[Verdict | None]:
        """What is said of each digest: an override before the cache."""
        scope = self.tenants.scope_of(tenant) if tenant else None
        override = self._protection.overrides.answer
        return [
            override(PUBLIC_SCOPE if scope is None else scope, digest) or (entry[0] if entry else None)
            for digest, entry in zip(digests, self.entries(tenant, digests), strict=True)
        ]

    def _takes_part(self, scope: int) -> bool:
        return scope == KSN_SHARED_SCOPE or self._protection.takes_part(scope)
