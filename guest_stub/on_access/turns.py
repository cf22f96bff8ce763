"""Who reads next: a thread for small files, a thread for large ones, and the owners of files in turns.

One user who changes large files over and over else keeps all threads busy, and everybody's opens wait behind
his until their time is over. A thread is always left for small files; and while no large one is read, the
next thread is for one, so that no flood of small ones keeps it waiting. What is left goes to small ones
first. Of each kind each file's owner has a turn, then the next one's: whose a file is, no other user can
choose.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final

from guest_stub.hashing import HashResult

SMALL_BYTES: Final = 1 << 20
THREADS: Final = min(4, max(2, os.cpu_count() or 1))


class Turns:
    """Serves one event loop. executor: has THREADS threads, and stays the caller's."""

    def __init__(self, executor: Executor) -> None:
        """Nobody reads yet."""
        self._executor = executor
        self._reading = {False: 0, True: 0}  # by whether the files are large
        self._waiting: dict[bool, dict[int, deque[asyncio.Future[None]]]] = {False: {}, True: {}}

    async def read(self, size: int, owner: int, read: Callable[[], HashResult]) -> HashResult:
        """Have a thread call `read` when it is its turn. size: in bytes. owner: the file's uid."""
        large = size >= SMALL_BYTES
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting[large].setdefault(owner, deque()).append(turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._done(large)
            raise
        work = self._executor.submit(read)
        work.add_done_callback(lambda _: self._from_thread(loop, large))
        return await asyncio.wrap_future(work)

    def _from_thread(self, loop: asyncio.AbstractEventLoop, large: bool) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._done, large)

    def _done(self, large: bool) -> None:
        self._reading[large] -= 1
        self._next()

    def _next(self) -> None:
        """Let those read for whom there is a thread."""
        while sum(self._reading.values()) < THREADS:
            for large in (True, False) if not self._reading[True] else (False, True):
                may = not large or self._reading[True] < THREADS - 1
                if may and (turn := self._first(large=large)) is not None:
                    self._reading[large] += 1
                    turn.set_result(None)
                    break
            else:
                return

    def _first(self, *, large: bool) -> asyncio.Future[None] | None:
        """Who waits longest of the owner whose turn it is; that one's next turn is after all others'."""
        waiting = self._waiting[large]
        while waiting:
            owner = next(iter(waiting))
            queue = waiting.pop(owner)
            turn = queue.popleft()
            if queue:
                waiting[owner] = queue
            if not turn.done():
                return turn
        return None
