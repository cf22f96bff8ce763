"""An SVM's administration side with the services about guests and machines, for tests of both.

As in `admin_side_server`; behind the services stand controls whose answers a test sets.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from lightagent.v1 import hosts_pb2_grpc

from appliance.domain.event import EventKind
from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.verdict import Verdict
from appliance.domain.vm import HostAgent, HostVm
from appliance.inventory.watch import VmView
from appliance.rpc.admin_calls import ControlRefused
from appliance.rpc.exposure_admin import ExposureAdministrationService, GuestSeen, HeldFile, HolderView
from appliance.rpc.hosts_admin import HostAdministrationService
from appliance.rpc.patience import Patience
from tests.support.admin_side_server import AdminSide, RememberingControl, administrators


@dataclass
class SetExposure:
    """An ExposureControl. held: what each guest holds."""

    held_by: dict[bytes, list[HolderView]] = field(default_factory=dict)
    known: list[GuestSeen] = field(default_factory=list)
    held: dict[str, list[HeldFile]] = field(default_factory=dict)
    verdicts: dict[bytes, Verdict] = field(default_factory=dict)

    async def holders(self, digest: bytes, _tenant: str) -> Sequence[HolderView]:
        """As set."""
        return self.held_by.get(digest, [])

    def guests(self, _tenant: str) -> Iterator[GuestSeen]:
        """As set."""
        return iter(self.known)

    def tenant_of(self, guest: str) -> str | None:
        """Everybody's is the same of whom something is set."""
        return DEFAULT_TENANT if guest in self.held else None

    async def files(self, guest: str, _tenant: str) -> AsyncIterator[Sequence[HeldFile]]:
        """As set, in two parts."""
        half = len(self.held[guest]) // 2
        yield self.held[guest][:half]
        yield self.held[guest][half:]

    def words(self, digests: Sequence[bytes], _tenant: str) -> Sequence[Verdict | None]:
        """As set."""
        return list(map(self.verdicts.get, digests))


@dataclass
class SetHosts:
    """A HostControl. views: what there is. reported, events: what it was told. refusal: "" for none."""

    views: list[VmView] = field(default_factory=list)
    reported: list[tuple[HostAgent, Sequence[HostVm]]] = field(default_factory=list)
    events: list[tuple[HostAgent, str, EventKind, str]] = field(default_factory=list)
    refusal: str = ""
    report_seconds = 60.0

    async def report(self, agent: HostAgent, vms: Sequence[HostVm]) -> None:
        """Remember it."""
        if self.refusal:
            raise ControlRefused(self.refusal)
        self.reported.append((agent, vms))

    async def told(self, agent: HostAgent, uuid: str, kind: EventKind, text: str) -> None:
        """Remember it."""
        if self.refusal:
            raise ControlRefused(self.refusal)
        self.events.append((agent, uuid, kind, text))

    def vms(self, tenant: str) -> Iterator[VmView]:
        """As set."""
        return (view for view in self.views if tenant in ("", view.tenant))


class ExposureSide(AdminSide):
    """A running administration side with exposure at `path`. service: once it runs."""

    service: ExposureAdministrationService

    def __init__(self, path: Path) -> None:
        super().__init__(path, RememberingControl())
        self.exposure = SetExposure()
        self.hosts = SetHosts()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        self.service = ExposureAdministrationService(
            self.exposure, administrators(self._office), patience=Patience(0.5)
        )
        self.service.add_to(self._server)
        hosts = HostAdministrationService(self.hosts, administrators(self._office))
        hosts_pb2_grpc.add_HostAdministrationServicer_to_server(hosts, self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()


@contextmanager
def exposure_side(directory: Path) -> Iterator[ExposureSide]:
    """Serve `directory`/admin.sock for the length of a test."""
    side = ExposureSide(directory / "admin.sock")
    side.start()
    try:
        yield side
    finally:
        side.stop()
