"""What an administrator asks of a running SVM: the port `Control` of rpc/admin.py, over its parts."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from appliance.domain.guest import DEFAULT_TENANT_SCOPE, KSN_SHARED_SCOPE, PUBLIC_SCOPE
from appliance.domain.override import Override
from appliance.identity_assembly import IdentityParts
from appliance.ksn.web import Web
from appliance.ksn_assembly import KsnParts
from appliance.protection import Protection
from appliance.reloading import reload_all
from appliance.rpc.admin import ControlRefused
from appliance.rpc.admin_views import GuestView, StatusView, VerdictView
from appliance.rpc.sessions import Session, Sessions
from appliance.scanning.result import SignatureSource
from appliance.scanning.scanner import Scanner
from appliance.scanning.spool import Spool
from appliance.scans.desk import Desk
from appliance.state.store import AuditEntry, StateError, StateStore
from appliance.verdicts.store import VerdictStore
from appliance.witness import Witness

Done = TypeVar("Done")
Asked = ParamSpec("Asked")

SCOPES = (PUBLIC_SCOPE, KSN_SHARED_SCOPE, DEFAULT_TENANT_SCOPE)


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
    identity: IdentityParts | None = None  # where `svm init` was run


class SvmControl:
    """Implements Control. Changes are made one after another, each whole: on the disk, then in force."""

    def __init__(self, parts: Parts, version: str, unsandboxed: bool, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self._parts = parts
        self._version = version
        self._unsandboxed = unsandboxed
        self._started_at = clock()
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()

    def status(self) -> StatusView:
        """What the SVM is doing."""
        guests = tuple(map(_guest_view, self._parts.sessions.by_guest()))
        scanner = self._parts.scanner
        return StatusView(
            self._version,
            self._started_at,
            scanner.generation,
            guests,
            tuple(scanner.states()),
            self._unsandboxed,
        )

    def verdict(self, digest: bytes) -> VerdictView:
        """What is known of a digest."""
        protection = self._parts.protection
        override = protection.overrides.of(digest)
        for scope in SCOPES:
            verdict = self._parts.store.lookup(scope, [digest])[0]
            if verdict is not None:
                return VerdictView(verdict, scope, protection.is_current(verdict), override)
        return VerdictView(None, PUBLIC_SCOPE, False, override)

    async def set_override(self, digest: bytes, override: Override) -> None:
        """Make it durable, then put it in force, then tell the guests."""
        await self._to_its_end(self._set_override(digest, override))

    async def _set_override(self, digest: bytes, override: Override) -> None:
        async with self._changing:
            await _written(self._parts.state.set_override, digest, override, override.author)
            self._parts.protection.override(digest, override)
            self._parts.sessions.tell_revoked(digest)
            self._parts.witness.overridden(digest, override)

    async def clear(self, digest: bytes, reason: str, actor: str) -> bool:
        """End the override, forget the verdicts, tell the guests."""
        return await self._to_its_end(self._clear(digest, reason, actor))

    async def _clear(self, digest: bytes, reason: str, actor: str) -> bool:
        async with self._changing:
            overridden = await _written(self._parts.state.clear_override, digest, reason, actor)
            self._parts.protection.override(digest, None)
            forgotten = self._parts.protection.forget(digest, SCOPES)
            self._parts.sessions.tell_revoked(digest)
            self._parts.witness.cleared(digest, reason, actor)
        return overridden or forgotten

    async def _to_its_end(self, change: Coroutine[Any, Any, Done]) -> Done:
        """Have a change made whole, also when who asked for it goes away meanwhile."""
        task = asyncio.get_running_loop().create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to be told

    async def finish(self) -> None:
        """Return when no change is under way."""
        while self._changes:
            await asyncio.wait(self._changes)

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """The newest changes."""
        return self._parts.state.audit(limit)

    def sources(self) -> Sequence[SignatureSource]:
        """The signature sources in use."""
        return self._parts.scanner.sources()

    async def reload(self) -> tuple[int, int]:
        """Read the sources anew, and what else an operator may change; the generations before and after."""
        parts, before = self._parts, self._parts.scanner.generation
        problems = await reload_all(parts.scanner, parts.web.lists, parts.ksn.key)
        if problems:
            raise ControlRefused(problems)
        return before, parts.scanner.generation

    def figures(self) -> dict[str, float]:
        """Every figure of the SVM, by the names that /metrics and `svm status` show."""
        parts = self._parts
        return {
            "guests_attached": len(parts.sessions.by_guest()),
            **{f"guest_{name}": value for name, value in parts.sessions.counts.items()},
            **parts.sessions.overs,
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
            **parts.witness.log.figures(),
            **parts.witness.exposure.figures(),
            **parts.ksn.figures(),
            **{f"web_{name}": float(count) for name, count in parts.web.counts.items()},
            "web_list_entries": len(parts.web.lists),
        }


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
    )
