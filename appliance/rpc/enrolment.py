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
PLACES = 64  # calls at once; who has most of them loses his oldest to who comes later
PLACE_SECONDS = 15.0
REFUSAL_SECONDS = 0.5  # after which a token is refused, whatever is wrong with it
RENEWALS_PER_HOUR = 6

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
    """A call ends with a status and a sentence."""

    def __init__(self, status: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True, eq=False)
class EnrolmentService:
    """Serves both: Enrolment on its own door, Renewal on the guests'.

    per_minute: enrolments from one address, those that are refused among them. certificate: what the caller
    of Renew has shown, PEM. clock: seconds since the epoch. monotonic: seconds. counts: calls that were not
    answered, by why.
    """

    registry: Registry
    per_minute: int = 10
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    certificate: Callable[[Context], bytes] = certificate_of
    counts: Counter[str] = field(default_factory=lambda: Counter(limited=0, malformed=0))
    _places: Lobby = field(init=False)
    _enrolments: Turns = field(init=False)
    _renewals: Turns = field(init=False)

    def __post_init__(self) -> None:
        self._places = Lobby(PLACES, network_of)
        self._enrolments = Turns(self.per_minute, self.monotonic, seconds=60.0)
        self._renewals = Turns(RENEWALS_PER_HOUR, self.monotonic, seconds=3600.0)

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
            raise _limited(f"more than {self.per_minute} enrolments in a minute from this address: try later")
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
            raise _limited(f"this guest renews more than {RENEWALS_PER_HOUR} times in an hour: try later")
        request = _parsed(enrolment_pb2.RenewRequest, said)
        return await self.registry.renew(shown, _asked(request.csr, request.machine))

    async def _answer(self, work: Callable[[bytes, Context], Awaitable[Enrolled]], context: Context) -> None:
        """Read the message of a call, and end the call as the wire says."""
        async with self._places.place(context, PLACE_SECONDS):
            said = await context.read()
            try:
                reply = self._reply(await work(said if isinstance(said, bytes) else b"", context))
            except _Ended as end:
                self._count(end.status)
                await context.abort(end.status, str(end))
            except (NotAdmitted, BadCsr, IdentityRefused) as error:
                status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
                self._count(status)
                await context.abort(status, str(error))
            except (AuthorityUnusable, StateError):  # the register's `problem`: not for a guest
                sentence = "the SVM cannot keep a certificate now: come back later"
                await context.abort(grpc.StatusCode.UNAVAILABLE, sentence)
            await context.write(reply)

    def _count(self, status: grpc.StatusCode) -> None:
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self.counts["limited"] += 1
        if status is grpc.StatusCode.INVALID_ARGUMENT:
            self.counts["malformed"] += 1

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


def _limited(sentence: str) -> _Ended:
    return _Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
