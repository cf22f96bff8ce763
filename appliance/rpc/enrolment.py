"""The services Enrolment and Renewal: how a guest gets its certificate, and a newer one.

Whoever reaches the door may call Enrol: he has one of few places there, for a short time, is counted before
anything is done for him, and only who has a token has a request parsed. All refusals of a token are alike,
and take until the same time after the call, whatever was wrong with it.

As in `lobby`, messages are read by hand: gRPC would wait for one for ever.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import enrolment_pb2

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import NotAdmitted
from appliance.domain.identity import MACHINE_BYTES, MAX_HOST_NAME_BYTES
from appliance.identity.authority import AuthorityUnusable
from appliance.identity.issuing import Asked, Enrolled, IdentityRefused, TokenRefused
from appliance.identity.keys import MAX_CSR_BYTES, BadCsr
from appliance.identity.registry import Registry
from appliance.identity.tokens import MAX_TOKEN_BYTES
from appliance.rpc import wire
from appliance.rpc.flood import Turns
from appliance.rpc.identity import Context, address_of, certificate_of
from appliance.rpc.lobby import Lobby
from appliance.state.environment import StateError

MAX_MESSAGE_BYTES = 16 * 1024
PLACE_SECONDS = 15.0
BOUNDS = (  # settings of [identity]
    "enrolments_at_once",
    "enrolments_per_connection",
    "enrolments_per_minute",
    "renewals_per_hour",
)
REFUSAL_SECONDS = 0.5  # after which a token is refused, whatever is wrong with it

_RENEW_AFTER = 2 / 3  # of the life of a certificate
_REFUSED = (
    "this token does not count: it is none, was used before, or its time is over; ask whoever runs the SVM "
    "for another"
)
_STATUSES = {
    NotAdmitted: grpc.StatusCode.UNAUTHENTICATED,
    BadCsr: grpc.StatusCode.INVALID_ARGUMENT,
    IdentityRefused: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Asking = TypeVar("Asking", bound=Message)


class _Ended(Exception):
    """A call ends with a status and a sentence. bound: the setting of [identity] that it is over, or ""."""

    def __init__(self, status: grpc.StatusCode, sentence: str, bound: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.bound = bound


@dataclass(slots=True, eq=False)
class EnrolmentService:
    """Serves both: Enrolment on its own door, Renewal on the guests'.

    terms: how many enrolments and renewals there may be. certificate: what the caller of Renew has shown,
    PEM. clock: seconds since the epoch. monotonic: seconds. counts: calls that were not answered, by the
    setting that they were over, and those that broke a rule.
    """

    registry: Registry
    terms: IdentitySettings
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    certificate: Callable[[Context], bytes] = certificate_of
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys((*BOUNDS, "malformed"), 0)))
    _places: Lobby = field(init=False)
    _enrolments: Turns = field(init=False)
    _renewals: Turns = field(init=False)
    _open: Counter[str] = field(default_factory=Counter)  # calls of a connection, by its peer

    def __post_init__(self) -> None:
        terms = self.terms
        self._places = Lobby(terms.enrolments_at_once, network_of, self._made_way)
        self._enrolments = Turns(terms.enrolments_per_minute, self.monotonic, seconds=60.0)
        self._renewals = Turns(terms.renewals_per_hour, self.monotonic, seconds=3600.0)

    def _made_way(self) -> None:
        self.counts["enrolments_at_once"] += 1

    def add_enrolment_to(self, server: grpc.aio.Server) -> None:
        """Have a server serve Enrolment."""
        _add(server, "Enrolment", self.Enrol)

    def add_renewal_to(self, server: grpc.aio.Server) -> None:
        """Have a server serve Renewal."""
        _add(server, "Renewal", self.Renew)

    async def Enrol(self, _requests: object, context: Context) -> None:
        """See enrolment.proto."""
        await self._answer(self._enrol, context)

    async def Renew(self, _requests: object, context: Context) -> None:
        """See enrolment.proto."""
        await self._answer(self._renew, context)

    async def _enrol(self, said: bytes, context: Context) -> Enrolled:
        begun = self.monotonic()
        if not self._enrolments.takes(network_of(context)):
            most = self.terms.enrolments_per_minute
            sentence = f"more than {most} enrolments in a minute from this address: try later"
            raise _limited(sentence, "enrolments_per_minute")
        request = _parsed(enrolment_pb2.EnrolRequest, said)
        size = len(request.token.encode())
        if not 0 < size <= MAX_TOKEN_BYTES:
            raise _malformed(f"token has {size} bytes: give 1 to {MAX_TOKEN_BYTES}")
        asked = _asked(request.csr, request.machine, wire.label(request.host_name, MAX_HOST_NAME_BYTES))
        try:
            return await self.registry.enrol(request.token, asked)
        except TokenRefused:
            await self.sleep(max(0.0, begun + REFUSAL_SECONDS - self.monotonic()))
            raise _Ended(grpc.StatusCode.UNAUTHENTICATED, _REFUSED) from None

    async def _renew(self, said: bytes, context: Context) -> Enrolled:
        shown = self.certificate(context)
        guest = self.registry.guest(shown)
        if not self._renewals.takes(guest.id):
            most = self.terms.renewals_per_hour
            sentence = f"this guest renews more than {most} times in an hour: try later"
            raise _limited(sentence, "renewals_per_hour")
        request = _parsed(enrolment_pb2.RenewRequest, said)
        return await self.registry.renew(shown, _asked(request.csr, request.machine))

    async def _answer(self, work: Callable[[bytes, Context], Awaitable[Enrolled]], context: Context) -> None:
        """Answer a call, unless its connection has as many open as it may have."""
        peer, most = context.peer(), self.terms.enrolments_per_connection
        if self._open[peer] >= most:
            self.counts["enrolments_per_connection"] += 1
            sentence = f"this connection has {most} calls open, which is all: wait for one of them"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        self._open[peer] += 1
        try:
            await self._answer_in_place(work, context)
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    async def _answer_in_place(
        self, work: Callable[[bytes, Context], Awaitable[Enrolled]], context: Context
    ) -> None:
        """Read the message of a call, and end the call as the wire says."""
        async with self._places.place(context, PLACE_SECONDS):
            said = await context.read()
            try:
                reply = self._reply(await work(said if isinstance(said, bytes) else b"", context))
            except _Ended as end:
                if end.status is not grpc.StatusCode.UNAUTHENTICATED:  # which the register counts
                    self.counts[end.bound or "malformed"] += 1
                await context.abort(end.status, str(end))
            except (NotAdmitted, BadCsr, IdentityRefused) as error:
                status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
                self.counts["malformed"] += isinstance(error, BadCsr)
                await context.abort(status, str(error))
            except (AuthorityUnusable, StateError):  # the register's `problem`: not for a guest
                sentence = "the SVM cannot keep a certificate now: come back later"
                await context.abort(grpc.StatusCode.UNAVAILABLE, sentence)
            await context.write(reply)

    def _reply(self, made: Enrolled) -> enrolment_pb2.Enrolled:
        left = max(0.0, made.ends_at - self.clock())
        return enrolment_pb2.Enrolled(
            certificate=made.certificate,
            chain=self.registry.authority.chain,
            guest=made.guest.uuid,
            tenant=made.guest.tenant,
            ends=Timestamp(seconds=int(made.ends_at)),
            renew_after=Duration(seconds=int(left * _RENEW_AFTER)),
        )


def network_of(context: Context) -> str:
    """What is counted as one address: of IPv6 the first 64 bits, since whoever has one has all of these."""
    address = address_of(context)
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return address
    return str(known.ipv4_mapped or IPv6Address(int(known) >> 64 << 64))


def _add(server: grpc.aio.Server, service: str, method: Callable[[object, Context], Awaitable[None]]) -> None:
    handler = grpc.stream_stream_rpc_method_handler(
        method, response_serializer=enrolment_pb2.Enrolled.SerializeToString
    )
    name = enrolment_pb2.DESCRIPTOR.services_by_name[service].full_name
    handlers = {method.__name__: handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _parsed(kind: type[Asking], said: bytes) -> Asking:
    """Return the message. Raises _Ended."""
    if len(said) > MAX_MESSAGE_BYTES:
        raise _malformed(f"{len(said)} bytes: send at most {MAX_MESSAGE_BYTES}")
    try:
        return kind.FromString(said)
    except DecodeError:
        raise _malformed(f"these bytes are no {kind.DESCRIPTOR.name}") from None


def _asked(csr: bytes, machine: bytes, host_name: str = "") -> Asked:
    """Return what a certificate is asked for with. Raises _Ended."""
    if not 0 < len(csr) <= MAX_CSR_BYTES:
        raise _malformed(f"csr has {len(csr)} bytes: give 1 to {MAX_CSR_BYTES}")
    if len(machine) not in (0, MACHINE_BYTES):
        raise _malformed(f"machine has {len(machine)} bytes: give exactly {MACHINE_BYTES}, or none")
    return Asked(csr, machine, host_name)


def _malformed(sentence: str) -> _Ended:
    return _Ended(grpc.StatusCode.INVALID_ARGUMENT, sentence)


def _limited(sentence: str, bound: str) -> _Ended:
    return _Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence, bound)
