"""The Attach stream of one guest: who it is, that it lives, and what it must be told."""

import asyncio

from lightagent.v1 import guest_pb2

from appliance.config import Limits
from appliance.domain.guest import Guest
from appliance.protection import Protection
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Refused, Replaced, Stalled, Stopping, end_of_message
from appliance.rpc.identity import Context
from appliance.rpc.sessions import Labels, Session, Sessions, TooManyGuests
from appliance.rpc.terms import Terms

_MOST_REVOKED = 1024  # digests of one message
_HELLO_SECONDS = 5.0
_STOPPING = "the SVM stops: attach again when it is back"


class _Voice:
    """What the SVM says on the stream, one message at a time. writing: held meanwhile."""

    def __init__(self, context: Context) -> None:
        self.writing = asyncio.Lock()
        self._context = context

    async def say(self, reply: guest_pb2.AttachReply) -> None:
        """Send a message."""
        async with self.writing:
            await self._context.write(reply)


async def serve_attach(
    context: Context, guest: Guest, sessions: Sessions, protection: Protection, terms: Terms
) -> None:
    """Keep the guest's session open for the life of the stream; ends by raising CallEnded, or quietly."""
    if sessions.stopping:
        raise Stopping(_STOPPING)
    if guest.id in sessions.greeting:
        raise Refused("this guest has an Attach already that has not said Hello: say it there")
    sessions.greeting.add(guest.id)
    try:
        hello = await _read(context, _HELLO_SECONDS)
    finally:
        sessions.greeting.discard(guest.id)
    if hello is None or hello.WhichOneof("message") != "hello":
        raise Breach("the first message of Attach is a Hello")
    try:
        session = sessions.attach(guest, _labels(hello.hello))
    except TooManyGuests as error:
        raise Refused(str(error)) from error
    loop = asyncio.get_running_loop()
    listener = loop.create_task(_listen(context, terms.limits))
    voice = _Voice(context)
    speaker = loop.create_task(_speak(voice, session, protection, terms.limits))
    session.readers.add(listener)
    try:
        await asyncio.wait({listener, speaker}, return_when=asyncio.FIRST_COMPLETED)
        if session.replaced:
            raise Replaced("this guest attached anew: one Attach at a time")
        if sessions.stopping:
            # What was accepted is answered first: the guest's calls end before its session does.
            if session.calls:
                await asyncio.wait(set(session.calls))
            raise Stopping(_STOPPING)
        for half in (listener, speaker):
            if half.done():
                half.result()
    finally:
        session.readers.discard(listener)
        listener.cancel()
        sessions.detach(session)  # before any wait, which a second reason to end would cut short
        await end_of_message(voice.writing)
        speaker.cancel()
        await asyncio.gather(listener, speaker, return_exceptions=True)


async def _listen(context: Context, limits: Limits) -> None:
    """Read heartbeats to the end of the stream."""
    while (message := await _read(context, 2 * limits.heartbeat_seconds)) is not None:
        if message.WhichOneof("message") != "heartbeat":
            raise Breach("after Hello only heartbeats are said on Attach")


async def _read(context: Context, seconds: float) -> guest_pb2.AttachRequest | None:
    """The next message, None at the end of the stream; Stalled when it stays out."""
    try:
        async with asyncio.timeout(seconds):
            message = await context.read()
    except TimeoutError:
        raise Stalled(f"neither Hello nor heartbeat for {seconds:g} s: attach anew") from None
    return message if isinstance(message, guest_pb2.AttachRequest) else None


async def _speak(voice: _Voice, session: Session, protection: Protection, limits: Limits) -> None:
    """Send the policy, what is revoked, the generation; then whatever changes."""
    await voice.say(guest_pb2.AttachReply(policy=_policy(limits)))
    session.revoked.update(protection.void_digests(session.guest.scope))
    session.generation_moved = True
    while not session.replaced:
        session.news.clear()
        # Revocations go first: a guest that knows the generation knows what does not count in it.
        while session.revoked:
            some = [session.revoked.pop() for _ in range(min(_MOST_REVOKED, len(session.revoked)))]
            await voice.say(guest_pb2.AttachReply(revocation=guest_pb2.Revocation(sha256=some)))
        if session.generation_moved:
            session.generation_moved = False
            change = guest_pb2.GenerationChange(generation=protection.told_generation())
            await voice.say(guest_pb2.AttachReply(generation=change))
        if not session.revoked:
            await session.news.wait()


def _policy(limits: Limits) -> guest_pb2.Policy:
    return guest_pb2.Policy(
        max_file_bytes=min(limits.max_file_mib, limits.guest_spool_mib, limits.spool_mib) << 20,
        max_batch=limits.max_batch,
        heartbeat=wire.duration(limits.heartbeat_seconds),
        max_chunk_bytes=wire.MAX_CHUNK_BYTES,
    )


def _labels(hello: guest_pb2.Hello) -> Labels:
    return Labels(
        host_name=wire.label(hello.host_name),
        stub_version=wire.label(hello.stub_version),
        os=wire.label(hello.os),
        boot_id=wire.label(hello.boot_id),
    )
