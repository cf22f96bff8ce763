"""What a call says: in order, and not for ever to who takes nothing."""

import asyncio
import gc
import time
import weakref
from typing import Any, cast

import pytest
from google.protobuf.message import Message
from lightagent.v1 import guest_pb2

from appliance.rpc.calls import TakesNothing
from appliance.rpc.identity import Context
from appliance.rpc.voice import Voice


class Guest:
    """The other end: takes each message after so long."""

    def __init__(self, *seconds: float) -> None:
        self.taken: list[Message] = []
        self._seconds = iter(seconds)

    async def write(self, message: Message) -> None:
        """Take it, sooner or later."""
        await asyncio.sleep(next(self._seconds, 0))
        self.taken.append(message)


def voice_to(guest: Guest, seconds: float) -> Voice:
    """What is said to it."""
    return Voice(cast(Context, guest), seconds)


def reply(number: int) -> guest_pb2.CheckReply:
    """One of many messages."""
    return guest_pb2.CheckReply(request_id=number)


async def test_messages_are_said_one_at_a_time() -> None:
    """In the order in which they were begun."""
    guest = Guest(0.03, 0.02, 0.01)
    voice = voice_to(guest, 30.0)
    await asyncio.gather(*(voice.say(reply(number)) for number in range(5)))
    assert guest.taken == [reply(number) for number in range(5)]


async def test_who_takes_nothing_is_told_so() -> None:
    """The task that says it can go on: it is not left cancelled."""
    guest = Guest(30.0)
    with pytest.raises(TakesNothing, match=r"taken for 0\.05 s: read this stream") as told:
        await voice_to(guest, 0.05).say(reply(1))
    assert told.value.bound == "limits.reader_stall_seconds"
    current: asyncio.Task[Any] | None = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
    await asyncio.sleep(0)


async def test_each_message_has_its_own_time() -> None:
    """However many were said before it, and however long ago the first was."""
    guest = Guest(*[0.4] * 4)
    voice = voice_to(guest, 1.2)
    for number in range(4):
        await voice.say(reply(number))
    assert len(guest.taken) == 4


async def test_a_call_that_has_nothing_to_say_is_not_cut_and_is_watched_after_that() -> None:
    """However long it was silent."""
    voice = voice_to(Guest(0, 0, 30.0), 0.05)
    await voice.say(reply(1))
    await asyncio.sleep(0.2)
    await voice.say(reply(2))
    await asyncio.sleep(0.2)
    with pytest.raises(TakesNothing):
        await voice.say(reply(3))


async def test_a_call_that_is_cancelled_was_not_slow() -> None:
    """What ends it from outside stays what it is, while a message is said and before."""
    voice = voice_to(Guest(30.0), 30.0)
    loop = asyncio.get_running_loop()
    saying = [loop.create_task(voice.say(reply(number))) for number in range(2)]
    await asyncio.sleep(0.01)
    for task in reversed(saying):
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError)
        for end in await asyncio.gather(*saying, return_exceptions=True)
    )


async def test_a_call_that_is_cancelled_in_the_moment_that_it_was_slow_is_cancelled() -> None:
    """Whoever cancels a task has it cancelled."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(voice_to(Guest(30.0), 0.05).say(reply(1)))
    await asyncio.sleep(0)
    loop.call_later(0.06, task.cancel)
    loop.call_soon(time.sleep, 0.1)  # both are due when the loop goes on, the watch first
    (end,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError)
    assert task.cancelling() == 1


async def test_nothing_is_kept_of_a_call_that_is_over() -> None:
    """Not even until its watch would have looked."""
    guest = Guest()
    voice = voice_to(guest, 30.0)
    await voice.say(reply(1))
    voice.close()
    kept = weakref.ref(guest)
    del guest, voice
    gc.collect()
    assert kept() is None
