"""What a guest's calls have in common."""

import asyncio

import pytest
from lightagent.v1 import guest_pb2

from appliance.domain.guest import Guest
from appliance.rpc import calls
from appliance.rpc.calls import Breach, Refused, Unattached, converse, parser
from appliance.rpc.outbox import Outbox
from appliance.rpc.sessions import Labels, Session
from appliance.rpc.wire import MAX_MESSAGE_BYTES
from tests.support.svm import until


class Recorder:
    """Keeps what is sent, or fails to send it."""

    def __init__(self, error: Exception | None = None) -> None:
        """error: raised by every send."""
        self.sent: list[int] = []
        self.error = error

    async def send(self, items: list[int]) -> None:
        """Take a group of items."""
        if self.error is not None:
            raise self.error
        self.sent.extend(items)


def a_session() -> Session:
    """An attached guest."""
    return Session(Guest("g"), Labels(), 0.0)


async def nothing() -> None:
    """Have nothing to wait for."""


async def test_what_is_put_before_the_end_is_sent() -> None:
    """The call is not over before the outbox is empty."""
    recorder, session = Recorder(), a_session()
    outbox = Outbox(recorder.send, 10, lambda: 0)

    async def read() -> None:
        outbox.put(1)

    async def finish() -> None:
        outbox.put(2)

    await converse(read(), outbox, finish, session, asyncio.Lock())
    assert recorder.sent == [1, 2]
    assert not session.readers


async def test_a_breach_ends_the_call() -> None:
    """An error of the reading half comes out as it is."""

    async def read() -> None:
        raise Breach("why")

    with pytest.raises(Breach, match="why"):
        await converse(read(), Outbox(Recorder().send, 10, lambda: 0), nothing, a_session(), asyncio.Lock())


async def test_a_guest_that_cannot_be_written_to_ends_the_call() -> None:
    """An error of the writing half ends the reading half too."""
    outbox = Outbox(Recorder(ConnectionError("gone")).send, 10, lambda: 0)

    async def read() -> None:
        outbox.put(1)
        await asyncio.Event().wait()

    with pytest.raises(ConnectionError, match="gone"):
        await converse(read(), outbox, nothing, a_session(), asyncio.Lock())


async def test_a_stop_takes_no_more_but_finishes() -> None:
    """When the SVM stops, reading is cut and what was accepted is still answered."""
    recorder, session = Recorder(), a_session()
    outbox = Outbox(recorder.send, 10, lambda: 0)
    reading = asyncio.Event()

    async def read() -> None:
        reading.set()
        await asyncio.Event().wait()

    async def finish() -> None:
        outbox.put(9)

    call = asyncio.get_running_loop().create_task(converse(read(), outbox, finish, session, asyncio.Lock()))
    await reading.wait()
    session.stop_reading()
    await call
    assert recorder.sent == [9]


async def test_the_end_of_the_session_cuts_the_call() -> None:
    """A guest that detached is not waited for."""
    session = a_session()
    reading = asyncio.Event()

    async def read() -> None:
        reading.set()
        await asyncio.Event().wait()

    outbox = Outbox(Recorder().send, 10, lambda: 0)
    call = asyncio.get_running_loop().create_task(converse(read(), outbox, nothing, session, asyncio.Lock()))
    await reading.wait()
    session.end()
    with pytest.raises(Unattached):
        await call


async def test_a_second_reason_to_end_leaves_nothing_running() -> None:
    """A call that is cancelled while its last message is being sent ends both halves all the same."""
    writing, sending, ended = asyncio.Lock(), asyncio.Event(), list[str]()

    async def send(_items: list[int]) -> None:
        async with writing:
            sending.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("sending")

    outbox = Outbox(send, 10, lambda: 0)

    async def read() -> None:
        outbox.put(1)
        await sending.wait()
        raise Breach("why")

    session = a_session()
    call = asyncio.get_running_loop().create_task(converse(read(), outbox, nothing, session, writing))
    await sending.wait()
    await until(lambda: not session.readers, "the call is about to end")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert ended == ["sending"]


def test_bytes_become_a_message() -> None:
    """What a guest says is read as guest.proto has it."""
    message = guest_pb2.CheckRequest(request_id=7)
    assert parser(guest_pb2.CheckRequest)(message.SerializeToString()) == message


def test_bytes_that_are_no_message_are_a_breach() -> None:
    """It names the message, and says how much came."""
    with pytest.raises(Breach, match="2 bytes that are no CheckRequest"):
        parser(guest_pb2.CheckRequest)(b"\xff\xff")


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    """The bound of the wire holds to the byte."""
    parse = parser(guest_pb2.ScanRequest)
    chunk = guest_pb2.ScanPart(chunk=guest_pb2.ScanChunk(data=bytes(MAX_MESSAGE_BYTES - 12)))
    said = guest_pb2.ScanRequest(parts=[chunk]).SerializeToString()
    assert len(said) == MAX_MESSAGE_BYTES
    assert parse(said).parts == [chunk]
    with pytest.raises(Refused, match="1048577 bytes is larger than max"):
        parse(said + b"x")


async def test_a_call_ends_after_the_message_that_is_being_sent() -> None:
    """gRPC could not send its status amid it; nothing is sent after it."""
    writing, order = asyncio.Lock(), list[str]()

    async def send(_items: list[int]) -> None:
        async with writing:
            order.append("begun")
            await asyncio.sleep(0.05)
            order.append("sent")

    async def read() -> None:
        await asyncio.sleep(0.01)
        raise Breach("a rule is broken")

    outbox = Outbox(send, 10, lambda: 0)
    outbox.put(1)
    with pytest.raises(Breach):
        await converse(read(), outbox, nothing, a_session(), writing)
    assert order == ["begun", "sent"]


async def test_a_guest_that_takes_nothing_does_not_hold_its_call_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends without that message."""
    monkeypatch.setattr(calls, "_LAST_WORD_SECONDS", 0.01)
    writing = asyncio.Lock()
    await writing.acquire()

    async def read() -> None:
        raise Breach("a rule is broken")

    with pytest.raises(Breach):
        await converse(read(), Outbox(Recorder().send, 10, lambda: 0), nothing, a_session(), writing)
