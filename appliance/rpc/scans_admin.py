"""The ScansAdministration service: scans of whole guests, ordered, looked at and called off.

Who follows has the version up to which he was told, and asks for what changed since: nothing gathers for one
who is slow.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol, cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import scans_pb2, scans_pb2_grpc

from appliance.domain.caller import Caller
from appliance.domain.scan import MAX_PATH_BYTES, MAX_PATHS, MAX_PATHS_BYTES, SCAN_BYTES
from appliance.rpc.admin_calls import (
    BadRequest,
    CallerOf,
    answered,
    checked_limit,
    refusals,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.rpc.identity import Context
from appliance.rpc.patience import Patience
from appliance.scans.board import Board
from appliance.scans.desk import ScanView
from appliance.scans.orders import MOST_ORDERS, Placed, Wanted

MAX_GUESTS = 4096
MAX_SCANS = MOST_ORDERS  # of one list
LATE_SECONDS = 60  # that `at` may lie in the past: a moment ago is now

_VIEWS_OF_MESSAGE = 256
_MESSAGE_BYTES = 256 * 1024  # of a reply, before its last scan
_GATHER_SECONDS = 0.2  # that changes are gathered for who follows
_END_OF_TIME = 253_402_300_799  # the last second of the year 9999, where Timestamp ends


class ScansControl(Protocol):
    """What the SVM does about scans for an administrator. tenant: whose guests, "" for all."""

    def now(self) -> float:
        """Seconds since the epoch."""

    @property
    def board(self) -> Board:
        """Which scans changed."""

    async def order(self, guests: Sequence[str] | None, wanted: Wanted, tenant: str) -> Sequence[Placed]:
        """Have guests scanned, None: all; what came of it for each. Raises ControlRefused."""

    def views(self, tenant: str) -> Iterable[ScanView]:
        """How all scans stand, the newest first; each is looked at when it is its turn."""

    def views_of(self, scans: Iterable[bytes], tenant: str) -> Iterable[ScanView]:
        """How some stand that are, and are the tenant's; the same."""

    async def cancel(self, scans: Sequence[bytes] | None, actor: str, tenant: str) -> int:
        """Call scans off, None: all that are open; how many were. Raises ControlRefused."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which scans are asked for."""

    scans: frozenset[bytes]
    guest: str
    tenant: str
    open: bool

    def __call__(self, view: ScanView) -> bool:
        """Whether a scan of the tenant's is."""
        order = view.order
        if self.scans and order.id not in self.scans:
            return False
        return (not self.guest or order.guest == self.guest) and (order.is_open or not self.open)


class ScansAdministrationService:
    """Serves administrators beside AdministrationService, on the same socket.

    Not derived from the generated servicer, whose types know streams as iterators only.
    """

    def __init__(
        self,
        control: ScansControl,
        caller: CallerOf,
        patience: Patience = Patience(),  # noqa: B008  it is frozen
        turns: Turns | None = None,
    ) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self.caller = caller
        self.turns = turns or Turns()
        self._control = control
        self._patience = patience
        self.places = self.turns.scans

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        servicer = cast("scans_pb2_grpc.ScansAdministrationServicer", self)
        scans_pb2_grpc.add_ScansAdministrationServicer_to_server(servicer, server)

    @answered
    async def OrderScans(
        self, request: scans_pb2.OrderScansRequest, caller: Caller
    ) -> scans_pb2.OrderScansReply:
        """Have guests scanned."""
        if len(request.guests) > MAX_GUESTS or bool(request.guests) == request.all:
            raise BadRequest(f"{len(request.guests)} guests: name 1 to {MAX_GUESTS}, or ask for all")
        now = int(self._control.now())
        due = request.at.seconds if request.HasField("at") else now
        if not now - LATE_SECONDS <= due <= _END_OF_TIME:
            raise BadRequest("the time lies in the past: give a later one, or none to begin now")
        wanted = Wanted(_checked_paths(request.paths), caller.author, max(now, due))
        guests, tenant = None if request.all else list(request.guests), tenant_of(caller, request.tenant)
        placed = await self._control.order(guests, wanted, tenant)
        return scans_pb2.OrderScansReply(scans=map(_placed_message, placed))

    @answered
    async def CancelScans(
        self, request: scans_pb2.CancelScansRequest, caller: Caller
    ) -> scans_pb2.CancelScansReply:
        """Call scans off."""
        if not request.scans and not request.all:
            raise BadRequest("no scan is named: name some, or ask for all")
        scans = None if request.all else _checked_ids(request.scans)
        cancelled = await self._control.cancel(scans, caller.author, tenant_of(caller, request.tenant))
        return scans_pb2.CancelScansReply(cancelled=cancelled)

    async def ListScans(self, request: scans_pb2.ListScansRequest, context: Context) -> None:
        """See scans.proto."""
        caller = await self.caller(context)
        async with refusals(context):
            with self.places.one(caller):
                scans, tenant = frozenset(_checked_ids(request.scans)), tenant_of(caller, request.tenant)
                asked = _Asked(scans, request.guest, tenant, request.open)
                limit = checked_limit(request.limit, MAX_SCANS, MAX_SCANS)
                await self._send(asked, limit, request.follow, context)

    async def _send(self, asked: _Asked, limit: int, follow: bool, context: Context) -> None:
        """Send what is asked for."""
        control = self._control
        version = control.board.version
        left = set(asked.scans)
        views = (await self._chosen(control.views(asked.tenant), asked, limit))[::-1]
        told_open = {view.order.id for view in views if view.order.is_open}
        while True:
            for reply in _replies(views):
                await self._patience.send(context, reply)
            left -= {view.order.id for view in views if not view.order.is_open}
            # Forgotten meanwhile, or another tenant's.
            if left:
                found = await self.turns.all_of(control.views_of(list(left), asked.tenant))
                left &= {view.order.id for view in found}
            if not follow or (asked.scans and not left):
                return
            await control.board.changed(version)
            await asyncio.sleep(_GATHER_SECONDS)
            changed, version = control.board.since(version), control.board.version
            # Of one that was told as open, its end is told too where only open ones are asked for.
            some = control.views_of(changed, asked.tenant)
            views = await self._chosen(some, asked, MAX_SCANS, told_open)
            told_open |= {view.order.id for view in views if view.order.is_open}
            told_open -= {view.order.id for view in views if not view.order.is_open}

    async def _chosen(
        self, views: Iterable[ScanView], asked: _Asked, limit: int, told: Set[bytes] = frozenset()
    ) -> list[ScanView]:
        """The first of many that are asked for, or were told of, looked at with others in between."""
        found: list[ScanView] = []

        def take(view: ScanView) -> None:
            if asked(view) or view.order.id in told:
                found.append(view)

        await self.turns.each(takewhile(lambda _view: len(found) < limit, views), take)
        return found


