"""What a call says to a guest: one message at a time, each to be taken in time."""

import asyncio
from typing import Any

from google.protobuf.message import Message

from appliance.rpc.calls import TakesNothing
from appliance.rpc.identity import Context


class Voice:
    """Says the messages of one call. writing: held while one is being said.

    One timer watches over all messages. asyncio.timeout sets and cancels one for each, which made an answer
    of the cache take a tenth longer.
    """

    def __init__(self, context: Context, seconds: float) -> None:
        """seconds: that the guest has to take a message."""
        self.writing = asyncio.Lock()
        self._context = context
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._speaker: asyncio.Task[Any] | None = None  # who says a message now
        self._since = 0.0
        self._is_late = False

    async def say(self, message: Message) -> None:
        """Send a message; raises TakesNothing where the guest does not take it, or those before, in time."""
        async with self.writing:
            await self.go_on(message)

    async def go_on(self, message: Message) -> None:
        """The same, for who holds `writing` already."""
        speaker = self._speaker = asyncio.current_task()
        assert speaker is not None
        self._is_late, cancelled = False, speaker.cancelling()
        self._since = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(self._seconds, self._look)
        try:
            await self._context.write(message)
        except asyncio.CancelledError:
            if self._is_late and speaker.uncancel() <= cancelled:
                raise TakesNothing(
                    f"nothing of what is said here was taken for {self._seconds:g} s: read this stream, "
                    "and attach anew",
                    "limits.reader_stall_seconds",
                ) from None
            raise
        finally:
            self._speaker = None

    def close(self) -> None:
        """The call is over: nothing of it is kept until the watch would have looked.

        What is being said is not watched any more, and nothing may be said after it.
        """
        if self._watch is not None:
            self._watch.cancel()

    def _look(self) -> None:
        """End the message that is not taken, or come back when it has had its time."""
        self._watch = None
        if self._speaker is None:
            return
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
            return
        self._is_late = True
        self._speaker.cancel()
