"""The Protection service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_limits import Limits
from appliance.domain.guest import Guest
from appliance.domain.participation import KsnState, Participation, Reason
from appliance.domain.policy import KsnType, Mode
from appliance.rpc.guest import GuestService
from appliance.rpc.identity import ByTicket, Callers
from appliance.rpc.server import Address, Server
from appliance.rpc.sessions import Sessions
from appliance.rpc.tickets import TicketOffice
from appliance.rpc.wire import MAX_MESSAGE_BYTES
from tests.support.svm import (
    DEADLINE,
    RawGuest,
    StreamEnded,
    as_stream_ended,
    chunk,
    digest_of,
    end_of,
    running_svm,
    say,
)


async def test_a_guest_has_one_check_stream(tmp_path: Path) -> None:
    """A second Check stream is refused while the first is open, and allowed after."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(digest_of(b"x"))
        first, guest.check = guest.check, None
        with pytest.raises(StreamEnded) as ended:
            await guest.ask(digest_of(b"x"))
        assert ended.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert first is not None
        await first.done_writing()
        assert (await end_of(first)).status is grpc.StatusCode.OK
        guest.check = None
        assert len((await guest.ask(digest_of(b"x"))).outcomes) == 1


async def test_streams_end_with_the_session(tmp_path: Path) -> None:
    """Detaching cuts Check, so that a guest cannot gather streams by attaching again and again."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(digest_of(b"x"))
        assert guest.attach is not None
        assert guest.check is not None
        await guest.attach.done_writing()
        assert (await end_of(guest.check)).status is not grpc.StatusCode.OK


Break = Callable[[RawGuest], Awaitable[StreamEnded]]


def attaching(*messages: bytes) -> Break:
    """Say the bytes on a new Attach."""
    return saying("Attach", *messages)


def checking(**wrong: object) -> Break:
    """Send a question on Check that is right but for `wrong`, twice."""
    right = {"request_id": 1, "purpose": verdict_pb2.PURPOSE_ON_DEMAND, "sha256": [digest_of(b"never sent")]}
    message = guest_pb2.CheckRequest(**{**right, **wrong})  # type: ignore[arg-type]
    return saying("Check", message.SerializeToString(), message.SerializeToString())


def scanning(*parts: guest_pb2.ScanPart) -> Break:
    """Send the parts on Scan, in one message."""
    return saying("Scan", guest_pb2.ScanRequest(parts=parts).SerializeToString())


def saying(method: str, *messages: bytes) -> Break:
    """Say the bytes on a call of the method, and hear how it ends."""

    async def break_it(guest: RawGuest) -> StreamEnded:
        call = guest.channel.stream_stream(
            f"/lightagent.v1.Protection/{method}", request_serializer=None, response_deserializer=None
        )(metadata=guest.metadata)
        for message in messages:
            await say(call, message)
        return await end_of(call)

    return break_it


async def too_many_checks(guest: RawGuest) -> StreamEnded:
    """Have a second Check."""
    await guest.ask(digest_of(b"x"))
    return await end_of(guest.stub.Check(metadata=guest.metadata))


async def too_many_scans(guest: RawGuest) -> StreamEnded:
    """Have more Scan streams than there may be: that one of them ends."""
    calls = [guest.stub.Scan(metadata=guest.metadata) for _ in range(Limits().scan_streams + 1)]
    status = await next(asyncio.as_completed([call.code() for call in calls]))
    for call in calls:
        call.cancel()
    return StreamEnded(status, "")


def scan_header(**fields: Any) -> guest_pb2.ScanPart:
    """A header under no lease."""
    return guest_pb2.ScanPart(
        header=guest_pb2.ScanHeader(**{"lease": 1, "sha256": bytes(32), "size": 4, **fields})
    )


ATTACHED = guest_pb2.AttachRequest(hello=guest_pb2.Hello()).SerializeToString()
HEARTBEAT = guest_pb2.AttachRequest(heartbeat=guest_pb2.Heartbeat()).SerializeToString()
BREACHES: dict[str, Break] = {
    "heartbeat before hello": attaching(HEARTBEAT),
    "hello twice": attaching(ATTACHED, ATTACHED),
    "no message on attach": attaching(b"\xff"),
    "a name that is no text": attaching(b"\x0a\x04\x22\x02\xff\xfe"),
    "no message on check": saying("Check", b"\xff\xff"),
    "too long a message": saying("Check", bytes(MAX_MESSAGE_BYTES + 1)),
    "request 0": checking(request_id=0),
    "a request twice": checking(),
    "no purpose": checking(purpose=0),
    "an unknown purpose": checking(purpose=77),
    "no digest": checking(sha256=[]),
    "too many digests": checking(sha256=[bytes(32)] * 1025),
    "a short digest": checking(sha256=[b"short"]),
    "a second check": too_many_checks,
    "no message on scan": saying("Scan", b"\x0a\xff"),
    "nothing in a part": scanning(guest_pb2.ScanPart()),
    "too many parts": scanning(*[scan_header(size=0)] * 2049),
    "a chunk first": scanning(chunk(b"x")),
    "an abort first": scanning(guest_pb2.ScanPart(abort=guest_pb2.ScanAbort())),
    "a header in an upload": scanning(scan_header(), scan_header()),
    "a header with a short digest": scanning(scan_header(sha256=b"short")),
    "more than was said": scanning(scan_header(), chunk(b"12345")),
    "an empty chunk": scanning(scan_header(), chunk(b"")),
    "too much in a message": scanning(scan_header(size=1 << 20), *[chunk(bytes(300_000))] * 3),
    "too many scans": too_many_scans,
}
MESSAGE_STATUSES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}


async def test_a_guest_cannot_make_another_fail(tmp_path: Path) -> None:
    """While one guest breaks every rule in turn, another is answered as ever; each is counted."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as good:
        for number, (what, break_rule) in enumerate(BREACHES.items()):
            async with RawGuest.connect(svm) as bad:
                ended = await break_rule(bad)
                assert ended.status in MESSAGE_STATUSES, (what, ended)
                content = bytes([number])
                reply = await good.ask(digest_of(content))
                await good.send(reply.details[0].lease, content)
                answer = await good.answer(reply.request_id)
                assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED, what
            assert svm.parts.sessions.counts["breaches"] == number + 1, what


