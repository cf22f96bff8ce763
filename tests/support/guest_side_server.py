"""An SVM's guest side for tests of the stub: real gRPC on a unix socket, no engine, and able to misbehave.

It keeps the wire's rules (guest.proto) by itself; a test changes single answers by the hooks of Behaviour.
"""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc import aio
from lightagent.v1 import guest_pb2, guest_pb2_grpc, verdict_pb2

TICKET = b"0123456789abcdef0123456789abcdef"
VALID_FOR = 3600

CheckContext = aio.ServicerContext[guest_pb2.CheckRequest, guest_pb2.CheckReply]
KsnContext = aio.ServicerContext[guest_pb2.KsnInfoRequest, guest_pb2.KsnInfoReply]
UrlContext = aio.ServicerContext[guest_pb2.CheckUrlRequest, guest_pb2.CheckUrlReply]
ScanContext = aio.ServicerContext[guest_pb2.ScanRequest, guest_pb2.ScanReply]
AttachContext = aio.ServicerContext[guest_pb2.AttachRequest, guest_pb2.AttachReply]


def numbers(*outcomes: int) -> "list[verdict_pb2.Outcome.ValueType]":
    """Outcomes by their numbers, those that no SVM may send among them."""
    return [cast("verdict_pb2.Outcome.ValueType", number) for number in outcomes]


@dataclass
class Received:
    """One upload as it came: its header, its bytes, and whether the guest gave it up."""

    header: guest_pb2.ScanHeader
    data: bytearray = field(default_factory=bytearray)
    aborted: bool = False


@dataclass
class Behaviour:
    """What the server says where a test wants something other than a sound SVM's word.

    Each hook may be None: the sound way. on_check: what to write for a request, all of it. on_upload:
    what to say on Check of an upload that is complete or given up; None says nothing. abort_*: a status to
    end that stream with; after its first request.
    """

    policy: guest_pb2.Policy = field(
        default_factory=lambda: guest_pb2.Policy(
            max_file_bytes=64 << 20, max_batch=1024, heartbeat=Duration(seconds=30), max_chunk_bytes=256 << 10
        )
    )
    generation: int = 7
    ticket_line: bytes = TICKET + b"\n"
    on_check: Callable[[guest_pb2.CheckRequest], list[guest_pb2.CheckReply]] | None = None
    on_upload: Callable[[Received], verdict_pb2.Settled | None] | None = None
    attach_replies: list[guest_pb2.AttachReply] | None = None
    hang_up_after_greeting: bool = False
    keeps_events: bool = False  # whether it says that they are kept
    refuses_events: Callable[[guest_pb2.GuestEvents], bool] | None = None  # as a breach of the wire
    abort_check: tuple[grpc.StatusCode, str] | None = None
    abort_scan: tuple[grpc.StatusCode, str] | None = None
    take_content: asyncio.Event | None = None  # Scan reads nothing before it is set
    ksn: verdict_pb2.KsnParticipation = field(
        default_factory=lambda: verdict_pb2.KsnParticipation(
            state=verdict_pb2.KSN_STATE_OFF,
            reasons=[verdict_pb2.KSN_REASON_PROVIDER_DISABLED],
            sentences=["the provider has not enabled KSN"],
        )
    )
    grants: bool = True  # a slot at once to each scan that waits; else a test gives and takes them
    tasks: list[guest_pb2.ScanTask] = field(default_factory=list)  # said after each greeting of a daemon
    abort_ksn: tuple[grpc.StatusCode, str] | None = None  # in place of an answer to KsnInfo
    hang_ksn: bool = False  # no answer to KsnInfo at all
    urls: dict[str, guest_pb2.CheckUrlReply] = field(default_factory=dict)  # others are not known
    url_aborts: list[tuple[grpc.StatusCode, str]] = field(default_factory=list)  # before the first answer


