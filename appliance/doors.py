"""The doors of an SVM: where guests and administrators come in, and who is let through where."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from lightagent.v1 import admin_pb2, admin_pb2_grpc, events_pb2, exposure_pb2, guest_pb2, scans_pb2

from appliance.config import Settings
from appliance.config_doors import AdministratorSettings, number_of
from appliance.control import Parts, SvmControl
from appliance.domain.caller import Role
from appliance.exposure_control import GuestControl
from appliance.ksn_control import PolicyControl
from appliance.limits_assembly import assemble_connections
from appliance.rpc import wire
from appliance.rpc.access import Gate
from appliance.rpc.admin import AdministrationService
from appliance.rpc.administrators import Rank, Ranks
from appliance.rpc.events_admin import EventsAdministrationService
from appliance.rpc.exposure_admin import ExposureAdministrationService
from appliance.rpc.guest import GuestService
from appliance.rpc.identity import ByAddress, ByTicket, Callers, Vouching
from appliance.rpc.ksn_admin import KsnAdministrationService
from appliance.rpc.server import Address, Server, ServerBounds
from appliance.rpc.sessions import Sessions
from appliance.rpc.terms import Terms
from appliance.rpc.tickets import Listener, PeerCredentials, TicketBounds, TicketOffice, clear_stale_socket
from appliance.scans_assembly import scans_service

_GUEST_MODE = 0o660  # of the guests' socket
_ADMIN_MODE = 0o600
_SHARED_ADMIN_MODE = 0o666  # where others may administer too: the kernel says who comes, the ranks who may
_OTHER_STREAMS = (
    8  # of a guest, beside its uploads: Attach, Check, health, and some to be refused with a sentence
)
_TICKET_ENDED = "the companion connection was closed, and with it the ticket: fetch another, and attach anew"

log = structlog.get_logger("svm")


class _GuestTickets(Listener):
    """Has the calls of a ticket end with it."""

    def __init__(self, sessions: Sessions) -> None:
        self.gate: Gate | None = None
        self._sessions = sessions

    def refused(self, who: str, why: str) -> None:
        self._sessions.no_ticket(who, why)

    def ended(self, owner: PeerCredentials) -> None:
        if self.gate is not None:
            self.gate.end(str(owner), _TICKET_ENDED)


class _AdminTickets(Listener):
    """Has nobody get a ticket who is no administrator."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def why_none(self, owner: PeerCredentials) -> str:
        return self._ranks.why_not(owner)


async def serve_guests(settings: Settings, parts: Parts, stack: AsyncExitStack) -> Server:
    """Open the guests' door; it is closed when the stack unwinds."""
    address, limits = Address.parse(settings.server.listen), settings.limits
    of_tickets = TicketBounds(limits.max_tickets, limits.tickets_per_user)
    tickets = _GuestTickets(parts.sessions)
    vouching: Vouching = ByAddress()
    office = await _office(
        address.path, lambda path: TicketOffice(path, _GUEST_MODE, of_tickets, tickets), stack
    )
    if office is None:
        log.warning("guests are told apart by address only", listen=settings.server.listen)
    else:
        vouching = ByTicket(office)
    callers = Callers(vouching)
    streams = limits.scan_streams + _OTHER_STREAMS
    bounds = ServerBounds(streams, limits.connections, handshake_seconds=limits.handshake_seconds)
    server = Server(address, _GUEST_MODE, callers, bounds)
    tickets.gate = server.gate
    service = GuestService(
        callers,
        parts.sessions,
        parts.protection,
        parts.spool,
        Terms(limits, wire.duration(settings.cache.valid_for_seconds)),
        parts.ksn.participation_of,
        check_url=parts.web.check,
        events=parts.witness.log,
        scans=parts.scans,
    )
    service.add_to(server.grpc)
    stack.push_async_callback(server.stop, 0)
    await server.start(guest_pb2.DESCRIPTOR.services_by_name["Protection"].full_name)
    await stack.enter_async_context(assemble_connections(address, limits, parts.sessions).watched())
    return server


async def serve_administrators(
    settings: Settings, parts: Parts, control: SvmControl, policies: PolicyControl, stack: AsyncExitStack
) -> Server:
    """Open the administrators' socket; it is closed when the stack unwinds."""
    address = Address.parse(f"unix:{settings.server.admin}")
    ranks = Ranks(_ranks(settings.administrators))
    mode = _SHARED_ADMIN_MODE if ranks.are_of_others else _ADMIN_MODE
    office = await _office(
        address.path, lambda path: TicketOffice(path, mode, listener=_AdminTickets(ranks)), stack
    )
    assert office is not None
    callers = Callers(ByTicket(office, ranks))
    server = Server(address, mode, callers)
    _add_administration(server, callers, parts, control, policies)
    stack.push_async_callback(server.stop, 0)
    files = (admin_pb2, events_pb2, exposure_pb2, scans_pb2)
    services = [each for file in files for each in file.DESCRIPTOR.services_by_name.values()]
    await server.start(*(service.full_name for service in services))
    return server


def _add_administration(
    server: Server, callers: Callers, parts: Parts, control: SvmControl, policies: PolicyControl
) -> None:
    caller = callers.caller
    service = AdministrationService(control, caller, time.time)
    admin_pb2_grpc.add_AdministrationServicer_to_server(service, server.grpc)
    ksn = KsnAdministrationService(policies, caller)
    admin_pb2_grpc.add_KsnAdministrationServicer_to_server(ksn, server.grpc)
    EventsAdministrationService(parts.witness.log, caller).add_to(server.grpc)
    ExposureAdministrationService(GuestControl(parts), caller).add_to(server.grpc)
    scans_service(parts.scans, parts.witness, caller).add_to(server.grpc)


def _ranks(settings: AdministratorSettings) -> list[Rank]:
    """The ranks of the settings, the mightiest first."""
    lists = (
        (Role.PROVIDER, settings.providers),
        (Role.TENANT_ADMIN, settings.tenant_admins),
        (Role.AUDITOR, settings.auditors),
        (Role.AUDITOR, settings.tenant_auditors),
    )
    return [_rank(role, entry) for role, entries in lists for entry in entries]


def _rank(role: Role, entry: str) -> Rank:
    """entry: "user:NAME" or "group:NAME", for some roles behind "TENANT="."""
    tenant, _, who = entry.rpartition("=")
    number = number_of(who)
    return Rank(role, tenant, number, None) if who.startswith("user:") else Rank(role, tenant, None, number)


async def _office(
    socket: Path | None, make: Callable[[Path], TicketOffice], stack: AsyncExitStack
) -> TicketOffice | None:
    """The ticket office beside a unix socket; None on TCP."""
    if socket is None:
        return None
    clear_stale_socket(socket)
    return await stack.enter_async_context(make(Path(f"{socket}.id")))
