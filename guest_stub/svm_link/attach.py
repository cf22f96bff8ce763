"""The Attach stream: who we are up, then heartbeats, events and how scans stand.

Policy, generation, revocations, what is kept of events, scans and their slots down.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from grpc import aio
from lightagent.v1 import guest_pb2
from lightagent.v1.guest_pb2 import (
    AttachReply,
    AttachRequest,
    GuestEvents,
    Heartbeat,
    Hello,
    Policy,
    Revocation,
)

from guest_stub.svm_link.ending import Ending
from guest_stub.svm_link.pace import Pace
from guest_stub.svm_link.scans import read_slot, read_task, status_message
from guest_stub.svm_link.values import (
    JOURNAL_BYTES,
    MAX_EVENTS,
    MAX_PATH_BYTES,
    MAX_TEXT_BYTES,
    GuestEvent,
    HelloLabels,
    LinkListener,
    LinkPolicy,
    ScanSlot,
    ScanStatus,
    ScanTask,
    cut,
)
from guest_stub.svm_link.wire import seconds

# What the stub holds to whatever an SVM says: messages under the wire's 1 MiB, data in memory under 2 MiB.
_MOST_BATCH = 16384
_MOST_CHUNK_BYTES = 768 * 1024
_USUAL_HEARTBEAT_SECONDS = 30.0
_HEARTBEAT_SECONDS = 1.0, 300.0  # at least and at most, whatever is asked for: beats cost this machine
_MOST_EVENTS_BYTES = 256 * 1024
_MOST_REVOKED = 1024  # digests of one message
_DIGEST_BYTES = 32

Call = aio.StreamStreamCall[AttachRequest, AttachReply]


class BadPolicy(Exception):
    """The SVM's policy makes no sense, or did not come first."""


class Breach(Exception):
    """The SVM said what the wire does not allow; the message says what."""


@dataclass(slots=True)
class _Heard:
    policy: LinkPolicy | None = None
    generation: int | None = None


class AttachStream:
    """This guest's Attach call. policy, generation: as said last, once hello() has returned.

    ending: why it ended; what its methods raise may not say that.
    """

    policy: LinkPolicy
    generation: int

    def __init__(self, call: Call, listener: LinkListener | None) -> None:
        self._call = call
        self.ending = Ending(call)
        self._listener = listener
        self._writing = asyncio.Lock()
        self._pace = Pace(asyncio.get_running_loop().time)

    async def hello(self, labels: HelloLabels) -> None:
        """Introduce the stub, take what is revoked, wait for policy and generation.

        Raises BadPolicy, Breach and AioRpcError.
        """
        await self._call.write(AttachRequest(hello=_hello(labels)))
        policy = await self._next()
        if policy is None or not policy.HasField("policy"):
            raise BadPolicy("it did not begin with a policy")
        self.policy = read_policy(policy.policy)
        # What does not count any more is told before the generation, so that nobody goes by it meanwhile.
        while (reply := await self._next()) is not None and not reply.HasField("generation"):
            self._take(reply)
        if reply is None:
            raise BadPolicy("it sent no generation after its policy")
        self.generation = reply.generation.generation

    async def beat(self) -> None:
        """Send a heartbeat at a third of the time that the policy allows, for the life of the call."""
        while True:
            await asyncio.sleep(self.policy.heartbeat_seconds / 3)
            await self._write(AttachRequest(heartbeat=Heartbeat()))

    async def send_events(self, journal: bytes, events: Sequence[GuestEvent]) -> None:
        """Send a batch; returns when it is sent, which says nothing of whether it is kept.

        Raises ValueError for a batch that no SVM takes; AioRpcError, InvalidStateError where it has ended.
        """
        if len(journal) != JOURNAL_BYTES or not 0 < len(events) <= MAX_EVENTS:
            raise ValueError(
                f"{len(events)} events of a journal of {len(journal)} bytes: "
                f"give 1 to {MAX_EVENTS}, and {JOURNAL_BYTES} bytes"
            )
        said = GuestEvents(journal=journal, events=map(event_message, events))
        if said.ByteSize() > _MOST_EVENTS_BYTES:
            raise ValueError(f"{said.ByteSize()} bytes of events: give at most {_MOST_EVENTS_BYTES}")
        await self._write(AttachRequest(events=said))

    async def send_scan_status(self, status: ScanStatus) -> None:
        """Say how a scan stands; raises as send_events() where the call has ended."""
        await self._write(AttachRequest(scan=status_message(status)))

    async def _write(self, request: AttachRequest) -> None:
        async with self._writing:
            await self._call.write(request)

    async def read(self) -> None:
        """Take what the SVM says until it ends the call; raises BadPolicy, Breach and AioRpcError."""
        while (reply := await self._next()) is not None:
            self._take(reply)

    async def _next(self) -> AttachReply | None:
        """The next message, not before it is due: meanwhile no other is read, so that a fast SVM waits."""
        reply = await self._call.read()
        if not isinstance(reply, AttachReply):
            return None
        if pause := self._pace.pause(reply):
            await asyncio.sleep(pause)
        return reply

    def _take(self, reply: AttachReply) -> None:
        kind = reply.WhichOneof("message")
        if kind == "policy":
            self.policy = read_policy(reply.policy)
        elif kind == "generation":
            self.generation = reply.generation.generation
            if self._listener is not None:
                self._listener.generation_changed(self.generation)
        elif kind == "revocation":
            digests = read_revocation(reply.revocation)
            if self._listener is not None:
                self._listener.revoked(digests)
        elif kind == "events_kept" and self._listener is not None:
            self._listener.events_kept(reply.events_kept.journal, reply.events_kept.up_to)
        elif kind == "scan_task" and (task := read_task(reply.scan_task)) is not None:
            self._tell_of_scan(task)
        elif kind == "scan_slot" and (slot := read_slot(reply.scan_slot)) is not None:
            self._tell_of_scan(slot)

    def _tell_of_scan(self, told: ScanTask | ScanSlot) -> None:
        if self._listener is not None:
            self._listener.scan_told(told)


