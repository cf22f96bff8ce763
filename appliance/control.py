"""What an administrator asks of a running SVM: the port `Control` of rpc/admin.py, over its parts."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from appliance.changes import Changes
from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.override import Override
from appliance.domain.tenants import Realm
from appliance.identity.order import Order
from appliance.identity_assembly import IdentityParts
from appliance.inventory_assembly import Inventory
from appliance.ksn.web import Web
from appliance.ksn_assembly import KsnParts
from appliance.protection import Protection
from appliance.reloading import reload_all
from appliance.rpc.admin import ControlRefused
from appliance.rpc.admin_turns import Turns
from appliance.rpc.admin_views import GuestView, StatusView, VerdictView
from appliance.rpc.connections import Connections
from appliance.rpc.sessions import Session, Sessions
from appliance.scanning.result import SignatureSource
from appliance.scanning.scanner import Scanner
from appliance.scanning.spool import Spool
from appliance.scans.desk import Desk
from appliance.sight import NoSuchTenant, Sight
from appliance.state.store import AuditEntry, StateError, StateStore
from appliance.verdicts.store import VerdictStore
from appliance.witness import Witness

Done = TypeVar("Done")
Asked = ParamSpec("Asked")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running SVM that an administrator can ask about."""

    store: VerdictStore
    state: StateStore
    scanner: Scanner
    spool: Spool
    protection: Protection
    sessions: Sessions
    ksn: KsnParts
    web: Web
    witness: Witness
    scans: Desk
    sight: Sight
    inventory: Inventory
    identity: IdentityParts | None = None  # where `svm init` was run
    turns: Turns = field(default_factory=Turns)  # of administrators
    connections: Connections = field(default_factory=Connections)


