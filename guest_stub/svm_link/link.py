"""The stub's line to one SVM: channel, streams, and what happens when the SVM goes away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import grpc
from google.protobuf.message import DecodeError
from grpc import aio
from lightagent.v1.guest_pb2 import DESCRIPTOR, ScanReply
from lightagent.v1.guest_pb2_grpc import ProtectionStub

from guest_stub.svm_link.attach import AttachStream, BadPolicy, Breach
from guest_stub.svm_link.check import CheckStream
from guest_stub.svm_link.ending import WRITE_FAILED
from guest_stub.svm_link.question import Question
from guest_stub.svm_link.refusals import why_refused
from guest_stub.svm_link.target import SVM_NAME, NotEnrolled, Proof, Svm, Target, host_and_port, svm_of
from guest_stub.svm_link.ticket import NoTicket, Ticket, fetch
from guest_stub.svm_link.upload import Uploader
from guest_stub.svm_link.values import (
    Batch,
    GuestEvent,
    HelloLabels,
    LinkListener,
    LinkPolicy,
    ScanStatus,
)

CLOSE_SECONDS = 2.0
WRITE_SECONDS = 30.0  # after which an SVM that takes nothing of what is said on Attach is given up
PROTECTION = DESCRIPTOR.services_by_name["Protection"].full_name
SCAN_METHOD = f"/{PROTECTION}/Scan"

_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # the SVM is on this host: a proxy in the environment is not meant for it
    ("grpc.use_local_subchannel_pool", 1),  # a new link is a new connection
    ("grpc.enable_retries", 0),  # the owner decides
    ("grpc.keepalive_time_ms", 30_000),  # an SVM that hangs, or whose host is gone, is noticed
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
)


_TLS_OPTIONS = (("grpc.ssl_target_name_override", SVM_NAME),)


class SvmUnreachable(Exception):
    """No SVM answers at the target, or it refuses this stub; the message says which and what to do."""

    @property
    def is_of_certificate(self) -> bool:
        """Whether the SVM does not take what this guest proves itself by."""
        cause = self.__cause__
        return isinstance(cause, aio.AioRpcError) and cause.code() is grpc.StatusCode.UNAUTHENTICATED


@dataclass(frozen=True, slots=True)
class Connection:
    """A channel to an SVM, on which nothing was asked yet, and who we are on it; see connect()."""

    channel: aio.Channel
    ticket: Ticket | None
    session: str = ""
    proof: Proof | None = None

    @property
    def metadata(self) -> aio.Metadata:
        """What goes with every call."""
        said = {"ticket": self.ticket.text if self.ticket is not None else "", "session": self.session}
        return aio.Metadata(*((name, value) for name, value in said.items() if value))

    def unary(self, name: str, service: str = PROTECTION) -> Callable[..., Awaitable[bytes]]:
        """A call of one message each way, of bytes: the generated one would log what it cannot read."""
        method = f"/{service}/{name}"
        call: Callable[..., Awaitable[bytes]] = self.channel.unary_unary(
            method, request_serializer=None, response_deserializer=None
        )
        return call

    async def close(self) -> None:
        """Give both back. Waits CLOSE_SECONDS at most."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.channel.close(None)
        except TimeoutError:
            pass  # nothing more can be done for a peer that does not answer
        finally:
            if self.ticket is not None:
                self.ticket.close()


@contextmanager
def unreachable(target: Target, seconds: float, sentences: Mapping[grpc.StatusCode, str]) -> Iterator[None]:
    """Turn what a question without an answer raises into SvmUnreachable.

    seconds: that it had. sentences: for the statuses that mean something for it.
    """
    svm = svm_of(target)
    try:
        yield
    except TimeoutError as error:
        raise SvmUnreachable(
            f"{svm.address}: no SVM has answered within {seconds:g} s: is it running?"
        ) from error
    except (NoTicket, NotEnrolled) as error:
        raise SvmUnreachable(f"{svm.address}: {error}") from error
    except DecodeError as error:
        raise SvmUnreachable(
            f"{svm.address}: what answers is not an SVM that this guest-stub understands"
        ) from error
    except aio.AioRpcError as error:
        why = f"the SVM does not say: {error.code().name}: {error.details() or 'no reason given'}"
        said = _refused(error, svm) or sentences.get(error.code(), why)
        raise SvmUnreachable(f"{svm.address}: {said}") from error