class GuestSideServer:
    """The services of guest.proto for one guest at a time.

    known: outcome by digest. What is not known is CONTENT_NEEDED, and NOT_DETECTED after its upload.
    """

    def __init__(self, path: Path, behaviour: Behaviour) -> None:
        self.path = path
        self.behaviour = behaviour
        self.known: dict[bytes, int] = {}
        self.uploads: list[Received] = []
        self.hellos: list[guest_pb2.Hello] = []
        self.heartbeats = 0
        self.events: list[guest_pb2.GuestEvents] = []
        self.scans: list[guest_pb2.ScanStatus] = []
        self.check_requests: list[guest_pb2.CheckRequest] = []
        self.scan_messages: list[int] = []  # bytes of file data in each
        self.scan_streams = 0
        self.scan_streams_ended = 0
        self.peers_gone = 0
        self.url_requests: list[guest_pb2.CheckUrlRequest] = []
        self.companions: set[asyncio.Task[Any]] = set()
        self._attach: AttachContext | None = None
        self._check: CheckContext | None = None
        self.end_reason = (grpc.StatusCode.ABORTED, "attached anew")
        self._attach_end = asyncio.Event()
        self._check_writing = asyncio.Lock()
        self._leases = itertools.count(1000)
        self._asked: dict[int, tuple[int, int]] = {}  # lease -> request, index

    @property
    def target(self) -> str:
        """As `guest-stub` takes it."""
        return f"unix:{self.path}"

    async def tell(self, *messages: guest_pb2.AttachReply) -> None:
        """Say something on Attach."""
        assert self._attach is not None
        for message in messages:
            await self._attach.write(message)

    async def grant(self, scan: bytes, granted: bool = True) -> None:
        """Give a scan a slot, or take it back."""
        await self.tell(guest_pb2.AttachReply(scan_slot=guest_pb2.ScanSlot(scan=scan, granted=granted)))

    def states(self, scan: bytes = b"") -> list[str]:
        """What was said of a scan, or of all, one word for each change."""
        said = [
            guest_pb2.ScanState.Name(each.state).removeprefix("SCAN_STATE_")
            for each in self.scans
            if scan in (b"", each.scan)
        ]
        return [word for before, word in zip([None, *said], said, strict=False) if word != before]

    def end_attach(self) -> None:
        """End Attach as a second one of the same guest would."""
        self._attach_end.set()

    async def say(self, *replies: guest_pb2.CheckReply) -> None:
        """Say something on Check."""
        assert self._check is not None
        async with self._check_writing:
            for reply in replies:
                await self._check.write(reply)

    async def vouch(self, context: aio.ServicerContext[Any, Any]) -> None:
        """End the call of one who has no ticket."""
        if ("ticket", TICKET.decode()) not in (context.invocation_metadata() or ()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no ticket")

    async def Attach(self, request_iterator: object, context: AttachContext) -> None:
        """Hello, policy, generation; then heartbeats."""
        await self.vouch(context)
        first = await context.read()
        assert isinstance(first, guest_pb2.AttachRequest)
        self.hellos.append(first.hello)
        self._attach = context  # before the guest can know that it is attached
        for reply in self._greeting():
            await context.write(reply)
        if self.behaviour.hang_up_after_greeting:
            return
        if first.hello.program == guest_pb2.GUEST_PROGRAM_DAEMON:
            await self.tell(*(guest_pb2.AttachReply(scan_task=task) for task in self.behaviour.tasks))
        reading = asyncio.get_running_loop().create_task(self._take_heartbeats_and_events(context))
        end = asyncio.get_running_loop().create_task(self._attach_end.wait())
        await asyncio.wait([reading, end], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        end.cancel()
        if self._attach_end.is_set():
            self._attach_end.clear()
            await context.abort(*self.end_reason)
        if not reading.cancelled() and reading.done() and reading.result():
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "these events break a rule")

    async def _take_heartbeats_and_events(self, context: AttachContext) -> bool:
        """To the end of the stream; whether that is to be for events which are refused."""
        while isinstance(request := await context.read(), guest_pb2.AttachRequest):
            if request.HasField("scan"):
                self.scans.append(request.scan)
                if self.behaviour.grants and request.scan.state == guest_pb2.SCAN_STATE_WAITING:
                    await self.grant(request.scan.scan)
                continue
            if not request.HasField("events"):
                self.heartbeats += 1
                continue
            events = request.events
            self.events.append(events)
            if self.behaviour.refuses_events is not None and self.behaviour.refuses_events(events):
                return True
            if self.behaviour.keeps_events:
                kept = guest_pb2.EventsKept(journal=events.journal, up_to=events.events[-1].number)
                await context.write(guest_pb2.AttachReply(events_kept=kept))
        return False

    async def Check(self, request_iterator: object, context: CheckContext) -> None:
        """Answer each request as it comes."""
        self._check = context
        while isinstance(request := await context.read(), guest_pb2.CheckRequest):
            self.check_requests.append(request)
            if self.behaviour.abort_check is not None:
                await context.abort(*self.behaviour.abort_check)
            replies = (self.behaviour.on_check or self.sound_replies)(request)
            await self.say(*replies)

    async def Scan(self, request_iterator: object, context: ScanContext) -> guest_pb2.ScanReply:
        """Take uploads; settle what they were asked for."""
        self.scan_streams += 1
        try:
            await self._scan(context)
        finally:
            self.scan_streams_ended += 1
        return guest_pb2.ScanReply()

    async def _scan(self, context: ScanContext) -> None:
        if self.behaviour.take_content is not None:
            await self.behaviour.take_content.wait()
        upload: Received | None = None
        while isinstance(request := await context.read(), guest_pb2.ScanRequest):
            if self.behaviour.abort_scan is not None:
                await context.abort(*self.behaviour.abort_scan)
            over: list[Received] = []
            self.scan_messages.append(sum(len(part.chunk.data) for part in request.parts))
            for part in request.parts:
                upload = self._take(part, upload)
                if upload.aborted or len(upload.data) == upload.header.size:
                    over.append(upload)
            await self._settle(over)

    async def KsnInfo(self, request: guest_pb2.KsnInfoRequest, context: KsnContext) -> guest_pb2.KsnInfoReply:
        """Say what the test wants of KSN."""
        await self.vouch(context)
        if self.behaviour.abort_ksn is not None:
            await context.abort(*self.behaviour.abort_ksn)
        if self.behaviour.hang_ksn:
            await asyncio.Event().wait()
        return guest_pb2.KsnInfoReply(participation=self.behaviour.ksn)

    async def CheckUrl(
        self, request: guest_pb2.CheckUrlRequest, context: UrlContext
    ) -> guest_pb2.CheckUrlReply:
        """Say what the test wants of an address."""
        await self.vouch(context)
        self.url_requests.append(request)
        if self.behaviour.url_aborts:
            await context.abort(*self.behaviour.url_aborts.pop(0))
        unknown = guest_pb2.CheckUrlReply(
            outcome=guest_pb2.URL_OUTCOME_UNKNOWN, reason="KSN does not know it"
        )
        return self.behaviour.urls.get(request.url, unknown)

    def sound_replies(self, request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        """What an SVM says that keeps its word."""
        reply = guest_pb2.CheckReply(
            request_id=request.request_id,
            generation=self.behaviour.generation,
            valid_for=Duration(seconds=VALID_FOR),
        )
        for index, digest in enumerate(request.sha256):
            outcome = self.known.get(digest, verdict_pb2.OUTCOME_CONTENT_NEEDED)
            reply.outcomes.append(outcome)  # type: ignore[arg-type]
            if outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED:
                reply.details.add(index=index, lease=self.lease(request.request_id, index))
            elif outcome == verdict_pb2.OUTCOME_MALICIOUS:
                reply.details.add(
                    index=index, threat="Eicar-Test-Signature", engine="eicar", member="a/b.com"
                )
        return [reply]

    def lease(self, request_id: int, index: int) -> int:
        """A new lease for an index of a request."""
        lease = next(self._leases)
        self._asked[lease] = (request_id, index)
        return lease

    def _greeting(self) -> list[guest_pb2.AttachReply]:
        if self.behaviour.attach_replies is not None:
            return self.behaviour.attach_replies
        generation = guest_pb2.GenerationChange(generation=self.behaviour.generation)
        return [
            guest_pb2.AttachReply(policy=self.behaviour.policy),
            guest_pb2.AttachReply(generation=generation),
        ]

    def _take(self, part: guest_pb2.ScanPart, upload: Received | None) -> Received:
        if part.HasField("header"):
            upload = Received(part.header)
            self.uploads.append(upload)
            return upload
        assert upload is not None, "a chunk before its header"
        upload.data += part.chunk.data
        upload.aborted = part.HasField("abort")
        return upload

    async def _settle(self, uploads: list[Received]) -> None:
        """Say on Check what became of the questions that uploads were for: a message for each request."""
        replies: dict[int, guest_pb2.CheckReply] = {}
        for upload in uploads:
            said = (self.behaviour.on_upload or self.sound_answer)(upload)
            where = self._asked.pop(upload.header.lease, None)
            if where is None or said is None:
                continue
            request_id, said.index = where
            reply = replies.setdefault(request_id, guest_pb2.CheckReply(request_id=request_id))
            reply.generation = self.behaviour.generation
            reply.valid_for.seconds = VALID_FOR
            reply.settled.append(said)
        for reply in replies.values():
            await self.say(reply)

    def sound_answer(self, upload: Received) -> verdict_pb2.Settled:
        """NOT_DETECTED, or that the content is not the digest's."""
        if upload.aborted or hashlib.sha256(upload.data).digest() != upload.header.sha256:
            detail = verdict_pb2.Detail(reason="the content is not the digest's: look at the file again")
            return verdict_pb2.Settled(outcome=verdict_pb2.OUTCOME_CHANGED, detail=detail)
        return verdict_pb2.Settled(
            outcome=verdict_pb2.OUTCOME_NOT_DETECTED, generation=self.behaviour.generation
        )

    async def hand_out_ticket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The companion socket: a ticket, which counts until the guest hangs up."""
        handler = asyncio.current_task()
        assert handler is not None
        self.companions.add(handler)
        try:
            writer.write(self.behaviour.ticket_line)
            await writer.drain()
            await reader.read(1)
            self.peers_gone += 1
        finally:
            self.companions.discard(handler)
            writer.close()


@asynccontextmanager
async def serving(path: Path, behaviour: Behaviour | None = None) -> AsyncIterator[GuestSideServer]:
    """A server on the unix socket `path` and its companion."""
    service = GuestSideServer(path, behaviour or Behaviour())
    companion = await asyncio.start_unix_server(service.hand_out_ticket, f"{path}.id")
    server = aio.server()
    # grpc.aio also takes coroutines that read and write, which the generated types do not know.
    servicer = cast("guest_pb2_grpc.ProtectionServicer", service)
    guest_pb2_grpc.add_ProtectionServicer_to_server(servicer, server)
    server.add_insecure_port(service.target)
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)
        companion.close()
        await companion.wait_closed()
        handlers = list(service.companions)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
