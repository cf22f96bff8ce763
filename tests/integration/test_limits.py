"""Slow readers, dead guests, what a tenant has: over real gRPC."""

import asyncio
import gc
import os
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_limits import Limits, TenantLimits
from appliance.domain.guest import Guest
from tests.support.enrolled_guest import enrolled_guest, with_authority
from tests.support.relay import free_port, relay
from tests.support.svm import RawGuest, digest_of, running_svm, say, until
from tests.support.svm_process import svm_process

NARROW = (  # what a client takes unread: as little as HTTP/2 has by itself
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 65536),
)


def question(number: int, digests: int = 1024) -> guest_pb2.CheckRequest:
    """A request for digests that nobody knows."""
    noise = [os.urandom(32) for _ in range(digests)]
    return guest_pb2.CheckRequest(request_id=number, purpose=verdict_pb2.PURPOSE_ON_DEMAND, sha256=noise)


async def ask_and_not_listen(guest: RawGuest) -> None:
    """Ask for as long as anything is taken, and read nothing."""
    call = guest.stub.Check(metadata=guest.metadata)
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for number in range(1, 1000):
            await call.write(question(number))
    await asyncio.Event().wait()


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_guest_that_takes_no_answers_is_cut_off(tmp_path: Path, tcp: bool) -> None:
    """Its session ends, what it asked is open no more, the operator reads why; on TCP its line is shut."""
    limits = Limits(reader_stall_seconds=1, open_digests=1024)
    port = free_port()
    with_authority(tmp_path)
    async with (
        running_svm(tmp_path, limits, listen=f"tcp:127.0.0.1:{port}" if tcp else "") as svm,
        AsyncExitStack() as stack,
    ):
        sessions, told = svm.parts.sessions, []
        sessions.on_breach.append(lambda guest, kind, why: told.append((kind, why)))
        if tcp:
            slow = await stack.enter_async_context(enrolled_guest(svm, f"127.0.0.1:{port}", NARROW))
        else:
            slow = await stack.enter_async_context(RawGuest.connect(svm, options=NARROW))
        asking = asyncio.get_running_loop().create_task(ask_and_not_listen(slow))
        await until(lambda: sessions.overs["guest_over_reader_stall_seconds"] == 1, "it is found")
        await until(lambda: not sessions.all(), "its session ends")
        await until(lambda: svm.parts.protection.flights.waiting == 0, "nothing of it is open")
        assert any(kind == "takesnothing" and "was taken for 1 s" in why for kind, why in told)
        assert sessions.tenant(Guest("any")).open_digests == 0
        if tcp:
            await until(
                lambda: slow.channel.get_state() is not grpc.ChannelConnectivity.READY, "its line is shut"
            )
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_guest_whose_network_is_cut_is_detached(tmp_path: Path) -> None:
    """After the time of two heartbeats that did not come; nothing that it asked is left."""
    port = free_port()
    limits = Limits(heartbeat_seconds=1)
    with_authority(tmp_path)
    async with (
        running_svm(tmp_path, limits, listen=f"tcp:127.0.0.1:{port}") as svm,
        relay(port) as network,
        enrolled_guest(svm, f"127.0.0.1:{network.port}") as guest,
    ):
        assert len((await guest.ask(digest_of(b"x"), digest_of(b"y"))).outcomes) == 2
        assert svm.parts.protection.flights.waiting == 2
        network.cut = True
        await until(lambda: not svm.parts.sessions.all(), "it is detached")
        await until(lambda: svm.parts.protection.flights.waiting == 0, "what it asked is dropped")
        assert guest.attach.done() is False


async def test_what_a_tenant_has_open_is_bounded(tmp_path: Path) -> None:
    """Each guest of it may have less than its own share, and is told so; requests likewise."""
    limits = Limits(tenant=TenantLimits(open_digests=3, open_checks=2))
    needed = verdict_pb2.OUTCOME_CONTENT_NEEDED
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as one,
        RawGuest.connect(svm) as two,
    ):
        assert list((await one.ask(b"a" * 32, b"b" * 32)).outcomes) == [needed, needed]
        reply = await two.ask(b"c" * 32, b"d" * 32)
        assert list(reply.outcomes) == [needed, verdict_pb2.OUTCOME_OVERLOADED]
        overs = svm.parts.sessions.overs
        assert overs["tenant_over_open_digests"] == 1
        await say(
            two.check,
            guest_pb2.CheckRequest(request_id=9, purpose=verdict_pb2.PURPOSE_ON_DEMAND, sha256=[b"e" * 32]),
        )
        await until(lambda: overs["tenant_over_open_checks"] == 1, "a third request is refused")


async def test_a_guest_that_asks_about_web_addresses_without_end_is_counted_by_the_setting(
    tmp_path: Path,
) -> None:
    """And refused with a sentence."""
    async with (
        running_svm(tmp_path, Limits(urls_per_second=1)) as svm,
        RawGuest.connect(svm) as guest,
    ):
        request = guest_pb2.CheckUrlRequest(url="http://x.com/")
        refused: list[grpc.StatusCode] = []
        for _ in range(50):
            try:
                await guest.stub.CheckUrl(request, metadata=guest.metadata)
            except grpc.aio.AioRpcError as error:
                refused.append(error.code())
        assert set(refused) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert svm.parts.sessions.overs["guest_over_urls_per_second"] == len(refused)


def memory_of(pid: int) -> float:
    """MiB of a process's own memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


def sockets_of(pid: int) -> int:
    """How many sockets a process has."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # closed meanwhile
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return count


async def test_guests_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    """After some hundreds an SVM has the memory and the sockets that it had: a session has over 3 KiB."""
    with svm_process(tmp_path) as svm:
        pid, before = svm.process.pid, sockets_of(svm.process.pid)

        async def come_and_go(times: int) -> None:
            for _ in range(times):
                async with RawGuest.connect(svm) as guest:
                    await guest.ask(*(os.urandom(32) for _ in range(20)))

        async def crowd(times: int) -> float:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(come_and_go(times // 4))
            gc.collect()  # channels that are closed keep their sockets until then
            await until(lambda: sockets_of(pid) <= before, "all connections are closed")
            return memory_of(pid)

        warm = await crowd(400)
        assert await crowd(400) - warm < 4  # ten KiB for each of them
