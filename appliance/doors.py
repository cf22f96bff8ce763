"""The doors of an SVM: where guests and administrators come in, and who is let through where."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
from lightagent.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    enrolment_pb2,
    events_pb2,
    exposure_pb2,
    guest_pb2,
    hosts_pb2,
    hosts_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    images_pb2,
    scans_pb2,
)

from appliance.config import Settings
from appliance.config_doors import AdministratorSettings, number_of
from appliance.config_limits import Limits
from appliance.control import Parts, SvmControl
from appliance.domain.caller import Role
from appliance.exposure_control import GuestControl
from appliance.identity_assembly import IdentityParts, told_address
from appliance.inventory_control import HostControl
from appliance.ksn_control import PolicyControl
from appliance.limits_assembly import watch_guests, watched_door
from appliance.rpc import wire
from appliance.rpc.access import Gate
from appliance.rpc.admin import AdministrationService
from appliance.rpc.administrators import Rank, Ranks
from appliance.rpc.admission import ANYBODY, ByRegister
from appliance.rpc.enrolment import MAX_MESSAGE_BYTES
from appliance.rpc.events_admin import EventsAdministrationService
from appliance.rpc.exposure_admin import ExposureAdministrationService
from appliance.rpc.guest import GuestService
from appliance.rpc.hosts_admin import HostAdministrationService
from appliance.rpc.identity import ByCertificate, ByTicket, Callers, Nobody, Vouching, guest_process
from appliance.rpc.identity_admin import IdentityAdministrationService, IdentityView
from appliance.rpc.images_admin import ImageAdministrationService
from appliance.rpc.ksn_admin import KsnAdministrationService
from appliance.rpc.server import Address, CannotListen, Server, ServerBounds
from appliance.rpc.sessions import Sessions
from appliance.rpc.terms import Terms
from appliance.rpc.tickets import Listener, PeerCredentials, TicketBounds, TicketOffice, clear_stale_socket
from appliance.rpc.tls import server_credentials
from appliance.scans_assembly import scans_service

_GUEST_MODE = 0o660  # of the guests' socket
_ADMIN_MODE = 0o600
_SHARED_ADMIN_MODE = 0o666  # where others may administer too: the kernel says who comes, the ranks who may
_OTHER_STREAMS = (
    8  # of a guest, beside its uploads: Attach, Check, health, and some to be refused with a sentence
)
_OTHER_ENROLMENT_STREAMS = 4  # of a connection: health, and some to be refused with a sentence
_NO_AUTHORITY = (
    "server.{setting} is on TCP, where certificates say who calls, and the SVM has no authority that issues "
    "them: run `svm init` first"
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
            self.gate.end(guest_process(owner), _TICKET_ENDED)


class _AdminTickets(Listener):
    """Has nobody get a ticket who is no administrator."""

    def __init__(self, ranks: Ranks, sessions: Sessions) -> None:
        self._ranks = ranks
        self._sessions = sessions

    def refused(self, _who: str, _why: str) -> None:
        self._sessions.counts["tickets_refused"] += 1

    def why_none(self, owner: PeerCredentials) -> str:
        return self._ranks.why_not(owner)


async def serve_guests(settings: Settings, parts: Parts, stack: AsyncExitStack) -> Server:
    """Open the guests' door; it is closed when the stack unwinds.

    Raises CannotListen, also where it is on TCP and `svm init` was not run.
    """
    address, limits = Address.parse(settings.server.listen), settings.limits
    of_tickets = TicketBounds(limits.max_tickets, limits.tickets_per_user)
    tickets = _GuestTickets(parts.sessions)
    identity = None if address.path is not None else parts.identity
    office = await _office(
        address.path, lambda path: TicketOffice(path, _GUEST_MODE, of_tickets, tickets), stack
    )
    callers = Callers(_vouching(office, identity))
    streams = limits.scan_streams + _OTHER_STREAMS
    bounds = replace(_bounds(limits, limits.connections), streams=streams)
    credentials = None if identity is None else server_credentials(identity.server, mutual=True)
    server = Server(address, _GUEST_MODE, callers, bounds, credentials, parts.sessions.call_refused)
    tickets.gate = _counting(server, parts.sessions).gate
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
        admission=ANYBODY if identity is None else ByRegister(identity.registry, parts.sessions),
    )
    service.add_to(server.grpc)
    names = [guest_pb2.DESCRIPTOR.services_by_name["Protection"].full_name]
    if identity is not None:
        identity.service.add_renewal_to(server.grpc)
        identity.registry.on_ended.append(server.gate.end)
        names.append(enrolment_pb2.DESCRIPTOR.services_by_name["Renewal"].full_name)
    stack.push_async_callback(server.stop, 0)
    watch_guests(parts.connections, address, limits, parts.sessions)
    await server.start(*names)
    return server


def _vouching(office: TicketOffice | None, identity: IdentityParts | None) -> Vouching:
    """What the connections of the guests' door prove."""
    if office is not None:
        return ByTicket(office)
    if identity is None:
        raise CannotListen(_NO_AUTHORITY.format(setting="listen"))
    return ByCertificate(identity.registry)