@dataclass
class KsnSide:
    """A door for guests with nothing behind it but what is said of KSN, and a clock that the test moves."""

    target: str
    said: Participation
    now: float = 1000.0
    asked: list[Guest] = field(default_factory=list)
    sessions: Sessions = field(default_factory=lambda: Sessions(8, lambda: 0.0))

    def participation(self, guest: Guest) -> Participation:
        """What the test wants."""
        self.asked.append(guest)
        return self.said


@asynccontextmanager
async def ksn_side(directory: Path, said: Participation) -> AsyncIterator[KsnSide]:
    """A server of KsnInfo, over real gRPC on a unix socket."""
    path = directory / "ksn.sock"
    side = KsnSide(f"unix:{path}", said)
    nothing = cast(Any, None)  # no other call is made
    async with TicketOffice(Path(f"{path}.id"), 0o600) as office:
        callers = Callers(ByTicket(office))
        server = Server(Address.parse(side.target), 0o600, callers)
        GuestService(
            callers, side.sessions, nothing, nothing, nothing, side.participation, lambda: side.now
        ).add_to(server.grpc)
        await server.start("lightagent.v1.Protection")
        try:
            yield side
        finally:
            await server.stop(0)


async def ksn_info(guest: RawGuest) -> verdict_pb2.KsnParticipation:
    """Ask KsnInfo; raises StreamEnded."""
    with as_stream_ended():
        reply = await guest.stub.KsnInfo(
            guest_pb2.KsnInfoRequest(), metadata=guest.metadata, timeout=DEADLINE
        )
    assert isinstance(reply, guest_pb2.KsnInfoReply)
    return reply.participation


