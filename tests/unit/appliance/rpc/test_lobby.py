"""What is served without a ticket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from appliance.config_limits import Limits
from appliance.rpc import lobby
from appliance.rpc.lobby import PLACES, Lobby
from tests.support.svm import RawGuest, end_of, next_message, running_svm

SERVING = health_pb2.HealthCheckResponse.SERVING
ANY = health_pb2.HealthCheckRequest()
CHECK = "/grpc.health.v1.Health/Check"


@asynccontextmanager
async def a_channel(target: str) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own."""
    async with grpc.aio.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        yield channel


def open_ended(channel: grpc.aio.Channel, method: str) -> Any:
    """A call whose bytes the test says by hand, or never."""
    ask: Any = channel.stream_stream(method, request_serializer=None, response_deserializer=None)
    return ask()


class NoContext:
    """A call of which only the end is seen."""

    def __init__(self) -> None:
        """Not ended."""
        self.status: grpc.StatusCode | None = None

    async def abort(self, status: grpc.StatusCode, _sentence: str) -> None:
        """Keep the status."""
        self.status = status
        raise grpc.aio.AbortError


async def test_who_has_most_places_loses_the_oldest() -> None:
    """When all are taken a newcomer gets in, and who holds one place keeps it."""
    names: dict[Any, str] = {}
    places = Lobby(3, names.__getitem__)

    async def stay(context: NoContext) -> None:
        async with places.place(context, 1000):  # type: ignore[arg-type]
            await asyncio.Event().wait()

    calls: list[asyncio.Task[None]] = []
    contexts = [NoContext() for _ in range(5)]
    for context, name in zip(contexts, ["one", "many", "many", "new", "newer"], strict=True):
        names[context] = name
        calls.append(asyncio.get_running_loop().create_task(stay(context)))
        await asyncio.sleep(0)
    await asyncio.wait(calls[:2], return_when=asyncio.FIRST_COMPLETED)
    taken = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert [context.status for context in contexts] == [taken, taken, None, None, None]
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_probe_is_answered_whatever_is_left_open(tmp_path: Path) -> None:
    """Calls whose message never becomes whole take places that a later Check gets."""
    async with running_svm(tmp_path) as svm, a_channel(svm.target) as probe:
        stub = health_pb2_grpc.HealthStub(probe)
        async with a_channel(svm.target) as bad, a_channel(svm.target) as worse:
            held = [open_ended(channel, CHECK) for channel in (bad, worse) for _ in range(PLACES // 2 + 2)]
            for call in held:
                await call.wait_for_connection()
            for _ in range(PLACES + 1):
                assert (await stub.Check(ANY)).status == SERVING
            for call in held:
                call.cancel()


async def test_a_message_that_never_becomes_whole_ends_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody vouches for the caller, so nothing of his is kept for long, in none of the three methods."""
    monkeypatch.setattr(lobby, "_QUESTION_SECONDS", 0.05)
    monkeypatch.setattr(lobby, "_REFLECTION_SECONDS", 0.05)
    reflect = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    async with running_svm(tmp_path) as svm, a_channel(svm.target) as channel:
        for method in (CHECK, "/grpc.health.v1.Health/Watch", reflect):
            ended = await end_of(open_ended(channel, method))
            assert ended.status is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_bytes_that_are_no_message_are_told_so(tmp_path: Path) -> None:
    """A sentence, and no traceback in the log."""
    async with running_svm(tmp_path) as svm, a_channel(svm.target) as channel:
        call = open_ended(channel, CHECK)
        await call.write(b"\xff\xff")
        ended = await end_of(call)
        assert ended.status is grpc.StatusCode.INVALID_ARGUMENT
        assert "HealthCheckRequest" in ended.sentence


async def test_an_unknown_service_is_not_found(tmp_path: Path) -> None:
    """Check says that it is not here, and Watch waits for it, unless nothing can have such a name."""
    nowhere = health_pb2.HealthCheckRequest(service="nowhere")
    async with running_svm(tmp_path) as svm, a_channel(svm.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await stub.Check(nowhere)
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(nowhere)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()
        ended = await end_of(stub.Watch(health_pb2.HealthCheckRequest(service="x" * 5000)))
        assert ended.status is grpc.StatusCode.INVALID_ARGUMENT


async def test_one_who_watches_much_shuts_nobody_out(tmp_path: Path) -> None:
    """Many watches of one caller make way for others, and one with a ticket keeps his place beside them."""
    async with (
        running_svm(tmp_path) as svm,
        RawGuest.connect(svm, attach=False) as guest,
        a_channel(svm.target) as own,
        a_channel(svm.target) as bad,
        a_channel(svm.target) as worse,
    ):
        vouched = health_pb2_grpc.HealthStub(own).Watch(ANY, metadata=guest.metadata)
        assert (await vouched.read()).status == SERVING
        watches = []
        for channel in (bad, worse):
            for _ in range(PLACES // 2 + 2):
                watches.append(health_pb2_grpc.HealthStub(channel).Watch(ANY))
                reply = await next_message(watches[-1])
                assert isinstance(reply, health_pb2.HealthCheckResponse)
                assert reply.status == SERVING
        assert (await end_of(watches[0])).status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not vouched.done()
        for watch in watches:
            watch.cancel()
        vouched.cancel()


async def test_places_are_as_many_as_is_set_and_who_makes_way_is_counted(tmp_path: Path) -> None:
    """At each door."""
    async with running_svm(tmp_path, Limits(health_calls=2)) as svm, a_channel(svm.target) as channel:
        watches = []
        for _ in range(3):
            watches.append(health_pb2_grpc.HealthStub(channel).Watch(ANY))
            assert isinstance(await next_message(watches[-1]), health_pb2.HealthCheckResponse)
        assert (await end_of(watches[0])).status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert svm.parts.sessions.overs["guest_over_health_calls"] == 1
        for watch in watches:
            watch.cancel()


async def test_reflection_shows_what_is_here(tmp_path: Path) -> None:
    """A tool that asks for a symbol is given its file."""
    async with running_svm(tmp_path) as svm, a_channel(svm.target) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="lightagent.v1.Protection")
        )
        answer = await next_message(call)
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        assert b"guest.proto" in answer.file_descriptor_response.file_descriptor_proto[0]
        await call.done_writing()
        assert (await end_of(call)).status is grpc.StatusCode.OK
