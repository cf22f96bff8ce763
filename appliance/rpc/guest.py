"""The Protection service: what guests may ask, within the limits of one guest."""

from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message
from lightagent.v1 import guest_pb2

from appliance.protection import Protection
from appliance.rpc.attach import serve_attach
from appliance.rpc.calls import Refused, attach_call, parser, session_call
from appliance.rpc.check import CheckCall
from appliance.rpc.identity import Callers, Context
from appliance.rpc.scan import ScanCall
from appliance.rpc.sessions import Sessions
from appliance.rpc.terms import Terms
from appliance.scanning.spool import Spool


class GuestService:
    """One instance for all guests; each call is an object of its own.

    Not derived from the generated servicer, whose types know streams as iterators only: the calls
    here read and write by hand, since replies come when they are known.
    """

    def __init__(
        self, callers: Callers, sessions: Sessions, protection: Protection, spool: Spool, terms: Terms
    ) -> None:
        """callers: says who a connection is."""
        self._callers = callers
        self._sessions = sessions
        self._protection = protection
        self._spool = spool
        self._terms = terms

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        streams = ((self.Attach, guest_pb2.AttachRequest), (self.Check, guest_pb2.CheckRequest))
        handlers = {
            method.__name__: grpc.stream_stream_rpc_method_handler(
                method, request_deserializer=parser(kind), response_serializer=_serialized
            )
            for method, kind in streams
        }
        handlers["Scan"] = grpc.stream_unary_rpc_method_handler(
            self.Scan, request_deserializer=parser(guest_pb2.ScanRequest), response_serializer=_serialized
        )
        service = guest_pb2.DESCRIPTOR.services_by_name["Protection"].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def Attach(self, _requests: AsyncIterator[guest_pb2.AttachRequest], context: Context) -> None:
        """See guest.proto."""
        async with attach_call(context, self._callers, self._sessions) as guest:
            await serve_attach(context, guest, self._sessions, self._protection, self._terms)

    async def Check(self, _requests: AsyncIterator[guest_pb2.CheckRequest], context: Context) -> None:
        """See guest.proto."""
        async with session_call(context, self._callers, self._sessions) as session:
            if session.checking:
                raise Refused("this guest has a Check stream already: send your batches on that one")
            session.checking = True
            try:
                call = CheckCall(context, session, self._protection, self._terms)
                await call.run(self._sessions)
            finally:
                session.checking = False

    async def Scan(
        self, _requests: AsyncIterator[guest_pb2.ScanRequest], context: Context
    ) -> guest_pb2.ScanReply:
        """See guest.proto."""
        async with session_call(context, self._callers, self._sessions) as session:
            if session.scans >= self._terms.limits.scan_streams:
                raise Refused(
                    f"this guest has {session.scans} Scan streams already: send your uploads on those"
                )
            session.scans += 1
            try:
                call = ScanCall(context, session, self._protection, self._spool, self._terms)
                await call.run(self._sessions)
            finally:
                session.scans -= 1
        return guest_pb2.ScanReply()


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
