"""An SVM with guests and administrators of several tenants, each known by a badge that the test hands out.

The servers, the gate and the services are the SVM's own; only what a connection proves is the test's word.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import grpc
from lightagent.v1 import (
    admin_pb2_grpc,
    events_pb2_grpc,
    exposure_pb2_grpc,
    guest_pb2_grpc,
    hosts_pb2_grpc,
    identity_pb2_grpc,
    scans_pb2_grpc,
)

from appliance import doors
from appliance.control import SvmControl
from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import Guest
from appliance.doors import serve_administrators
from appliance.rpc.identity import Context
from tests.support.enrolled_guest import with_authority
from tests.support.ksn import KsnSvm, ksn_svm
from tests.support.misbehaving_ksn import MisbehavingKsn
from tests.support.svm import DEADLINE, RawGuest

STUBS = {
    "Administration": admin_pb2_grpc.AdministrationStub,
    "KsnAdministration": admin_pb2_grpc.KsnAdministrationStub,
    "EventsAdministration": events_pb2_grpc.EventsAdministrationStub,
    "ExposureAdministration": exposure_pb2_grpc.ExposureAdministrationStub,
    "ScansAdministration": scans_pb2_grpc.ScansAdministrationStub,
    "IdentityAdministration": identity_pb2_grpc.IdentityAdministrationStub,
    "HostAdministration": hosts_pb2_grpc.HostAdministrationStub,
}


@dataclass
class Badges:
    """Implements Vouching: the metadata `badge` says who calls, as the test has it."""

    callers: dict[str, Caller] = field(default_factory=dict)
    guests: dict[str, Guest] = field(default_factory=dict)

    def caller(self, context: Context) -> Caller:
        """Who has the badge."""
        badge = dict(context.invocation_metadata() or ()).get("badge", "")
        if badge in self.guests:
            return Caller(self.guests[str(badge)].id, Role.GUEST, self.guests[str(badge)].tenant)
        if badge not in self.callers:
            raise NotAdmitted("nobody has this badge")
        return self.callers[str(badge)]

    def guest(self, context: Context) -> Guest:
        """Which guest has it."""
        return self.guests[self.caller(context).name]


class Administrator:
    """A client of every service for administrators."""

    def __init__(self, target: str, badge: str) -> None:
        self._metadata = (("badge", badge),)
        self._channel = grpc.aio.insecure_channel(target, (("grpc.use_local_subchannel_pool", 1),))
        self._stubs: dict[str, Any] = {name: stub(self._channel) for name, stub in STUBS.items()}

    async def __aenter__(self) -> Self:
        """As it is."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        await self._channel.close(None)

    async def call(self, method: str, request: object) -> list[Any]:
        """Call "Service/Method"; its replies, one or a stream. Raises AioRpcError."""
        service, _, name = method.partition("/")
        call = getattr(self._stubs[service], name)(request, metadata=self._metadata, timeout=DEADLINE)
        if isinstance(call, grpc.aio.UnaryStreamCall):
            return [reply async for reply in call]
        return [await call]


@dataclass(frozen=True)
class Tenancy:
    """An SVM where the tenants acme and other take part in KSN."""

    ksn: KsnSvm
    badges: Badges

    def scope_of(self, tenant: str) -> int:
        """A tenant's scope."""
        scope = self.ksn.svm.parts.sight.tenants.scope_of(tenant)
        assert scope is not None
        return scope

    @asynccontextmanager
    async def guest(self, name: str, tenant: str) -> AsyncIterator[RawGuest]:
        """A guest of a tenant, attached as a daemon."""
        self.badges.guests[name] = Guest(name, self.scope_of(tenant), tenant)
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(self.ksn.svm.target, options) as channel:
            guest = RawGuest(guest_pb2_grpc.ProtectionStub(channel), (("badge", name),), None, channel)
            await guest.say_hello()
            yield guest

    def administrator(self, role: Role, tenant: str = "") -> Administrator:
        """One of that role, of a tenant or of all."""
        badge = f"{role}-{tenant}"
        self.badges.callers[badge] = Caller(f"admin-of-{tenant or 'all'}", role, tenant)
        return Administrator(f"unix:{self.ksn.svm.settings.server.admin}", badge)


@asynccontextmanager
async def tenancy(
    directory: Path, service: MisbehavingKsn | None = None, **ksn: Any
) -> AsyncIterator[Tenancy]:
    """The SVM, with its guests' and its administrators' doors. ksn: of its settings."""
    badges = Badges()

    def by_badge(*_args: object) -> Badges:
        return badges

    with_authority(directory)
    with patch.object(doors, "ByTicket", by_badge):
        async with ksn_svm(directory, service, **ksn) as running, AsyncExitStack() as stack:
            parts, settings = running.svm.parts, running.svm.settings
            control = SvmControl(parts, "0", False, parts.witness.log.now)
            running.control.on_changed.append(parts.witness.policy_changed)
            await serve_administrators(settings, parts, control, running.control, stack)
            for tenant in ("acme", "other"):
                await running.accept(tenant)
            yield Tenancy(running, badges)