async def serve_by_certificate(
    settings: Settings, parts: Parts, control: SvmControl, policies: PolicyControl, stack: AsyncExitStack
) -> list[Server]:
    """Open the door at which guests enrol, and that of administrators from elsewhere, where they are set.

    Raises CannotListen where `svm init` was not run.
    """
    servers: list[Server] = []
    identity = parts.identity
    for setting in ("enrolment", "admin_listen"):
        if getattr(settings.server, setting) and identity is None:
            raise CannotListen(_NO_AUTHORITY.format(setting=setting))
    if identity is not None and settings.server.enrolment:
        servers.append(await _serve_enrolment(settings, parts, identity, stack))
    if identity is not None and settings.server.admin_listen:
        callers = Callers(ByCertificate(identity.registry))
        credentials = server_credentials(identity.server, mutual=True)
        address = Address.parse(f"tcp:{settings.server.admin_listen}")
        bounds = _bounds(settings.limits, settings.limits.admin_connections)
        server = Server(address, 0, callers, bounds, credentials, parts.sessions.call_refused)
        identity.registry.on_ended.append(_counting(server, parts.sessions).gate.end)
        _watch(address, settings, parts, "admin_connections")
        await _start_administration(server, callers, (settings, parts, control, policies), stack)
        servers.append(server)
    return servers


async def _serve_enrolment(
    settings: Settings, parts: Parts, identity: IdentityParts, stack: AsyncExitStack
) -> Server:
    address, limits = Address.parse(f"tcp:{settings.server.enrolment}"), settings.limits
    bounds = replace(
        _bounds(limits, limits.enrolment_connections),
        streams=settings.identity.enrolments_per_connection + _OTHER_ENROLMENT_STREAMS,
        message_bytes=MAX_MESSAGE_BYTES,
    )
    credentials = server_credentials(identity.server, mutual=False)
    server = Server(address, 0, Callers(Nobody()), bounds, credentials, parts.sessions.call_refused)
    _counting(server, parts.sessions)
    identity.service.add_enrolment_to(server.grpc)
    stack.push_async_callback(server.stop, 0)
    _watch(address, settings, parts, "enrolment_connections")
    await server.start(enrolment_pb2.DESCRIPTOR.services_by_name["Enrolment"].full_name)
    return server


async def serve_administrators(
    settings: Settings, parts: Parts, control: SvmControl, policies: PolicyControl, stack: AsyncExitStack
) -> Server:
    """Open the administrators' socket; it is closed when the stack unwinds."""
    address = Address.parse(f"unix:{settings.server.admin}")
    ranks = Ranks(_ranks(settings.administrators))
    mode = _SHARED_ADMIN_MODE if ranks.are_of_others else _ADMIN_MODE
    office = await _office(
        address.path,
        lambda path: TicketOffice(path, mode, listener=_AdminTickets(ranks, parts.sessions)),
        stack,
    )
    assert office is not None
    callers = Callers(ByTicket(office, ranks))
    bounds = _bounds(settings.limits, settings.limits.admin_connections)
    server = Server(address, mode, callers, bounds, on_refused=parts.sessions.call_refused)
    _counting(server, parts.sessions)
    _watch(address, settings, parts, "admin_connections")
    await _start_administration(server, callers, (settings, parts, control, policies), stack)
    return server


async def _start_administration(
    server: Server,
    callers: Callers,
    about: tuple[Settings, Parts, SvmControl, PolicyControl],
    stack: AsyncExitStack,
) -> None:
    """Have a server serve administrators; it is closed when the stack unwinds."""
    settings, parts, control, policies = about
    _add_administration(server, callers, parts, control, policies)
    view = IdentityView(
        None if parts.identity is None else parts.identity.registry,
        told_address(settings.server.enrolment, parts.identity),
        told_address(settings.server.listen, parts.identity),
        lambda guest: bool(parts.sessions.of_guest(guest)),
        time.time,
    )
    service = IdentityAdministrationService(view, callers.caller, parts.turns)
    identity_pb2_grpc.add_IdentityAdministrationServicer_to_server(service, server.grpc)
    stack.push_async_callback(server.stop, 0)
    terms = Terms(settings.limits, wire.duration(settings.cache.valid_for_seconds))
    ImageAdministrationService(parts, terms, parts.sight.tenants, parts.witness, callers.caller).add_to(
        server.grpc
    )
    files = (admin_pb2, events_pb2, exposure_pb2, scans_pb2, identity_pb2, hosts_pb2, images_pb2)
    services = [each for file in files for each in file.DESCRIPTOR.services_by_name.values()]
    await server.start(*(each.full_name for each in services))


def _add_administration(
    server: Server, callers: Callers, parts: Parts, control: SvmControl, policies: PolicyControl
) -> None:
    caller = callers.caller
    service = AdministrationService(control, caller, time.time, parts.turns)
    admin_pb2_grpc.add_AdministrationServicer_to_server(service, server.grpc)
    ksn = KsnAdministrationService(policies, caller, parts.turns)
    admin_pb2_grpc.add_KsnAdministrationServicer_to_server(ksn, server.grpc)
    EventsAdministrationService(parts.witness.log, caller, turns=parts.turns).add_to(server.grpc)
    ExposureAdministrationService(GuestControl(parts), caller, parts.turns).add_to(server.grpc)
    scans_service(parts.scans, parts.witness, caller, parts.turns).add_to(server.grpc)
    hosts = HostAdministrationService(HostControl(parts), caller, parts.turns)
    hosts_pb2_grpc.add_HostAdministrationServicer_to_server(hosts, server.grpc)


def _bounds(limits: Limits, connections: int) -> ServerBounds:
    return ServerBounds(
        connections=connections,
        health_calls=limits.health_calls,
        handshake_seconds=limits.handshake_seconds,
    )


def _counting(server: Server, sessions: Sessions) -> Server:
    """Have calls to its health service counted that made way."""
    server.on_made_way.append(partial(sessions.over, "limits.health_calls"))
    return server


def _watch(address: Address, settings: Settings, parts: Parts, setting: str) -> None:
    """Have nobody hold more connections of a door than he may. setting: how many it takes of everybody."""
    parts.connections.watch(watched_door(address, settings.limits, parts.sessions, setting))


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
