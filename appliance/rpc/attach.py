"""The Attach stream of one guest: who it is, that it lives, what happened to it, and what it must be told."""

import asyncio
from dataclasses import dataclass

from lightagent.v1 import guest_pb2

from appliance.config_limits import Limits
from appliance.domain.event import Event
from appliance.domain.guest import Guest
from appliance.protection import Protection
from appliance.rpc import wire
from appliance.rpc.admission import ANYBODY, Admission
from appliance.rpc.calls import (
    Breach,
    Refused,
    Replaced,
    Stalled,
    Stopping,
    TakesNothing,
    wind_up,
)
from appliance.rpc.guest_events import Keeping, read_events
from appliance.rpc.identity import Context, session_name
from appliance.rpc.scan_words import NOBODY_SCANS, ScanDesk, ScanStatuses, scan_replies
from appliance.rpc.sessions import Labels, Session, Sessions, TooManyGuests
from appliance.rpc.terms import Terms
from appliance.rpc.voice import Voice

_MOST_REVOKED = 1024  # digests of one message
_HELLO_SECONDS = 5.0
_REPLACED = (
    "another Attach took its place: there is one of a session at a time, one daemon of a guest, and where "
    "all places of a guest are taken its daemon gets that of the oldest: end some programs, and attach anew"
)
_STOPPING = "the SVM stops: attach again when it is back"


@dataclass(frozen=True, slots=True)
class Around:
    """What all Attach calls share."""

    sessions: Sessions
    protection: Protection
    terms: Terms
    events: Keeping
    scans: ScanDesk = NOBODY_SCANS
    admission: Admission = ANYBODY


async def serve_attach(context: Context, guest: Guest, around: Around) -> None:
    """Keep the guest's session open for the life of the stream; ends by raising CallEnded, or quietly."""
    sessions, terms = around.sessions, around.terms
    if sessions.stopping:
        raise Stopping(_STOPPING)
    session = await _welcome(context, guest, around)
    loop = asyncio.get_running_loop()
    listener = loop.create_task(_Listener(context, session, around).run())
    voice = Voice(context, terms.limits.reader_stall_seconds)
    speaker = loop.create_task(_speak(voice, session, around.protection, terms.limits))
    session.readers.add(listener)
    around.scans.attached(session)
    try:
        await asyncio.wait({listener, speaker}, return_when=asyncio.FIRST_COMPLETED)
        if session.replaced:
            raise Replaced(_REPLACED)
        if session.takes_nothing:
            raise TakesNothing("nothing of what is said on another stream was taken: attach anew")
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
        around.scans.detached(session)
        voice.close()
        await wind_up(voice.writing, listener, speaker)


async def _welcome(context: Context, guest: Guest, around: Around) -> Session:
    """Open the session that a Hello asks for."""
    name, sessions = session_name(context), around.sessions
    try:
        async with sessions.greets(guest, name):
            message = await _read(context, _HELLO_SECONDS)
        if message is None or message.WhichOneof("message") != "hello":
            raise Breach("the first message of Attach is a Hello")
        await around.admission.greeted(context, guest, message.hello)
        is_daemon = message.hello.program == guest_pb2.GUEST_PROGRAM_DAEMON
        return sessions.attach(guest, _labels(message.hello), name, is_daemon)
    except TooManyGuests as error:
        raise Refused(str(error), error.bound) from error


class _Listener:
    """Reads what the guest says to the end of the stream. One batch of events is kept after another."""

    def __init__(self, context: Context, session: Session, around: Around) -> None:
        self._context = context
        self._session = session
        self._around = around
        self._keeping: asyncio.Task[None] | None = None
        self._statuses = ScanStatuses(session, around.sessions, around.scans)

    async def run(self) -> None:
        """Read to the end; raises CallEnded."""
        seconds = 2 * self._around.terms.limits.heartbeat_seconds
        try:
            while (message := await _read(self._context, seconds)) is not None:
                kind = message.WhichOneof("message")
                await self._around.admission.spoke(self._session)
                if kind == "events":
                    await self._take(message.events)
                elif kind == "scan":
                    await self._statuses.take(message.scan)
                elif kind != "heartbeat":
                    raise Breach("after Hello only heartbeats, events and scans are said on Attach")
        finally:
            if self._keeping is not None:
                self._keeping.cancel()

    async def _take(self, said: guest_pb2.GuestEvents) -> None:
        """Have a batch kept, once the one before is; a guest that sends too fast waits."""
        loop, events, sessions = asyncio.get_running_loop(), self._around.events, self._around.sessions
        batch = read_events(said, self._session.guest, events.now())
        if self._session.journals.is_full:
            raise Refused("this guest does not take what it is told of its events: read Attach")
        await sessions.keep_pace(self._session, "events_per_second", len(batch))
        if self._keeping is not None:
            await self._keeping
        self._keeping = loop.create_task(self._keep(said.journal, batch))

    async def _keep(self, journal: bytes, batch: list[Event]) -> None:
        await self._around.events.keep(self._session.guest.id, journal, batch)
        assert batch[-1].said is not None
        self._session.journals.note(journal, batch[-1].said.number)
        self._session.news.set()


async def _read(context: Context, seconds: float) -> guest_pb2.AttachRequest | None:
    """The next message, None at the end of the stream; Stalled when it stays out."""
    try:
        async with asyncio.timeout(seconds):
            message = await context.read()
    except TimeoutError:
        raise Stalled(f"neither Hello nor heartbeat for {seconds:g} s: attach anew") from None
    return message if isinstance(message, guest_pb2.AttachRequest) else None


async def _speak(voice: Voice, session: Session, protection: Protection, limits: Limits) -> None:
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
        while (kept := session.journals.take()) is not None:
            await voice.say(guest_pb2.AttachReply(events_kept=kept))
        for told in scan_replies(session.scan_news):
            await voice.say(told)
        if not session.revoked:
            await session.news.wait()


def _policy(limits: Limits) -> guest_pb2.Policy:
    return guest_pb2.Policy(
        max_file_bytes=min(limits.max_file_mib, limits.guest_spool_mib, limits.spool_mib) << 20,
        max_batch=limits.max_batch,
        heartbeat=wire.duration(limits.heartbeat_seconds),
        max_chunk_bytes=wire.chunk_bytes(limits.message_kib << 10),
    )


def _labels(hello: guest_pb2.Hello) -> Labels:
    return Labels(
        host_name=wire.label(hello.host_name),
        stub_version=wire.label(hello.stub_version),
        os=wire.label(hello.os),
        boot_id=wire.label(hello.boot_id),
    )
