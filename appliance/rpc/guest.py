"""The Protection service: what guests may ask, within the limits of one guest."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message
from lightagent.v1 import guest_pb2

from appliance.domain.guest import Guest
from appliance.domain.participation import KsnState, Participation, Reason
from appliance.protection import Protection
from appliance.rpc.admission import ANYBODY, Admission
from appliance.rpc.attach import Around, serve_attach
from appliance.rpc.calls import Refused, attach_call, ends_as_said, parser, session_call
from appliance.rpc.check import CheckCall
from appliance.rpc.check_url import CheckUrl, UrlQuestions, nobody_knows
from appliance.rpc.flood import Turns
from appliance.rpc.guest_events import NOBODY_KEEPS, Keeping
from appliance.rpc.identity import Callers, Context
from appliance.rpc.ksn_views import participation_message
from appliance.rpc.scan import ScanCall
from appliance.rpc.scan_words import NOBODY_SCANS, ScanDesk
from appliance.rpc.sessions import Sessions
from appliance.rpc.terms import Terms
from appliance.scanning.spool import Spool

KSN_INFO_PER_SECOND = 10

_NOT_ENABLED = Participation(
    KsnState.OFF,
    reasons=((Reason.PROVIDER_DISABLED, "whoever runs this SVM has not enabled KSN: nothing is sent"),),
)


def not_enabled(_guest: Guest) -> Participation:
    """Nobody takes part, since the provider has not enabled KSN."""
    return _NOT_ENABLED


@dataclass(slots=True, eq=False)
class GuestService:
    """One instance for all guests; each call is an object of its own.

    callers: says who a connection is. participation: how KSN is used for a guest's tenant now.
    clock: monotonic seconds. check_url: what is known of a web address. events: keeps what guests say
    happened. scans: has orders for guests, and slots. admission: says who may attach.

    Not derived from the generated servicer, whose types know streams as iterators only: the calls
    here read and write by hand, since replies come when they are known.
    """

    callers: Callers
    sessions: Sessions
    protection: Protection
    spool: Spool
    terms: Terms
    participation: Callable[[Guest], Participation] = not_enabled
    clock: Callable[[], float] = time.monotonic
    check_url: CheckUrl = nobody_knows
    events: Keeping = NOBODY_KEEPS
    scans: ScanDesk = NOBODY_SCANS
    admission: Admission = ANYBODY
    _ksn_turns: Turns = field(init=False)
    _urls: UrlQuestions = field(init=False)

    def __post_init__(self) -> None:
        self._ksn_turns = Turns(KSN_INFO_PER_SECOND, self.clock)
        self._urls = UrlQuestions(self.check_url, self.clock, self.sessions.limits)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        most = self.sessions.limits.message_kib << 10
        streams = ((self.Attach, guest_pb2.AttachRequest), (self.Check, guest_pb2.CheckRequest))
        handlers = {
            method.__name__: grpc.stream_stream_rpc_method_handler(
                method, request_deserializer=parser(kind, most), response_serializer=_serialized
            )
            for method, kind in streams
        }
        handlers["Scan"] = grpc.stream_unary_rpc_method_handler(
            self.Scan,
            request_deserializer=parser(guest_pb2.ScanRequest, most),
            response_serializer=_serialized,
        )
        # Without a parser: what that raises in a unary call never comes to us.
        for unary in (self.KsnInfo, self.CheckUrl):
            handlers[unary.__name__] = grpc.unary_unary_rpc_method_handler(
                unary, response_serializer=_serialized
            )
        service = guest_pb2.DESCRIPTOR.services_by_name["Protection"].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def Attach(self, _requests: AsyncIterator[guest_pb2.AttachRequest], context: Context) -> None:
        """See guest.proto."""
        async with attach_call(context, self.callers, self.sessions) as guest:
            around = Around(
                self.sessions, self.protection, self.terms, self.events, self.scans, self.admission
            )
            await serve_attach(context, guest, around)

    async def Check(self, _requests: AsyncIterator[guest_pb2.CheckRequest], context: Context) -> None:
        """See guest.proto."""
        async with session_call(context, self.callers, self.sessions) as session:
            if session.checking:
                raise Refused("this session has a Check stream already: send your batches on that one")
            session.checking = True
            try:
                call = CheckCall(context, session, self.protection, self.terms)
                await call.run(self.sessions)
            finally:
                session.checking = False

    async def Scan(
        self, _requests: AsyncIterator[guest_pb2.ScanRequest], context: Context
    ) -> guest_pb2.ScanReply:
        """See guest.proto."""
        async with session_call(context, self.callers, self.sessions) as session:
            if session.scans >= self.terms.limits.scan_streams:
                raise Refused(
                    f"this session has {session.scans} Scan streams already: send your uploads on those",
                    "limits.scan_streams",
                )
            session.scans += 1
            try:
                call = ScanCall(context, session, self.protection, self.spool, self.terms)
                await call.run(self.sessions)
            finally:
                session.scans -= 1
        return guest_pb2.ScanReply()

    async def KsnInfo(self, said: bytes, context: Context) -> guest_pb2.KsnInfoReply:
        """See guest.proto. said: a KsnInfoRequest."""
        guest = await self.callers.guest(context)
        reply = guest_pb2.KsnInfoReply()
        async with ends_as_said(context, self.sessions, guest):
            if not self._ksn_turns.takes(guest.id):
                raise Refused(
                    f"this guest asked about KSN more than {KSN_INFO_PER_SECOND} times in a second: "
                    "ask again in a moment"
                )
            parser(guest_pb2.KsnInfoRequest)(said)
            reply.participation.CopyFrom(participation_message(self.participation(guest)))
        return reply

    async def CheckUrl(self, said: bytes, context: Context) -> guest_pb2.CheckUrlReply:
        """See guest.proto. said: a CheckUrlRequest."""
        guest = await self.callers.guest(context)
        reply = guest_pb2.CheckUrlReply()
        async with ends_as_said(context, self.sessions, guest):
            reply.CopyFrom(await self._urls.answer(guest, said))
        return reply


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
