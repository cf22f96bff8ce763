"""The EventsAdministration service: what happened, from the file, and as it comes.

Each reader has a place of his own in the file and waits for what comes after it. So nothing gathers for one
who is slow; and one who takes nothing is cut. Those who wait for the same have it read once for all of them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import events_pb2, events_pb2_grpc

from appliance.domain.event import Event, EventKind
from appliance.events.log import EventLog
from appliance.rpc.admin_calls import (
    BadRequest,
    CallerOf,
    checked_limit,
    refusals,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.rpc.identity import Context
from appliance.rpc.patience import Patience
from appliance.state.event_record import sieve

DEFAULT_EVENTS = 100
MAX_EVENTS = 100_000
MAX_KINDS = 32

_READ_AT_ONCE = 128  # 4 ms of a thread
_MESSAGE_BYTES = 256 * 1024  # of a reply, before its last event

Numbered = tuple[int, Event]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for. kinds: none for all. guest, tenant: "" for all."""

    kinds: frozenset[EventKind]
    guest: str
    tenant: str = ""

    def __call__(self, event: Event) -> bool:
        """Whether an event is."""
        if self.tenant not in ("", event.tenant):
            return False
        if self.kinds and event.kind not in self.kinds:
            return False
        return not self.guest or event.guest == self.guest or self.guest in event.guests


class EventsAdministrationService:
    """Serves administrators beside AdministrationService, on the same socket.

    Not derived from the generated servicer, whose types know streams as iterators only.
    """

    def __init__(
        self,
        log: EventLog,
        caller: CallerOf,
        patience: Patience = Patience(),  # noqa: B008  it is frozen
        turns: Turns | None = None,
    ) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self._log = log
        self._caller = caller
        self._patience = patience
        self.places = (turns or Turns()).events
        self._reads: dict[
            int, asyncio.Task[tuple[int, list[Numbered]]]
        ] = {}  # under way, by the first number

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        servicer = cast("events_pb2_grpc.EventsAdministrationServicer", self)
        events_pb2_grpc.add_EventsAdministrationServicer_to_server(servicer, server)

    async def ListEvents(self, request: events_pb2.ListEventsRequest, context: Context) -> None:
        """See events.proto."""
        caller = await self._caller(context)
        async with refusals(context):
            with self.places.one(caller):
                wanted = _wanted(request, tenant_of(caller, request.tenant))
                limit = checked_limit(request.limit, DEFAULT_EVENTS, MAX_EVENTS)
                await self._send(request, wanted, limit, context)

    async def _send(
        self, request: events_pb2.ListEventsRequest, wanted: Wanted, limit: int, context: Context
    ) -> None:
        store = self._log.store
        newest = store.last
        if request.after:
            first = request.after + 1 if request.after <= newest else 1
        else:
            first = await self._first_of_newest(wanted, request.since.seconds, limit)
        while request.follow or first <= newest:
            await self._log.grown(first - 1)
            last, some = await self._read(first)
            first = some[-1][0] + 1 if some else last + 1
            for reply in _replies([(number, event) for number, event in some if wanted(event)]):
                await self._patience.send(context, reply)

    async def _first_of_newest(self, wanted: Wanted, since: float, limit: int) -> int:
        """The number from which on `limit` events are wanted, or all that are of `since` or later.

        A few are looked at in one go: a reader who goes away leaves no work behind.
        """
        store, may = self._log.store, sieve(wanted.kinds, wanted.tenant)
        first = below = store.last + 1
        while below:
            looked = await self._log.read(partial(store.back_from, below, may))
            for number, event in looked.found:
                if event.at < since or not limit:
                    return first
                if wanted(event):
                    first, limit = number, limit - 1
            below = looked.below if limit and looked.at >= since else 0
        return first

    async def _read(self, first: int) -> tuple[int, list[Numbered]]:
        """The number of the newest event, and some from a number on: read once for all who ask at once."""
        if first not in self._reads:
            read = asyncio.get_running_loop().create_task(self._read_from(first))
            self._reads[first] = read
            read.add_done_callback(lambda read: self._was_read(first, read))
        return await asyncio.shield(self._reads[first])

    def _was_read(self, first: int, read: asyncio.Task[tuple[int, list[Numbered]]]) -> None:
        del self._reads[first]
        if not read.cancelled():
            read.exception()  # is told to those who wait; where nobody does, asyncio would complain

    async def _read_from(self, first: int) -> tuple[int, list[Numbered]]:
        store = self._log.store
        last = store.last  # before it is read: what comes meanwhile is not passed over
        return last, await self._log.read(partial(store.from_number, first, _READ_AT_ONCE))


def _wanted(request: events_pb2.ListEventsRequest, tenant: str) -> Wanted:
    if len(request.kinds) > MAX_KINDS:
        raise BadRequest(f"{len(request.kinds)} kinds: give at most {MAX_KINDS}")
    try:
        return Wanted(frozenset(map(EventKind, request.kinds)), request.guest, tenant)
    except ValueError as error:
        raise BadRequest(f"{str(error)[:80]}: give {', '.join(EventKind)}") from error


def _replies(events: Sequence[Numbered]) -> Iterator[events_pb2.ListEventsReply]:
    """Yield events as messages that the wire can take."""
    reply, size = events_pb2.ListEventsReply(), 0
    for number, event in events:
        message = event_message(number, event)
        reply.events.append(message)
        size += message.ByteSize()
        if size >= _MESSAGE_BYTES:
            yield reply
            reply, size = events_pb2.ListEventsReply(), 0
    if reply.events:
        yield reply


def event_message(number: int, event: Event) -> events_pb2.Event:
    """Return an event as a message."""
    said = event.said
    return events_pb2.Event(
        number=number,
        at=_timestamp(event.at),
        kind=event.kind,
        guest=event.guest,
        sha256=event.sha256,
        threat=event.threat,
        text=event.text,
        author=event.actor,
        count=event.count,
        guests=event.guests,
        tenant=event.tenant,
        said=None
        if said is None
        else events_pb2.SaidByGuest(
            number=said.number,
            at=_timestamp(said.at),
            path=said.path,
            process=said.process,
            action=said.action,
        ),
    )


def _timestamp(seconds: float) -> Timestamp | None:
    """Return seconds since the epoch, to the millisecond; None for 0, which stands for no time at all."""
    if not seconds:
        return None
    whole = int(seconds)
    return Timestamp(seconds=whole, nanos=int((seconds - whole) * 1000) * 1_000_000)