async def connect(target: Target, session: str = "") -> Connection:
    """Open a channel and, on a unix socket, fetch a ticket; the caller sets the deadline.

    session: see HelloLabels. Raises NoTicket, NotEnrolled, and SvmUnreachable for no such target.
    """
    svm = svm_of(target)
    kind, _, path = svm.address.partition(":")
    if kind == "unix" and path:
        ticket = await fetch(path)
        return Connection(aio.insecure_channel(svm.address, options=_CHANNEL_OPTIONS), ticket, session)
    if place := host_and_port(svm.address):
        proof = svm.proof()
        return Connection(secure_channel(place, proof.authority, proof), None, session, proof)
    raise SvmUnreachable(f'{svm.address}: no address of an SVM: write "unix:/path" or "tcp:host:port"')


def secure_channel(place: str, authority: bytes, proof: Proof | None) -> aio.Channel:
    """A channel to an SVM of this authority (PEM) at "host:port". proof: what is shown to it."""
    own = (proof.key, proof.certificate) if proof is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(authority, *own)
    return aio.secure_channel(place, credentials, options=(*_CHANNEL_OPTIONS, *_TLS_OPTIONS))


def _refused(error: aio.AioRpcError, svm: Svm) -> str:
    """Why this guest is not let in over TCP; "" elsewhere, or where the status says all."""
    if not host_and_port(svm.address):
        return ""
    try:
        proof = svm.proof()
    except NotEnrolled:
        proof = None
    return why_refused(error, proof)


