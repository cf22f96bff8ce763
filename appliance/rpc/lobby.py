"""What is served without a ticket: health and reflection, at places that are few and go to who comes later.

Nobody vouches for who asks here, so whatever such a call holds is bounded in all, and not for each
connection: so many calls at once, each for a short time (a Watch: for as long as nobody needs its
place). When all places are taken, the caller that has most of them loses its oldest, so that a probe
is answered however much somebody else leaves open. The messages are read by hand, since gRPC would
otherwise wait for one for ever, before any code of ours runs.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from appliance.config_limits import Limits
from appliance.rpc.identity import Context

PLACES = Limits().health_calls  # for questions, and as many for Watch
_QUESTION_SECONDS = 5.0
_REFLECTION_SECONDS = 30.0
_MAX_SERVICE_NAME = 128
_STATUSES = health_pb2.HealthCheckResponse

Asked = TypeVar("Asked", bound=Message)


@dataclass(slots=True, eq=False)
class _Place:
    """One call. patience: when it ends, the call does."""

    who: str
    patience: asyncio.Timeout
    taken: bool = False  # by a later caller


class Lobby:
    """Some places, each for one call."""

    def __init__(
        self, places: int, who: Callable[[Context], str], on_taken: Callable[[], None] = lambda: None
    ) -> None:
        """who: a name for the caller, the same for all of whom nothing is known.

        on_taken: told when a call loses its place to a later one.
        """
        self._most = places
        self._on_taken = on_taken
        self._who = who
        self._places: dict[_Place, None] = {}  # the oldest first

    @asynccontextmanager
    async def place(self, context: Context, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """A place for the call, for `seconds` unless that is changed; ends the call when its time is over."""
        own: _Place | None = None
        try:
            async with asyncio.timeout(seconds) as patience:
                self._make_room()
                own = _Place(self._who(context), patience)
                self._places[own] = None
                try:
                    yield patience
                finally:
                    self._places.pop(own, None)
        except TimeoutError:
            if own is not None and own.taken:
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "made way for a later caller: ask again"
                )
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the call took too long: ask again")

    def _make_room(self) -> None:
        """Where all places are taken, end the oldest call of the caller that has most of them."""
        if len(self._places) < self._most:
            return
        held = Counter(place.who for place in self._places)
        most = max(held.values())
        place = next(place for place in self._places if held[place.who] == most)
        del self._places[place]
        place.taken = True
        self._on_taken()
        place.patience.reschedule(asyncio.get_running_loop().time())


class Unticketed:
    """The standard health and reflection services."""

    def __init__(
        self,
        who: Callable[[Context], str],
        places: int = PLACES,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        """See Lobby."""
        self._questions = Lobby(places, who, on_taken)
        self._watches = Lobby(places, who, on_taken)
        self._statuses: dict[str, health_pb2.HealthCheckResponse.ServingStatus.ValueType] = {}
        self._retired = False
        self._changed = asyncio.Event()
        self._reflection = _reflection()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        ask, answer = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    health.SERVICE_NAME,
                    {
                        "Check": _by_hand(self.Check, ask.FromString, answer.SerializeToString),
                        "Watch": _by_hand(self.Watch, ask.FromString, answer.SerializeToString),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    reflection.SERVICE_NAME,
                    {
                        "ServerReflectionInfo": _by_hand(
                            self.ServerReflectionInfo,
                            reflection_pb2.ServerReflectionRequest.FromString,
                            reflection_pb2.ServerReflectionResponse.SerializeToString,
                        )
                    },
                ),
            )
        )

    def serve(self, *names: str) -> None:
        """Report the services as serving, and show them to who asks what is here."""
        for name in ("", *names):
            self._statuses[name] = _STATUSES.SERVING
        self._reflection = _reflection(reflection.SERVICE_NAME, health.SERVICE_NAME, *names)
        self._tell()

    def retire(self) -> None:
        """Report NOT_SERVING from now on; who watches is told, and that was all."""
        self._retired = True
        self._statuses = dict.fromkeys(self._statuses, _STATUSES.NOT_SERVING)
        self._tell()

    async def Check(self, _requests: object, context: Context) -> None:
        """See health.proto."""
        async with self._questions.place(context, _QUESTION_SECONDS):
            request = await _read(context, health_pb2.HealthCheckRequest)
            status = self._statuses.get(request.service) if request is not None else None
            if status is None:
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such service is here")
                raise AssertionError  # abort raises
            await context.write(health_pb2.HealthCheckResponse(status=status))

    async def Watch(self, _requests: object, context: Context) -> None:
        """See health.proto."""
        async with self._watches.place(context, _QUESTION_SECONDS) as patience:
            request = await _read(context, health_pb2.HealthCheckRequest)
            if request is None or len(request.service) > _MAX_SERVICE_NAME:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, "no service has so long a name, or none"
                )
                raise AssertionError  # abort raises
            patience.reschedule(None)
            told = None
            while True:
                changed, last = self._changed, self._retired
                status = self._statuses.get(request.service, _STATUSES.SERVICE_UNKNOWN)
                if status != told:
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                    told = status
                if last:
                    return
                await changed.wait()

    async def ServerReflectionInfo(self, _requests: object, context: Context) -> None:
        """See reflection.proto."""
        async with self._questions.place(context, _REFLECTION_SECONDS):
            async for reply in self._reflection.ServerReflectionInfo(_asked(context), context):
                await context.write(reply)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _reflection(*names: str) -> Any:
    return reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]  # missing in its types


def _by_hand(
    method: Callable[[object, Context], Awaitable[None]],
    parse: Callable[[bytes], Message],
    serialize: Callable[..., bytes],
) -> "grpc.RpcMethodHandler[Any, Any]":
    """A handler that runs as soon as the call is there. On the wire one message is a stream of one."""
    return grpc.stream_stream_rpc_method_handler(
        method,
        request_deserializer=parse,
        response_serializer=serialize,
    )


async def _read(context: Context, kind: type[Asked]) -> Asked | None:
    """The next message, None where there is none; ends the call at bytes that are no message."""
    try:
        message = await context.read()
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"these bytes are no {kind.DESCRIPTOR.name}")
        raise AssertionError from None  # abort raises
    return message if isinstance(message, kind) else None


async def _asked(context: Context) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    while (request := await _read(context, reflection_pb2.ServerReflectionRequest)) is not None:
        yield request
