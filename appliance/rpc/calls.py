"""What a guest's calls have in common: the session they belong to, their two halves, an orderly end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from appliance.domain.guest import Guest
from appliance.rpc import wire
from appliance.rpc.connections import peer_of
from appliance.rpc.identity import Callers, Context, session_name
from appliance.rpc.outbox import Outbox
from appliance.rpc.sessions import Session, Sessions


class CallEnded(Exception):
    """A call ends with a status other than OK, and the exception's sentence.

    bound: the setting that it is over, "" for none.
    """

    status = grpc.StatusCode.UNKNOWN

    def __init__(self, sentence: str, bound: str = "") -> None:
        super().__init__(sentence)
        self.bound = bound


class Breach(CallEnded):
    """The guest broke a rule of the wire."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class Refused(CallEnded):
    """The guest asks for more than it may have."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED


class Stalled(CallEnded):
    """The guest stopped in the middle."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED


class TakesNothing(Stalled):
    """The guest does not take what it is told."""


class Unattached(CallEnded):
    """The guest has no open Attach."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class Replaced(CallEnded):
    """The guest attached anew."""

    status = grpc.StatusCode.ABORTED


class Stopping(CallEnded):
    """The SVM takes no more."""

    status = grpc.StatusCode.UNAVAILABLE


Asked = TypeVar("Asked", bound=Message)

_LAST_WORD_SECONDS = 1.0  # that a guest has to take the message that is being sent when its call ends
_BLAMED = (Breach, Refused, Stalled)  # what an operator counts against a guest


@asynccontextmanager
async def ends_as_said(context: Context, sessions: Sessions, guest: Guest) -> AsyncIterator[None]:
    """Turn CallEnded into the status that the wire promises."""
    try:
        yield
    except CallEnded as end:
        if isinstance(end, _BLAMED):
            sessions.breach(guest, type(end).__name__.lower(), str(end))
        if end.bound:
            sessions.over(end.bound)
        if not isinstance(end, TakesNothing):
            await context.abort(end.status, str(end))
        # It does not take this either: gRPC keeps it for the case that it does, and we do not wait for that.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await context.abort(end.status, str(end))
        for cut in sessions.on_stuck:
            cut(context.peer())


def parser(kind: type[Asked], most: int = wire.MAX_MESSAGE_BYTES) -> Callable[[bytes], Asked]:
    """What turns a guest's bytes into a message; bytes that are none, or over `most`, raise a CallEnded.

    gRPC calls it within `context.read()`: all that guests say passes here.
    """

    def parse(said: bytes) -> Asked:
        if len(said) > most:
            raise Refused(
                f"a message of {len(said)} bytes is larger than max, {most}: send less", "limits.message_kib"
            )
        try:
            return kind.FromString(said)
        except DecodeError:
            raise Breach(
                f"{len(said)} bytes that are no {kind.DESCRIPTOR.name}: send what guest.proto says"
            ) from None

    return parse


@asynccontextmanager
async def attach_call(context: Context, callers: Callers, sessions: Sessions) -> AsyncIterator[Guest]:
    """The caller for the length of its Attach call."""
    guest = await callers.guest(context)
    async with ends_as_said(context, sessions, guest):
        with _attached_on(context, sessions):
            yield guest


@contextmanager
def _attached_on(context: Context, sessions: Sessions) -> Iterator[None]:
    """Have it known meanwhile which connection a guest is attached on."""
    peer = peer_of(context.peer())
    if peer is None:
        yield
        return
    sessions.peers[peer] += 1
    try:
        yield
    finally:
        sessions.peers[peer] -= 1
        if not sessions.peers[peer]:
            del sessions.peers[peer]


@asynccontextmanager
async def session_call(context: Context, callers: Callers, sessions: Sessions) -> AsyncIterator[Session]:
    """The caller's session for the length of one Check or Scan call."""
    guest = await callers.guest(context)
    async with ends_as_said(context, sessions, guest):
        session = sessions.of(guest, session_name(context))
        if session is None:
            raise Unattached("no open Attach: attach first, and stay attached")
        async with call_of(session):
            yield session


@asynccontextmanager
async def call_of(session: Session) -> AsyncIterator[None]:
    """A call as one of its session, for its length; who takes nothing loses the session with it."""
    task: asyncio.Task[Any] | None = asyncio.current_task()
    assert task is not None
    session.calls.add(task)
    try:
        yield
    except TakesNothing:
        session.cut_off()
        raise
    finally:
        session.calls.discard(task)


async def take_in(read: Coroutine[Any, Any, None], session: Session) -> None:
    """Run the half of a call that takes the guest's messages, until it has said its last or the SVM stops.

    The end of the session is an error: nobody is attached then who could use an answer.
    """
    reader = asyncio.get_running_loop().create_task(read)
    session.readers.add(reader)
    try:
        await asyncio.wait({reader})
        _result(reader, session)
    finally:
        session.readers.discard(reader)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def converse(
    read: Coroutine[Any, Any, None],
    outbox: Outbox[Any],
    finish: Callable[[], Awaitable[None]],
    session: Session,
    writing: asyncio.Lock,
) -> None:
    """Run both halves of a call: `read` takes the guest's messages, `outbox` says what is to be said.

    writing: held by either while it sends a message.

    When the guest has said its last, or the SVM stops (`read` is then cancelled), `finish` waits for
    what is still to come, the outbox is emptied, and the call is over. An error of either half ends
    both, and so does the end of the session.
    """
    loop = asyncio.get_running_loop()
    reader = loop.create_task(read)
    writer = loop.create_task(outbox.run())
    session.readers.add(reader)
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        _result(reader, session)
        if not writer.done():
            ending = loop.create_task(_end(finish, outbox))
            try:
                await asyncio.wait({ending, writer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)
        if writer.done():
            writer.result()
    finally:
        session.readers.discard(reader)
        await wind_up(writing, reader, writer)


async def wind_up(writing: asyncio.Lock, *halves: asyncio.Task[None]) -> None:
    """End the halves of a call, after the message that is being sent.

    A guest that goes away cancels the call meanwhile: no half is left running then either, which would fail
    with nobody to hear of it.
    """
    try:
        await _end_of_message(writing)
    finally:
        for half in halves:
            half.cancel()
        await asyncio.gather(*halves, return_exceptions=True)


async def _end_of_message(writing: asyncio.Lock) -> None:
    """Return when no message is being sent, and have none sent after that.

    gRPC cannot send the status of a call amid a message, and would not tell the guest that it is over. One
    that takes nothing is not waited for long.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await writing.acquire()


def _result(reader: asyncio.Task[None], session: Session) -> None:
    """Raise what ended the reading half, if that was an error."""
    if session.ended:
        raise Unattached("this guest's Attach ended, and with it its calls: attach anew")
    if reader.done() and not reader.cancelled():
        reader.result()


async def _end(finish: Callable[[], Awaitable[None]], outbox: Outbox[Any]) -> None:
    await finish()
    await outbox.drained()