class SvmControl:
    """Implements Control. Changes are made one after another, each whole: on the disk, then in force.

    Those who ask take turns, a tenant is one. A change whose turn has not come is dropped when who asked for
    it goes away.
    """

    def __init__(self, parts: Parts, version: str, unsandboxed: bool, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self._parts = parts
        self._version = version
        self._unsandboxed = unsandboxed
        self._clock = clock
        self._started_at = clock()
        self._order = Order()
        self._changes = Changes()

    def status(self, tenant: str) -> StatusView:
        """What the SVM is doing."""
        guests = map(_guest_view, self._sessions_of(tenant))
        scanner = self._parts.scanner
        return StatusView(
            self._version,
            self._started_at,
            scanner.generation,
            guests,
            tuple(scanner.states()),
            self._unsandboxed,
        )

    def generation(self) -> int:
        """Of the signatures in use."""
        return self._parts.scanner.generation

    def _sessions_of(self, tenant: str) -> list[list[Session]]:
        """The sessions of each guest that is a tenant's, or ("") of every guest."""
        by_guest = self._parts.sessions.by_guest()
        return [each for each in by_guest if tenant in ("", each[0].guest.tenant)]

    def verdict(self, digest: bytes, tenant: str) -> VerdictView:
        """What is known of a digest."""
        parts, realm = self._parts, self._realm(tenant)
        set_in = parts.protection.overrides.set_in
        override, of = set_in(PUBLIC_SCOPE, digest), ""
        if override is None and tenant:
            override, of = set_in(realm.scope, digest), tenant
        found = parts.sight.entries(tenant, [digest])[0]
        if found is None:
            return VerdictView(None, PUBLIC_SCOPE, False, override, override_of=of if override else "")
        verdict, scope = found
        whose, current = parts.sight.tenants.name_of(scope), parts.protection.is_current(verdict)
        return VerdictView(verdict, scope, current, override, whose, of if override else "")

    async def set_override(self, digest: bytes, override: Override, tenant: str) -> None:
        """Make it durable, then put it in force, then tell the guests."""
        realm = self._realm(tenant)
        async with self._order.turn(tenant or override.author, ends=False):
            await self._changes.whole(self._set_override(digest, override, realm))

    async def _set_override(self, digest: bytes, override: Override, realm: Realm) -> None:
        await _written(self._parts.state.set_override, digest, override, override.author, realm)
        self._parts.protection.override(digest, override, realm)
        tell_revoked(self._parts.sessions, digest, realm.scope)
        self._parts.witness.overridden(digest, override, realm)

    async def clear(self, digest: bytes, reason: str, actor: str, tenant: str) -> bool:
        """End the override, forget the verdicts, tell the guests."""
        realm = self._realm(tenant)
        async with self._order.turn(tenant or actor, ends=False):
            return await self._changes.whole(self._clear(digest, reason, actor, realm))

    async def _clear(self, digest: bytes, reason: str, actor: str, realm: Realm) -> bool:
        scopes = self._parts.sight.scopes("") if realm.is_everybody else (realm.scope,)
        overridden = await _written(self._parts.state.clear_override, digest, reason, actor, realm)
        self._parts.protection.override(digest, None, realm)
        forgotten = self._parts.protection.forget(digest, scopes)
        tell_revoked(self._parts.sessions, digest, realm.scope)
        self._parts.witness.cleared(digest, reason, actor, realm)
        return overridden or forgotten

    def _realm(self, tenant: str) -> Realm:
        try:
            return self._parts.sight.realm(tenant)
        except NoSuchTenant as error:
            raise ControlRefused(str(error)) from error

    async def finish(self) -> None:
        """Return when no change is under way."""
        await self._changes.finish()

    def audit(self, limit: int, tenant: str) -> Iterator[AuditEntry]:
        """The newest changes."""
        return self._parts.state.audit(limit, tenant)

    def sources(self) -> Sequence[SignatureSource]:
        """The signature sources in use."""
        return self._parts.scanner.sources()

    async def reload(self, actor: str) -> tuple[int, int]:
        """Read the sources anew, and what else an operator may change; the generations before and after."""
        parts, before = self._parts, self._parts.scanner.generation
        problems = await reload_all(parts.scanner, parts.web.lists, parts.ksn.key)
        if problems:
            raise ControlRefused(problems)
        after = parts.scanner.generation
        entry = AuditEntry(
            self._clock(),
            actor,
            "signatures reloaded",
            subject="signatures",
            before=f"generation {before:016x}",
            after=f"generation {after:016x}",
        )
        await _written(parts.state.note, entry)
        return before, after

    def figures(self, tenant: str = "") -> dict[str, float]:
        """Every figure of the SVM, by the names that /metrics and `svm status` show; of a tenant its own."""
        if tenant:
            return self.figures_of(tenant)
        parts = self._parts
        return {
            "guests_attached": len(parts.sessions.by_guest()),
            **{f"guest_{name}": value for name, value in parts.sessions.counts.items()},
            **parts.sessions.overs,
            **parts.sessions.calls,
            **{f"protection_{name}": value for name, value in parts.protection.counts.items()},
            **{f"ends_{name.lower()}": value for name, value in parts.protection.ends.items()},
            **parts.scanner.figures(),
            "spool_used_bytes": parts.spool.used_bytes,
            "spool_waiting": parts.spool.waiting,
            "flights": parts.protection.flights.flights,
            "flights_waiting": parts.protection.flights.waiting,
            "leases_passed_on": parts.protection.flights.passed_on,
            **parts.store.stats().figures(),
            "audit_dropped": parts.state.audit_dropped,
            **parts.scans.figures(),
            **(parts.identity.figures() if parts.identity is not None else {}),
            **parts.inventory.watch.figures(),
            **parts.witness.log.figures(),
            **parts.witness.exposure.figures(),
            **parts.ksn.figures(),
            **{f"web_{name}": float(count) for name, count in parts.web.counts.items()},
            "web_list_entries": len(parts.web.lists),
        }

    def figures_of(self, tenant: str) -> dict[str, float]:
        """What is counted of one tenant's guests, by the same names."""
        scope = self._parts.sight.tenants.scope_of(tenant)
        return self._counted(-1 if scope is None else scope, len(self._sessions_of(tenant)))

    def figures_by_tenant(self) -> dict[str, dict[str, float]]:
        """The same of every tenant whose guests are, or were, here since the start; by name."""
        here = Counter(each[0].guest.scope for each in self._parts.sessions.by_guest())
        scopes = sorted({*here, *self._parts.protection.counts_by_scope})
        name_of = self._parts.sight.tenants.name_of
        return {name: self._counted(scope, here[scope]) for scope in scopes if (name := name_of(scope))}

    def _counted(self, scope: int, guests: int) -> dict[str, float]:
        """The figures of a tenant, so many of whose guests are attached."""
        protection = self._parts.protection
        counts = protection.counts_by_scope.get(scope, Counter())
        counted = {f"protection_{name}": float(counts[name]) for name in protection.counts}
        return {"guests_attached": guests, **counted}


def tell_revoked(sessions: Sessions, digest: bytes, scope: int) -> None:
    """Have those told for whom an override counted, or counts now. scope: public for everybody."""
    sessions.tell_revoked(digest, lambda guest: scope in (PUBLIC_SCOPE, guest.scope))


async def _written(change: Callable[Asked, Done], *args: Asked.args, **kwargs: Asked.kwargs) -> Done:
    """Change the state in a thread, since that waits for the disk, and guests must not."""
    try:
        return await asyncio.to_thread(change, *args, **kwargs)
    except StateError as error:
        raise ControlRefused(str(error)) from error


def _guest_view(sessions: Sequence[Session]) -> GuestView:
    """A guest with one or more sessions, by the labels of the first."""
    first = sessions[0]
    return GuestView(
        first.guest.id,
        first.labels.host_name,
        first.labels.stub_version,
        min(session.attached_at for session in sessions),
        sum(session.digests_asked for session in sessions),
        sum(session.bytes_uploaded for session in sessions),
        first.guest.tenant,
    )
