"""Plays a story over real gRPC: a few hostile guests, whose calls all go on at once.

Nothing here waits for an answer that need not come: each call has a task that writes and one that reads, and
what the story says next is done meanwhile.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import xxhash
from google.protobuf.message import DecodeError, Message
from lightagent.v1 import guest_pb2, verdict_pb2

from tests.fuzz.steps import (
    BOMBS,
    CONTENTS,
    GUESTS,
    METHODS,
    PROTECTION,
    Ask,
    End,
    Hello,
    Leave,
    Noise,
    Open,
    Say,
    Step,
    Upload,
    Wait,
)
from tests.support.contents import EICAR
from tests.support.svm import digest_of

MOMENT = 0.05  # seconds that a story waits at the most for something to be sent or heard
_MOST_CALLS = 40  # of a guest in a story
_CHECK, _SCAN, _ATTACH = (PROTECTION + name for name in ("Check", "Scan", "Attach"))
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
)
_END = b"(half-close)"  # in a queue of messages


def contents_of(salt: bytes) -> list[bytes]:
    """The contents of a story: harmless, detected, empty, of many bytes, odd containers."""
    found = [
        b"harmless " + salt,
        EICAR,
        b"",
        salt * (20_000 // len(salt)),
        b"PK\x03\x04" + salt,
        b"\x1f\x8b\x08" + salt,
    ]
    assert len(found) == CONTENTS
    return found


def rewritten(what: Message | bytes, contents: Sequence[bytes], leases: Sequence[int]) -> bytes:
    """What is said: digests of one byte are contents of the story, small leases are those heard of."""
    if isinstance(what, bytes):
        return what
    if isinstance(what, guest_pb2.CheckRequest):
        digests = [_meant(digest, contents) for digest in what.sha256]
        del what.sha256[:]
        what.sha256.extend(digests)
    elif isinstance(what, guest_pb2.ScanRequest):
        for part in what.parts:
            if part.HasField("header"):
                part.header.sha256 = _meant(part.header.sha256, contents)
                if leases and part.header.lease <= 8:
                    part.header.lease = leases[part.header.lease % len(leases)]
    return what.SerializeToString()


def _meant(digest: bytes, contents: Sequence[bytes]) -> bytes:
    return digest_of(contents[digest[0] % len(contents)]) if len(digest) == 1 else digest


@dataclass(eq=False)
class Call:
    """A call of a guest. ended: its status, once there is one that this side did not make up."""

    path: str
    session: str
    call: Any
    cancelled: bool = False
    queue: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def write(self) -> None:
        """Say what is queued."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            while True:
                message = await self.queue.get()
                try:
                    if message is _END:
                        await self.call.done_writing()
                    else:
                        await self.call.write(message)
                finally:
                    self.queue.task_done()

    @property
    def is_open(self) -> bool:
        """Whether it has no status yet."""
        return not self.call.done()


