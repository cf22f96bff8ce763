"""The Protection service."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config import Limits
from appliance.rpc.wire import MAX_MESSAGE_BYTES
from tests.support.svm import RawGuest, StreamEnded, chunk, digest_of, end_of, running_svm, say


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