RESTRICTED = Participation(
    KsnState.RESTRICTED,
    KsnType.PRIVATE,
    Mode.STANDARD,
    ((Reason.QUOTA_SPENT, "the quota is spent"), (Reason.MODE_LIMITED, "the provider allows less")),
    accepted=2,
    in_force=3,
)


async def test_a_guest_is_told_how_ksn_is_used_for_it(tmp_path: Path) -> None:
    """State, type, mode, reasons and Statements go over the wire; no Attach is needed for it."""
    async with ksn_side(tmp_path, RESTRICTED) as side, RawGuest.connect(side, attach=False) as guest:
        said = await ksn_info(guest)
        asked = side.asked
    assert (said.state, said.type, said.mode) == (
        verdict_pb2.KSN_STATE_RESTRICTED,
        verdict_pb2.KSN_TYPE_PRIVATE,
        verdict_pb2.KSN_MODE_STANDARD,
    )
    assert list(said.reasons) == [verdict_pb2.KSN_REASON_QUOTA_SPENT, verdict_pb2.KSN_REASON_MODE_LIMITED]
    assert list(said.sentences) == ["the quota is spent", "the provider allows less"]
    assert (said.statement_accepted, said.statement_in_force) == (2, 3)
    assert [guest.id.startswith("uid-") for guest in asked] == [True]


async def test_an_svm_whose_provider_has_not_enabled_ksn_says_so(tmp_path: Path) -> None:
    """By default KSN is off, and the guest reads why."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        said = await ksn_info(guest)
    assert said.state == verdict_pb2.KSN_STATE_OFF
    assert list(said.reasons) == [verdict_pb2.KSN_REASON_PROVIDER_DISABLED]
    assert [bool(sentence) for sentence in said.sentences] == [True]


async def test_nobody_is_told_of_ksn_without_a_ticket(tmp_path: Path) -> None:
    """Who calls is known before anything is said."""
    async with ksn_side(tmp_path, RESTRICTED) as side, RawGuest.connect(side, attach=False) as guest:
        guest.metadata = (("ticket", "0" * 32),)
        with pytest.raises(StreamEnded) as ended:
            await ksn_info(guest)
        assert (ended.value.status, side.asked) == (grpc.StatusCode.UNAUTHENTICATED, [])


async def test_a_guest_asks_of_ksn_ten_times_a_second(tmp_path: Path) -> None:
    """More is refused with a sentence and counted, and no other guest notices; later it may again."""
    async with ksn_side(tmp_path, RESTRICTED) as side, RawGuest.connect(side, attach=False) as guest:
        for _ in range(10):
            await ksn_info(guest)
        with pytest.raises(StreamEnded, match="more than 10 times in a second: ask again") as ended:
            await ksn_info(guest)
        assert ended.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (len(side.asked), side.sessions.counts["breaches"]) == (10, 1)
        async with RawGuest.connect(side, attach=False) as other:
            await ksn_info(other)
        side.now += 1
        await ksn_info(guest)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (bytes(MAX_MESSAGE_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["no message", "too long"],
)
async def test_bytes_that_are_no_question_about_ksn_are_refused(
    tmp_path: Path, said: bytes, status: grpc.StatusCode
) -> None:
    """They end the call by the rules of the wire, and are counted."""
    async with ksn_side(tmp_path, RESTRICTED) as side, RawGuest.connect(side, attach=False) as guest:
        call = guest.channel.unary_unary("/lightagent.v1.Protection/KsnInfo")
        with pytest.raises(StreamEnded) as ended, as_stream_ended():
            await call(said, metadata=guest.metadata, timeout=DEADLINE)
        assert (ended.value.status, side.sessions.counts["breaches"]) == (status, 1)