def read_policy(policy: Policy) -> LinkPolicy:
    """The policy within the stub's own bounds. Raises BadPolicy for one that lets nothing through."""
    if policy.max_batch < 1 or policy.max_chunk_bytes < 1:
        raise BadPolicy(
            f"its policy allows {policy.max_batch} digests a batch and {policy.max_chunk_bytes} bytes a chunk"
        )
    least, most = _HEARTBEAT_SECONDS
    heartbeat = seconds(policy.heartbeat)
    return LinkPolicy(
        max_file_bytes=policy.max_file_bytes,
        max_batch=min(policy.max_batch, _MOST_BATCH),
        max_chunk_bytes=min(policy.max_chunk_bytes, _MOST_CHUNK_BYTES),
        heartbeat_seconds=min(max(heartbeat, least), most) if heartbeat > 0 else _USUAL_HEARTBEAT_SECONDS,
    )


def read_revocation(said: Revocation) -> list[bytes]:
    """What is revoked. Raises Breach for what is no digest, or more than a message may hold."""
    if len(said.sha256) > _MOST_REVOKED:
        raise Breach(f"a revocation of {len(said.sha256)} digests: {_MOST_REVOKED} at most are allowed")
    wrong = next((len(digest) for digest in said.sha256 if len(digest) != _DIGEST_BYTES), None)
    if wrong is not None:
        raise Breach(f"a revocation of a digest of {wrong} bytes: it is {_DIGEST_BYTES}")
    return list(said.sha256)


def _hello(labels: HelloLabels) -> Hello:
    return Hello(
        stub_version=cut(labels.stub_version),
        os=cut(labels.os),
        boot_id=cut(labels.boot_id),
        host_name=cut(labels.host_name),
        program=guest_pb2.GuestProgram.ValueType(int(labels.program)),
        machine=labels.machine,
    )


def event_message(event: GuestEvent) -> guest_pb2.GuestEvent:
    """The event as the wire has it."""
    message = guest_pb2.GuestEvent(
        number=event.number,
        kind=guest_pb2.GuestEventKind.ValueType(int(event.kind)),
        sha256=event.sha256,
        path=event.path[:MAX_PATH_BYTES],
        process=cut(event.process),
        threat=cut(event.threat),
        action=cut(event.action),
        text=cut(event.text, MAX_TEXT_BYTES),
        count=event.count,
    )
    message.at.FromNanoseconds(int(event.at * 1e9))
    return message