class HostileGuest:
    """One guest: a ticket, a channel, and its calls."""

    def __init__(self, target: str, contents: Sequence[bytes]) -> None:
        self.target = target
        self.contents = contents
        self.calls: list[Call] = []
        self.leases: list[int] = []
        self.digest_of_lease: dict[int, bytes] = {}
        self.ticket = ""
        self._requests = 100
        self._asked: dict[tuple[str, int], list[bytes]] = {}  # session, request -> digests
        self._heard = asyncio.Event()  # an answer on Check, or its end
        self._companion: asyncio.StreamWriter | None = None
        self._channel: Any = None

    async def arrive(self) -> None:
        """Have a ticket and a channel, if it has none."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.target, options=OPTIONS)
        if self._companion is None:
            path = self.target.removeprefix("unix:")
            reader, self._companion = await asyncio.open_unix_connection(f"{path}.id")
            self.ticket = (await reader.readline()).decode().strip()

    async def leave(self, what: str) -> None:
        """Give back the ticket, or close the channel and all calls."""
        if what == "ticket":
            if self._companion is not None:
                self._companion.close()
                self._companion = None
            return
        for call in self.calls:
            call.cancelled = call.cancelled or call.is_open
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def gone(self) -> None:
        """Leave nothing behind on this side."""
        await self.leave("channel")
        await self.leave("ticket")
        tasks = [task for call in self.calls for task in call.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def open(self, path: str, ticket: str, session: str, deaf: bool = False) -> Call:
        """Begin a call."""
        metadata = [("session", session)] if session else []
        if ticket:
            metadata.append(("ticket", ticket))
        # Raw bytes in both directions, whatever the method's kind: on the wire each is a stream.
        method = self._channel.stream_stream(path, request_serializer=None, response_deserializer=None)
        call = Call(path, session, method(metadata=tuple(metadata)))
        loop = asyncio.get_running_loop()
        call.tasks.append(loop.create_task(call.write()))
        if not deaf:
            call.tasks.append(loop.create_task(self._read(call)))
        self.calls.append(call)
        return call

    def newest(self, path: str, session: str | None = None) -> Call | None:
        """The last call of a method that goes on, of any session or of one."""
        fitting = (
            call
            for call in reversed(self.calls)
            if call.path == path and call.is_open and session in (None, call.session)
        )
        return next(fitting, None)

    async def ask(self, step: Ask) -> None:
        """Ask a sound question, and hear for a moment what is said to it."""
        call = self.newest(_CHECK, step.session) or self.open(_CHECK, self.ticket, step.session)
        self._requests += 1
        purpose = verdict_pb2.PURPOSE_ON_ACCESS if step.on_access else verdict_pb2.PURPOSE_ON_DEMAND
        digests = [digest_of(self.contents[number]) for number in step.contents]
        self._asked[step.session, self._requests] = digests
        request = guest_pb2.CheckRequest(request_id=self._requests, purpose=purpose, sha256=digests)
        self._heard.clear()
        call.queue.put_nowait(request.SerializeToString())
        await _moment(self._heard.wait())

    async def upload(self, step: Upload) -> None:
        """Send a content, or what the twist makes of it."""
        if step.content is not None:
            await self.ask(Ask(step.guest, step.session, (step.content,), True))
            lease = self.leases[-1] if self.leases else step.lease
        else:
            lease = self.leases[step.lease % len(self.leases)] if self.leases else step.lease
        digest = self.digest_of_lease.get(lease, digest_of(self.contents[0]))
        content = next(
            (each for each in self.contents if digest_of(each) == digest), b"what nobody asked for"
        )
        call = self.open(_SCAN, self.ticket, step.session)
        for message in twisted(lease, content, step.twist):
            call.queue.put_nowait(message)
        if step.twist != "no end":
            call.queue.put_nowait(_END)

    async def _read(self, call: Call) -> None:
        """Hear a call to its end, and learn of leases."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            while isinstance(said := await call.call.read(), bytes):
                if call.path == _CHECK:
                    with suppress(DecodeError):
                        self._learn(call.session, guest_pb2.CheckReply.FromString(said))
        self._heard.set()

    def _learn(self, session: str, reply: guest_pb2.CheckReply) -> None:
        self._heard.set()
        digests = self._asked.get((session, reply.request_id), [])
        for detail in (*reply.details, *(entry.detail for entry in reply.settled)):
            if detail.lease:
                self.leases.append(detail.lease)
                if detail.index < len(digests):
                    self.digest_of_lease[detail.lease] = digests[detail.index]


def twisted(lease: int, content: bytes, twist: str) -> list[bytes]:
    """The messages of an upload with something wrong in it."""
    other = content + b"!"
    header = guest_pb2.ScanHeader(lease=lease, sha256=digest_of(content), size=len(content), name=b"x")
    header.size += {"short": 1, "long": -1 if content else 0, "huge size": 1 << 62}.get(twist, 0)
    if twist == "other digest":
        header.sha256 = digest_of(other)
    data = b"!" + content[1:] if twist == "other content" else content
    if twist == "long":
        data = other
    step = 1 if twist == "byte by byte" else max(len(data), 1)
    chunks = [
        guest_pb2.ScanPart(chunk=guest_pb2.ScanChunk(data=data[at : at + step]))
        for at in range(0, min(len(data), 400 * step), step)
    ]
    for chunk in chunks:
        chunk.chunk.xxh3 = xxhash.xxh3_64_intdigest(chunk.chunk.data) ^ (twist == "bad checksum")
    head, abort = guest_pb2.ScanPart(header=header), guest_pb2.ScanPart(abort=guest_pb2.ScanAbort())
    parts = {
        "no chunk": [head],
        "two headers": [head, head],
        "abort": [head, *chunks[:-1], abort, head, *chunks],
        "abort twice": [head, abort, abort],
    }.get(twist, [head, *chunks])
    if twist == "byte by byte":
        return [guest_pb2.ScanRequest(parts=[part]).SerializeToString() for part in parts]
    return [guest_pb2.ScanRequest(parts=parts).SerializeToString()]