class SvmLink:
    """An attached SVM. Serves one event loop; every method is called on it.

    lost: set once the SVM is gone, with the reason in why_lost; the link never reconnects, its owner
    opens a new one. refused: what was said on Attach broke a rule of the wire, by the SVM's word. followed:
    its owner opens another in its place, which ends it: no listener is told of that.

    >>> link = await SvmLink.open("unix:/run/kvm-light-agent/svm.sock", labels, 10.0, listener)
    >>> question = await link.check(Batch(digests, Purpose.ON_DEMAND, 60.0, content))
    >>> for digest, outcome in zip(digests, question.outcomes): ...
    >>> async for ended in question.settled(): ...
    >>> await link.close()
    """

    def __init__(self, connection: Connection, listener: LinkListener | None) -> None:
        """For open(), which every caller uses."""
        self.lost = asyncio.Event()
        self.why_lost = ""
        self.refused = False
        self.followed = False
        self._connection = connection
        self._listener = listener
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._writes: set[asyncio.Task[None]] = set()
        self._stub = ProtectionStub(connection.channel)
        self._metadata = connection.metadata
        self._attach = AttachStream(self._stub.Attach(None, metadata=self._metadata), listener)
        self._check: CheckStream

    @classmethod
    async def open(
        cls, target: Target, labels: HelloLabels, seconds: float, listener: LinkListener | None = None
    ) -> "SvmLink":
        """Connect, attach and wait for policy and generation, all within `seconds`. Raises SvmUnreachable."""
        link: SvmLink | None = None
        try:
            async with asyncio.timeout(seconds):
                link = cls(await connect(target, labels.session), listener)
                await link._attach.hello(labels)
        except BaseException as error:
            if link is not None:
                await link.close()
                if isinstance(error, aio.AioRpcError):
                    error = link._attach.ending.of(error)
            sentence = _why_unreachable(error, seconds, svm_of(target))
            if sentence is None:
                raise
            raise SvmUnreachable(f"{svm_of(target).address}: {sentence}") from error
        link._start()
        return link

    @property
    def policy(self) -> LinkPolicy:
        """As the SVM said last."""
        return self._attach.policy

    @property
    def generation(self) -> int:
        """As the SVM said last."""
        return self._attach.generation

    async def check(self, batch: Batch) -> Question:
        """Ask about a batch; returns with the SVM's first reply to it, and sends content that it needs.

        Any number of calls may be under way at once: they share one stream, and wait for their turn
        when the limit of open questions is reached. Never raises for anything the SVM does:
        an SVM that is gone, or does not answer within the budget, gives NO_SVM or TIMED_OUT outcomes.
        Raises ValueError for an empty or too large batch.
        """
        if not 0 < len(batch.digests) <= self.policy.max_batch:
            raise ValueError(f"{len(batch.digests)} digests in a batch: give 1 to {self.policy.max_batch}")
        return await self._check.ask(batch)

    async def send_events(self, journal: bytes, events: Sequence[GuestEvent]) -> None:
        """Send what happened here; whether it is kept, LinkListener.events_kept tells.

        journal: 16 bytes, drawn at random when the stub begins a journal: what is sent again under the same
        numbers is kept once. 1 to MAX_EVENTS of rising number, of 256 KiB at the most; send the next batch
        when this one is kept. Raises ValueError for another batch. Where the SVM is gone nothing is sent.
        """
        await self._whole(self._attach.send_events(journal, events))

    async def send_scan_status(self, status: ScanStatus) -> None:
        """Say how a scan stands. Where the SVM is gone nothing is sent."""
        await self._whole(self._attach.send_scan_status(status))

    async def _whole(self, write: Coroutine[None, None, None]) -> None:
        """See a write through also when its caller is cancelled: grpc would cancel the call with it.

        The end of the call, also a cancellation of the call, is no error: whoever reads it says why.
        """
        task = asyncio.get_running_loop().create_task(self._in_time(write))
        self._writes.add(task)
        task.add_done_callback(self._written)
        await asyncio.wait({task})
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, aio.AioRpcError | asyncio.InvalidStateError):
            raise error

    async def _in_time(self, write: Coroutine[None, None, None]) -> None:
        """Give the SVM up where it takes nothing: whoever waits no more would else leave writes for ever."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await write
        except TimeoutError:
            self._lose(f"the SVM's Attach stream: it has taken nothing for {WRITE_SECONDS:g} s")

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be there any more who would take it

    async def close(self) -> None:
        """End all streams; what is open ends as NO_SVM. Waits twice CLOSE_SECONDS at most. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self._lose("the link was closed")
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        finally:  # whoever is cancelled meanwhile leaves nothing open either
            await self._connection.close()

    async def __aenter__(self) -> "SvmLink":
        """Nothing to do: open() has connected."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the link."""
        await self.close()

    def _start(self) -> None:
        # The generated call would serialize, which packing has done.
        scan = self._connection.channel.stream_unary(
            SCAN_METHOD, request_serializer=None, response_deserializer=ScanReply.FromString
        )
        uploader = Uploader(lambda: scan(None, metadata=self._metadata), lambda: self.policy)
        self._check = CheckStream(self._stub.Check(None, metadata=self._metadata), uploader.send, self._lose)
        for stream, work in (
            ("Attach", self._attach.read),
            ("Attach", self._attach.beat),
            ("Check", self._check.read),
            ("Check", self._check.write),
            ("Scan", uploader.run),
        ):
            self._tasks.append(asyncio.get_running_loop().create_task(self._guard(work, stream)))

    async def _guard(self, work: Callable[[], Awaitable[None]], stream: str) -> None:
        """Run a part of the link; its end, whatever it is, is the link's."""
        try:
            await work()
            why = "ended without a reason"
        except aio.AioRpcError as raised:
            error = (self._check if stream == "Check" else self._attach).ending.of(raised)
            why = self._why(error)
            self.refused |= stream == "Attach" and error.code() is grpc.StatusCode.INVALID_ARGUMENT
        except asyncio.InvalidStateError:
            return  # a write after the end: the reader of the same stream says why it ended
        except (BadPolicy, Breach) as error:
            why = str(error)
        except Exception as error:  # a fault of the stub's own, or of a caller's `content`
            self._lose(f"the {stream} stream failed in this stub: {error!r}")
            raise
        self._lose(f"the SVM's {stream} stream: {why}")

    def _why(self, error: aio.AioRpcError) -> str:
        """As the SVM says it; where this guest's certificate has ended meanwhile, with what to do."""
        proof = self._connection.proof
        if proof is None or error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return _status(error)
        return why_refused(error, proof)

    def _lose(self, why: str) -> None:
        """The SVM is gone, or the link is closed: everything ends, once."""
        if self.lost.is_set():
            return
        self.why_lost = why
        self.lost.set()
        for task in self._tasks:
            task.cancel()
        if hasattr(self, "_check"):
            self._check.end(why)
        if self._listener is not None and not (self._closing or self.followed):
            self._listener.lost(why)


def _status(error: aio.AioRpcError) -> str:
    if error.details() == WRITE_FAILED:  # and nothing was heard of why
        return "it ended while the stub was writing to it"
    return f"{error.code().name}: {error.details() or 'no reason given'}"


def _why_unreachable(error: BaseException, seconds: float, svm: Svm) -> str | None:
    """The sentence for what went wrong while opening; None for what is not the SVM's doing."""
    if isinstance(error, TimeoutError):
        return f"no SVM has answered within {seconds:g} s: is it running?"
    if isinstance(error, aio.AioRpcError):
        return _refused(error, svm) or f"the SVM did not let this guest attach: {_status(error)}"
    if isinstance(error, BadPolicy | Breach):
        return f"what answers is not an SVM that this stub understands: {error}"
    if isinstance(error, NoTicket | NotEnrolled):
        return str(error)
    return None
