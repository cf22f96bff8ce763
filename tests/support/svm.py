"""A real SVM in this process, and a guest that speaks its wire by hand, so that it can also misbehave."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog
from grpc.aio import EOF  # type: ignore[attr-defined]  # missing in its types
from lightagent.v1 import guest_pb2, guest_pb2_grpc, verdict_pb2

from appliance.composition import build, chores
from appliance.config import (
    EicarSettings,
    EngineSettings,
    HashlistSettings,
    KsnSettings,
    ScanningSettings,
    Settings,
    YaraSettings,
)
from appliance.config_doors import ServerSettings
from appliance.config_limits import Limits
from appliance.config_scans import ScansSettings
from appliance.console.logs import Throttled
from appliance.control import Parts
from appliance.doors import serve_guests
from appliance.scans_assembly import PROC

_NO_DAEMON = guest_pb2.GUEST_PROGRAM_UNSPECIFIED
DEADLINE = 30.0  # seconds; generous, since machines are slow and a test that hangs helps nobody

EICAR_ONLY = EngineSettings(
    yara=YaraSettings(enabled=False),
    hashlist=HashlistSettings(enabled=False),
    eicar=EicarSettings(enabled=True),
)


def settings_in(directory: Path, limits: Limits | None = None) -> Settings:
    """Settings of a small SVM with the EICAR engine alone, everything under `directory`."""
    return Settings(
        server=ServerSettings(
            listen=f"unix:{directory}/svm.sock",
            admin=f"{directory}/admin.sock",
            state_dir=directory / "state",
            stop_grace_seconds=10,
        ),
        limits=limits or Limits(),
        scanning=ScanningSettings(workers=1),
        engines=EICAR_ONLY,
    )


class Reachable(Protocol):
    """Something that guests can connect to."""

    @property
    def target(self) -> str:
        """What they connect to."""


@dataclass(frozen=True)
class Svm:
    """A running SVM: its parts, and where guests reach it."""

    parts: Parts
    settings: Settings

    @property
    def target(self) -> str:
        """What a guest connects to."""
        return self.settings.server.listen


@asynccontextmanager
async def running_svm(
    directory: Path,
    limits: Limits | None = None,
    ksn: KsnSettings | None = None,
    listen: str = "",
    scans: ScansSettings | None = None,
    proc: Path = PROC,
) -> AsyncIterator[Svm]:
    """An SVM that guests can attach to, without the administration's socket and the signals.

    listen: where, instead of a unix socket in the directory. proc: where it reads how pressed the machine is.
    """
    settings = replace(
        settings_in(directory, limits), ksn=ksn or KsnSettings(), scans=scans or ScansSettings()
    )
    settings = replace(settings, server=replace(settings.server, listen=listen or settings.server.listen))
    settings.server.state_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack, proc)
        await serve_guests(settings, parts, stack)
        await stack.enter_async_context(chores(parts, settings, Throttled(structlog.get_logger())))
        yield Svm(parts, settings)


def digest_of(content: bytes) -> bytes:
    """The identity of a content."""
    return hashlib.sha256(content).digest()


@dataclass
class RawGuest:
    """A guest by hand: every stream is open to the test, and no rule is kept for it."""

    stub: Any  # grpc.aio gives one class for both of its APIs, and typing knows the other
    metadata: tuple[tuple[str, str], ...]
    ticket: Any = None  # the companion connection; None where there is none
    channel: Any = None
    machine: bytes = b""  # its own word on Attach, where it has a certificate
    attach: Any = None
    check: Any = None
    requests: int = 0
    generation: int = 0
    valid_for: float = 0.0  # seconds, of the last reply on Check
    settled: dict[tuple[int, int], verdict_pb2.Settled] = field(default_factory=dict)
    leases: dict[int, tuple[int, int]] = field(default_factory=dict)  # lease -> request, index

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, svm: Reachable, attach: bool = True, options: tuple[tuple[str, int], ...] = ()
    ) -> AsyncIterator["RawGuest"]:
        """A guest with a ticket of its own, attached unless told otherwise. options: of its channel."""
        path = svm.target.removeprefix("unix:")
        reader, writer = await asyncio.open_unix_connection(f"{path}.id")
        ticket = (await reader.readline()).decode().strip()
        try:
            async with grpc.aio.insecure_channel(
                svm.target, options=(("grpc.use_local_subchannel_pool", 1), *options)
            ) as channel:
                guest = cls(guest_pb2_grpc.ProtectionStub(channel), (("ticket", ticket),), writer, channel)
                if attach:
                    await guest.say_hello()
                yield guest
        finally:
            writer.close()

    async def say_hello(self, program: guest_pb2.GuestProgram.ValueType = _NO_DAEMON) -> None:
        """Attach, and read to the first generation."""
        self.attach = self.stub.Attach(metadata=self.metadata)
        hello = guest_pb2.Hello(host_name="raw", program=program, machine=self.machine)
        await self.attach.write(guest_pb2.AttachRequest(hello=hello))
        while True:
            message = await asyncio.wait_for(self.attach.read(), DEADLINE)
            assert isinstance(message, guest_pb2.AttachReply)
            if message.WhichOneof("message") == "generation":
                self.generation = message.generation.generation
                return

    async def ask(
        self,
        *digests: bytes,
        budget: float = 0,
        purpose: verdict_pb2.Purpose.ValueType = verdict_pb2.PURPOSE_ON_DEMAND,
    ) -> guest_pb2.CheckReply:
        """Send one Check request; its first reply."""
        request = guest_pb2.CheckRequest(request_id=self.next_request(), purpose=purpose, sha256=digests)
        if budget:
            request.budget.FromNanoseconds(int(budget * 1e9))
        return await self.ask_raw(request)

    async def ask_raw(self, request: guest_pb2.CheckRequest) -> guest_pb2.CheckReply:
        """Send the request as it is; its first reply. Raises AioRpcError where the stream ends."""
        fresh = self.check is None
        if fresh:
            self.check = self.stub.Check(metadata=self.metadata)
        await say(self.check, request)
        try:
            while True:
                reply = await self._next_reply()
                if reply.request_id == request.request_id and reply.outcomes:
                    return reply
        except StreamEnded as ended:
            # grpc.aio loses the status of a call that ends while its first message is written.
            if not fresh or ended.status is not grpc.StatusCode.INTERNAL:
                raise
        self.check = None
        return await self.ask_raw(request)

    async def answer(self, request_id: int, index: int = 0) -> verdict_pb2.Settled:
        """Wait for the next word on an open index."""
        while (request_id, index) not in self.settled:
            await self._next_reply()
        return self.settled.pop((request_id, index))

    async def _next_reply(self) -> guest_pb2.CheckReply:
        assert self.check is not None
        reply = await next_message(self.check)
        if not isinstance(reply, guest_pb2.CheckReply):
            raise StreamEnded(grpc.StatusCode.OK, "the stream is over")
        self.valid_for = reply.valid_for.seconds + reply.valid_for.nanos / 1e9
        for entry in reply.settled:
            self.settled[reply.request_id, entry.index] = entry
        for detail in (*reply.details, *(entry.detail for entry in reply.settled)):
            if detail.lease:
                self.leases[detail.lease] = (reply.request_id, detail.index)
        return reply

    def next_request(self) -> int:
        """A request number that was not used."""
        self.requests += 1
        return self.requests

    def header(self, lease: int, content: bytes, **fields: object) -> guest_pb2.ScanPart:
        """The header of an upload of `content`; `fields` overrule what is true."""
        header = guest_pb2.ScanHeader(lease=lease, sha256=digest_of(content), size=len(content), name=b"file")
        for name, value in fields.items():
            setattr(header, name, value)
        return guest_pb2.ScanPart(header=header)

    async def upload(self, parts: Sequence[guest_pb2.ScanPart], more: bool = False) -> None:
        """Send the parts on a stream of their own, to its end; raises StreamEnded at a bad one.

        more: as if something else was to follow.
        """
        call = self.stub.Scan(metadata=self.metadata)
        await say(call, guest_pb2.ScanRequest(parts=parts))
        if not more:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.done_writing()
        with as_stream_ended():
            await asyncio.wait_for(call, DEADLINE)

    async def scan(self, lease: int, parts: Sequence[guest_pb2.ScanPart]) -> verdict_pb2.Settled:
        """Send the parts; what is said of the question that the lease was for, for answer() to say again."""
        await self.upload(parts)
        where = self.leases[lease]
        self.settled[where] = await self.answer(*where)
        return self.settled[where]

    async def send(self, lease: int, content: bytes) -> verdict_pb2.Settled:
        """Upload `content` as a well-behaved guest does."""
        return await self.scan(lease, self.parts_of(lease, content))

    def parts_of(self, lease: int, content: bytes) -> list[guest_pb2.ScanPart]:
        """The parts of a sound upload in one message."""
        return [self.header(lease, content), *([chunk(content)] if content else [])]


def chunk(data: bytes) -> guest_pb2.ScanPart:
    """A chunk without a checksum."""
    return guest_pb2.ScanPart(chunk=guest_pb2.ScanChunk(data=data))


class StreamEnded(Exception):
    """The SVM ended a stream: its status and sentence."""

    def __init__(self, status: grpc.StatusCode, sentence: str) -> None:
        """Keep both."""
        super().__init__(f"{status.name}: {sentence}")
        self.status = status
        self.sentence = sentence


@contextmanager
def as_stream_ended() -> Iterator[None]:
    """Turn grpc's error into StreamEnded."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise StreamEnded(error.code(), error.details() or "") from error


async def say(call: Any, message: object) -> None:
    """Write to a stream; one that has ended says so by its own status at the next read."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(message)


async def next_message(call: Any) -> object:
    """The next message of a stream, grpc.aio.EOF at its good end; raises StreamEnded at a bad one."""
    with as_stream_ended():
        return await asyncio.wait_for(call.read(), DEADLINE)


async def end_of(call: Any) -> StreamEnded:
    """Read a stream to its end, whatever comes before."""
    try:
        while await next_message(call) is not EOF:
            pass
    except StreamEnded as ended:
        return ended
    return StreamEnded(grpc.StatusCode.OK, "")


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds; fails the test with `what` when it does not come to hold."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"did not come to be within {DEADLINE:g} s: {what}"
        await asyncio.sleep(0.005)
