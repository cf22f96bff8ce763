"""In which order changes of the register are made: one at a time, what ends something before most else.

It goes first three times of four while others wait: whoever ends things without end does not stop all else.
Beyond that those who ask take turns: one who asks for many changes has each other wait for one of them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

MOST_ENDS: Final = 3  # one after another, while something else waits

_Line = dict[Hashable, deque[asyncio.Future[None]]]  # by who asks, in the order of their turns


class Order:
    """Lets one after another through."""

    def __init__(self) -> None:
        self._taken = False
        self._ends = 0  # one after another that went before something else
        self._lines: tuple[_Line, _Line] = ({}, {})  # what ends something, and all else

    @asynccontextmanager
    async def turn(self, who: Hashable, ends: bool) -> AsyncIterator[None]:
        """Wait for a turn, which is had for the length of an `async with`.

        who: asks. ends: whether it is to end something that counts.
        """
        if self._taken:
            await self._wait(self._lines[0 if ends else 1], who)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, line: _Line, who: Hashable) -> None:
        turn = asyncio.get_running_loop().create_future()
        line.setdefault(who, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it has come, and is of no use any more
                self._pass_on()
            elif turn in line.get(who, ()):  # else it was passed over already
                line[who].remove(turn)
                if not line[who]:
                    del line[who]
            raise

    def _pass_on(self) -> None:
        """Let the next one through."""
        while (turn := self._next()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False

    def _next(self) -> asyncio.Future[None] | None:
        ends, others = self._lines
        for line in (others, ends) if self._ends >= MOST_ENDS else (ends, others):
            if line:
                self._ends = self._ends + 1 if line is ends and others else 0
                who = next(iter(line))
                waiting = line.pop(who)
                turn = waiting.popleft()
                if waiting:
                    line[who] = waiting  # behind all others
                return turn
        return None