def _checked_ids(scans: Sequence[bytes]) -> list[bytes]:
    if len(scans) > MAX_GUESTS:
        raise BadRequest(f"{len(scans)} scans: name at most {MAX_GUESTS}")
    for scan in scans:
        if len(scan) != SCAN_BYTES:
            raise BadRequest(f"a scan's id has {len(scan)} bytes: give exactly {SCAN_BYTES}")
    return list(scans)


def _checked_paths(paths: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return each path in its one form, /etc for //etc/./ too, so that the same scan is the same."""
    if len(paths) > MAX_PATHS or sum(map(len, paths)) > MAX_PATHS_BYTES:
        raise BadRequest(
            f"{len(paths)} paths of {sum(map(len, paths))} bytes: give at most {MAX_PATHS}, "
            f"of {MAX_PATHS_BYTES} bytes together"
        )
    for path in paths:
        if not path.startswith(b"/") or b"\0" in path or len(path) > MAX_PATH_BYTES:
            shown = path[:80].decode(errors="replace")
            raise BadRequest(
                f"{shown!r} is no path to scan: begin it with /, and give at most {MAX_PATH_BYTES} bytes"
            )
    split = [[part for part in path.split(b"/") if part not in (b"", b".")] for path in paths]
    if any(b".." in parts for parts in split):  # where that leads, links in the guest decide
        raise BadRequest("a path to scan has .. in it: write the directory that is meant")
    return tuple(dict.fromkeys(b"/" + b"/".join(parts) for parts in split))


def _replies(views: Sequence[ScanView]) -> Iterator[scans_pb2.ListScansReply]:
    """Yield scans as messages that the wire can take."""
    reply, size = scans_pb2.ListScansReply(), 0
    for view in views:
        message = scan_message(view)
        reply.scans.append(message)
        size += message.ByteSize()
        if size >= _MESSAGE_BYTES or len(reply.scans) >= _VIEWS_OF_MESSAGE:
            yield reply
            reply, size = scans_pb2.ListScansReply(), 0
    if reply.scans:
        yield reply


def scan_message(view: ScanView) -> scans_pb2.OrderedScan:
    """Return a scan as a message."""
    order, counts = view.order, view.counts
    return scans_pb2.OrderedScan(
        scan=order.id,
        guest=order.guest,
        paths=order.paths,
        author=order.actor,
        ordered=Timestamp(seconds=order.ordered_at),
        due=Timestamp(seconds=order.due_at),
        ended=Timestamp(seconds=order.ended_at) if order.ended_at else None,
        state=view.state,
        files=counts.files,
        bytes=counts.bytes,
        malicious=counts.malicious,
        suspicious=counts.suspicious,
        unanswered=counts.unanswered,
        expected_files=counts.expected,
        text=view.text,
        tenant=order.tenant,
    )


def _placed_message(placed: Placed) -> scans_pb2.PlacedScan:
    order = placed.order
    return scans_pb2.PlacedScan(
        guest=placed.guest,
        scan=b"" if order is None else order.id,
        already=placed.already,
        why=placed.why,
        due=None if order is None else Timestamp(seconds=order.due_at),
    )
