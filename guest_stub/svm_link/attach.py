"""The Attach stream: who we are up, then heartbeats; policy, generation and revocations down."""

import asyncio
from dataclasses import dataclass

from grpc import aio
from lightagent.v1.guest_pb2 import AttachReply, AttachRequest, Heartbeat, Hello, Policy

from guest_stub.svm_link.values import MAX_LABEL_BYTES, HelloLabels, LinkListener, LinkPolicy
from guest_stub.svm_link.wire import seconds

# What the stub holds to whatever an SVM says: messages under the wire's 1 MiB, data in memory under 2 MiB.
_MOST_BATCH = 16384
_MOST_CHUNK_BYTES = 768 * 1024
_USUAL_HEARTBEAT_SECONDS = 30.0

Call = aio.StreamStreamCall[AttachRequest, AttachReply]


class BadPolicy(Exception):
    """The SVM's policy makes no sense, or did not come first."""


@dataclass(slots=True)
class _Heard:
    policy: LinkPolicy | None = None
    generation: int | None = None


class AttachStream:
    """This guest's Attach call. policy, generation: as said last, once hello() has returned."""

    policy: LinkPolicy
    generation: int

    def __init__(self, call: Call, listener: LinkListener | None) -> None:
        self._call = call
        self._listener = listener

    async def hello(self, labels: HelloLabels) -> None:
        """Introduce the stub, take what is revoked, wait for policy and generation.

        Raises BadPolicy and AioRpcError.
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
            await self._call.write(AttachRequest(heartbeat=Heartbeat()))

    async def read(self) -> None:
        """Take what the SVM says until it ends the call; raises BadPolicy and AioRpcError."""
        while (reply := await self._next()) is not None:
            self._take(reply)

    async def _next(self) -> AttachReply | None:
        reply = await self._call.read()
        return reply if isinstance(reply, AttachReply) else None

    def _take(self, reply: AttachReply) -> None:
        kind = reply.WhichOneof("message")
        if kind == "policy":
            self.policy = read_policy(reply.policy)
        elif kind == "generation":
            self.generation = reply.generation.generation
            if self._listener is not None:
                self._listener.generation_changed(self.generation)
        elif kind == "revocation" and self._listener is not None:
            self._listener.revoked(list(reply.revocation.sha256))


def read_policy(policy: Policy) -> LinkPolicy:
    """The policy within the stub's own bounds. Raises BadPolicy for one that lets nothing through."""
    if policy.max_batch < 1 or policy.max_chunk_bytes < 1:
        raise BadPolicy(
            f"its policy allows {policy.max_batch} digests a batch and {policy.max_chunk_bytes} bytes a chunk"
        )
    heartbeat = seconds(policy.heartbeat)
    return LinkPolicy(
        max_file_bytes=policy.max_file_bytes,
        max_batch=min(policy.max_batch, _MOST_BATCH),
        max_chunk_bytes=min(policy.max_chunk_bytes, _MOST_CHUNK_BYTES),
        heartbeat_seconds=heartbeat if heartbeat > 0 else _USUAL_HEARTBEAT_SECONDS,
    )


def _hello(labels: HelloLabels) -> Hello:
    return Hello(
        stub_version=_cut(labels.stub_version),
        os=_cut(labels.os),
        boot_id=_cut(labels.boot_id),
        host_name=_cut(labels.host_name),
    )


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_LABEL_BYTES].decode("utf-8", "ignore")
