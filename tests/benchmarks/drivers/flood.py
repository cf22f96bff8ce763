"""One hostile guest that sends as much of one kind as it can, without regard for what it is told.

Settings: target, kind: one of KINDS, and over TLS identities (a file of `enrolled`) and first (which of them
it is). Questions: {"flood": true}, answered {} once it has begun, and {"flood": false}, answered {"done"}:
how many it got rid of, once it has stopped. It runs at the lowest priority: on a host a guest's own work is
done on processors of its own, and not on the SVM's.
"""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import grpc
from lightagent.v1 import guest_pb2, guest_pb2_grpc, verdict_pb2

from guest_stub.svm_link.link import secure_channel
from guest_stub.svm_link.target import Proof
from tests.benchmarks.drivers import reply, settings
from tests.benchmarks.enrolled import proofs

BATCH = 1024
EVENTS = 256
CONNECTIONS = 1000  # that are kept open
PAUSE = 0.05  # after the SVM has closed something, lest this process do nothing else
CHUNK = 512 * 1024
CHUNKS = 8  # of one content
ELSEWHERE = "127.0.0.2"  # where connections come from on TCP: another machine than the others
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01"  # the begin of a handshake
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4" + bytes(5)


class Guest:
    """An attached guest by hand."""

    def __init__(self, target: str, proof: Proof | None) -> None:
        self.target = target
        self.proof = proof
        self.done = 0
        self.numbers = 0

    @asynccontextmanager
    async def attached(self) -> AsyncIterator[tuple[Any, tuple[tuple[str, str], ...], Any]]:
        """A stub, what to call it with, and the Attach stream after its Hello."""
        async with self._channel() as (channel, metadata):
            stub: Any = guest_pb2_grpc.ProtectionStub(channel)
            attach = stub.Attach(metadata=metadata)
            await attach.write(guest_pb2.AttachRequest(hello=guest_pb2.Hello(host_name="flood")))
            yield stub, metadata, attach

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[tuple[grpc.aio.Channel, tuple[tuple[str, str], ...]]]:
        """A connection of its own, and what proves on it who calls."""
        if self.proof is not None:
            place = self.target.removeprefix("tcp:")
            async with secure_channel(place, self.proof.authority, self.proof) as channel:
                yield channel, ()
            return
        reader, writer = await asyncio.open_unix_connection(f"{self.target.removeprefix('unix:')}.id")
        ticket = (await reader.readline()).decode().strip()
        try:
            options = (("grpc.use_local_subchannel_pool", 1),)
            async with grpc.aio.insecure_channel(self.target, options=options) as channel:
                yield channel, (("ticket", ticket),)
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        kind, _, place = self.target.partition(":")
        if kind == "unix":
            return await asyncio.open_unix_connection(place)
        host, _, port = place.rpartition(":")
        return await asyncio.open_connection(host, int(port), local_addr=(ELSEWHERE, 0))

    def request(self, digests: list[bytes], budget: int = 0) -> guest_pb2.CheckRequest:
        """A question."""
        self.numbers += 1
        request = guest_pb2.CheckRequest(
            request_id=self.numbers, purpose=verdict_pb2.PURPOSE_ON_ACCESS, sha256=digests
        )
        if budget:
            request.budget.seconds = budget
        return request


async def _take_all(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
        pass


async def connections(guest: Guest) -> None:
    """Connect, say nothing or a beginning, hold on to all of them, and open anew what is closed."""
    beginning = PREFACE if guest.proof is None else HALF_A_HELLO

    async def hold(number: int) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await guest.connect()
                guest.done += 1
                try:
                    if number % 2:
                        writer.write(beginning)
                    while await reader.read(4096):
                        pass
                finally:
                    writer.close()
            await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(hold(number))


async def questions(guest: Guest) -> None:
    """Ask about digests that nobody knows, a full batch at a time."""
    async with guest.attached() as (stub, metadata, attach), asyncio.TaskGroup() as group:
        call = stub.Check(metadata=metadata)
        group.create_task(_take_all(attach))
        group.create_task(_take_all(call))
        while True:
            noise = os.urandom(32 * BATCH)
            digests = [noise[place : place + 32] for place in range(0, len(noise), 32)]
            await call.write(guest.request(digests, budget=1))
            guest.done += 1


async def uploads(guest: Guest) -> None:
    """Send new contents of 4 MiB, all in a hurry."""
    async with guest.attached() as (stub, metadata, attach), asyncio.TaskGroup() as group:
        check = stub.Check(metadata=metadata)
        scan = stub.Scan(metadata=metadata)
        group.create_task(_take_all(attach))
        while True:
            head = os.urandom(32)
            chunks = [head + bytes([number]) * (CHUNK - 32) for number in range(CHUNKS)]
            digest = hashlib.sha256(b"".join(chunks)).digest()
            await check.write(guest.request([digest]))
            lease = 0
            while not lease:
                message = await check.read()
                lease = next((detail.lease for detail in message.details if detail.lease), 0)
            header = guest_pb2.ScanHeader(lease=lease, sha256=digest, size=CHUNK * CHUNKS)
            await scan.write(guest_pb2.ScanRequest(parts=[guest_pb2.ScanPart(header=header)]))
            for chunk in chunks:
                part = guest_pb2.ScanPart(chunk=guest_pb2.ScanChunk(data=chunk))
                await scan.write(guest_pb2.ScanRequest(parts=[part]))
                guest.done += 1


async def events(guest: Guest) -> None:
    """Report what never happened."""
    async with guest.attached() as (_, _, attach), asyncio.TaskGroup() as group:
        group.create_task(_take_all(attach))
        while True:
            said = [
                guest_pb2.GuestEvent(
                    number=number,
                    kind=guest_pb2.GUEST_EVENT_KIND_ACTION,
                    path=b"/x" * 200,
                    text="flood " * 60,
                )
                for number in range(guest.numbers + 1, guest.numbers + EVENTS + 1)
            ]
            guest.numbers += EVENTS
            batch = guest_pb2.GuestEvents(journal=b"f" * 16, events=said)
            await attach.write(guest_pb2.AttachRequest(events=batch))
            guest.done += 1


async def slow_readers(guest: Guest) -> None:
    """Ask, and take no answer."""

    async with guest.attached() as (stub, metadata, _):
        call = stub.Check(metadata=metadata)
        while True:
            noise = os.urandom(32 * BATCH)
            digests = [noise[place : place + 32] for place in range(0, len(noise), 32)]
            await call.write(guest.request(digests, budget=1))
            guest.done += 1


KINDS: dict[str, Callable[[Guest], Awaitable[None]]] = {
    flood.__name__: flood for flood in (connections, questions, uploads, events, slow_readers)
}


async def _again(flood: Callable[[Guest], Awaitable[None]], guest: Guest) -> None:
    """Begin anew whenever the SVM ends it."""
    while True:
        try:
            await flood(guest)
        except* (grpc.aio.AioRpcError, asyncio.InvalidStateError, OSError, AttributeError):
            await asyncio.sleep(PAUSE)


async def main() -> None:
    """Flood when told to."""
    given = settings()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    proof = proofs(given["identities"])[given["first"]] if "identities" in given else None
    guest = Guest(given["target"], proof)
    reply({})
    async with AsyncExitStack():
        task: asyncio.Task[None] | None = None
        while line := await asyncio.to_thread(sys.stdin.readline):
            if json.loads(line)["flood"]:
                before = guest.done
                task = asyncio.get_running_loop().create_task(_again(KINDS[given["kind"]], guest))
                reply({})
            elif task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                reply({"done": guest.done - before})
        if task is not None:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