class Story:
    """The guests of one story."""

    def __init__(self, target: str, salt: bytes) -> None:
        self.contents = contents_of(salt)
        self.guests: list[HostileGuest] = [HostileGuest(target, self.contents) for _ in range(GUESTS)]
        self._target = target
        self._sockets: list[asyncio.StreamWriter] = []

    async def play(self, steps: Sequence[Step]) -> list[tuple[str, grpc.StatusCode, str]]:
        """Do the steps; how the calls ended that this side did not end: method, status, sentence."""
        for step in steps:
            await self._do(step)
        await _moment(asyncio.gather(*(call.queue.join() for guest in self.guests for call in guest.calls)))
        return [
            (call.path, await call.call.code(), await call.call.details())
            for guest in self.guests
            for call in guest.calls
            if not call.cancelled and call.call.done()
        ]

    async def end(self) -> None:
        """Have all of them gone."""
        for guest in self.guests:
            await guest.gone()
        for writer in self._sockets:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _do(self, step: Step) -> None:
        if isinstance(step, Noise):
            await self._noise(step.data)
            return
        if isinstance(step, Wait):
            await asyncio.sleep(MOMENT)
            return
        guest = self.guests[step.guest]
        await guest.arrive()
        if isinstance(step, Leave):
            await guest.leave(step.what)
        elif isinstance(step, End):
            await _end(guest, step)
        elif len(guest.calls) < _MOST_CALLS:
            await self._say(guest, step)

    async def _say(self, guest: HostileGuest, step: Open | Hello | Say | Ask | Upload) -> None:
        match step:
            case Open():
                other = self.guests[(step.guest + 1) % GUESTS].ticket
                ticket = {"own": guest.ticket, "of another": other, "made up": "0" * 32}.get(step.ticket, "")
                guest.open(step.path, ticket, step.session, step.deaf)
            case Hello():
                hello = guest_pb2.Hello(host_name="hostile")
                hello.program = guest_pb2.GuestProgram.ValueType(step.program)
                call = guest.open(_ATTACH, guest.ticket, step.session)
                call.queue.put_nowait(guest_pb2.AttachRequest(hello=hello).SerializeToString())
                await _moment(call.queue.join())
            case Say():
                call = guest.newest(step.path) or guest.open(step.path, guest.ticket, "")
                what = BOMBS[step.what] if isinstance(step.what, str) else step.what
                call.queue.put_nowait(rewritten(what, self.contents, guest.leases))
            case Ask():
                await guest.ask(step)
            case Upload():
                await guest.upload(step)

    async def _connected(self) -> asyncio.StreamWriter:
        return (await asyncio.open_unix_connection(self._target.removeprefix("unix:")))[1]

    async def _noise(self, data: bytes) -> None:
        if len(self._sockets) < 8:
            writer = await self._connected()
            writer.write(data)
            self._sockets.append(writer)


async def _end(guest: HostileGuest, step: End) -> None:
    if not guest.calls:
        return
    call = guest.calls[step.call % len(guest.calls)]
    if step.how == "cancel":
        call.cancelled = call.cancelled or call.is_open
        call.call.cancel()
    elif step.how == "half-close":
        call.queue.put_nowait(_END)
    else:
        await _moment(call.queue.join())


async def _moment(what: Any) -> None:
    """Wait for something, but not for long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(what, MOMENT)


# Only what guest.proto promises, and what gRPC says by itself of methods that are not there.
assert set(METHODS) == {
    method.name for method in guest_pb2.DESCRIPTOR.services_by_name["Protection"].methods
}, "a method of guest.proto is not fuzzed"
