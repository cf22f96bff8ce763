"""When events were lost: looks for the files that were changed since, and has them looked at.

Anybody can have events lost again and again: a lease on a file of his own is enough. So a walk takes the
disk's lowest priority and rests as long as it works, and the next one waits for longer, many times as long
as this one took where need be.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final, Protocol

from guest_stub.found import FoundFile
from guest_stub.journal import Entry
from guest_stub.manners import idle_disk
from guest_stub.records import changed_ns
from guest_stub.walk import Nobody, Places, Walk

PAUSE_SECONDS: Final = 1.0  # before the first walk, so that it serves for all that is lost in a row
LONGEST_PAUSE_SECONDS: Final = 600.0
RESTS: Final = 1.0  # after each batch of files, so many times as long as it took
PAUSES: Final = 10.0  # after a walk, so many times as long as it took
MARGIN_SECONDS: Final = 60.0  # that an event may have waited in the kernel's queue
ROOM_SECONDS: Final = 0.5  # between looks at whether the journal has room


class Notes(Protocol):
    """Where files are noted that are to be looked at. `journal.Journal` is it."""

    @property
    def room(self) -> int:
        """How many may be noted now. Asked in the walking thread."""

    def note(self, entry: Entry, name: int) -> object:
        """Keep an entry, unless it is kept already. name: stands for the file as it is."""


class CatchingUp:
    """Serves one event loop.

    walks: how many were begun.
    """

    def __init__(self, places: Places, notes: Notes, noted: Callable[[], None]) -> None:
        """notes: told each file, on the loop; waited for where it has no room. noted: it was told some."""
        self.walks = 0
        self._places = places
        self._notes = notes
        self._noted = noted
        self._loop = asyncio.get_running_loop()
        self._since = math.inf  # when the first event was lost that no walk was begun for
        self._pause = PAUSE_SECONDS
        self._next = 0.0  # no walk begins before that, by the loop's clock
        self._stop = Event()
        self._task: asyncio.Task[None] | None = None

    def missed(self, since: float | None = None) -> None:
        """Events were lost just now, or since a moment, in seconds since the epoch."""
        self._since = min(self._since, (time.time() if since is None else since) - MARGIN_SECONDS)
        if self._task is None or self._task.done():
            if self._loop.time() >= self._next + self._pause:  # it was quiet for long enough
                self._pause = PAUSE_SECONDS
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        while self._since < math.inf:
            await asyncio.sleep(max(PAUSE_SECONDS, self._next - self._loop.time()))
            since, self._since = self._since, math.inf
            self.walks += 1
            began = self._loop.time()
            await self._walked(tuple(self._places.roots()), int(since * 1e9))
            self._noted()
            ended = self._loop.time()
            self._pause = min(LONGEST_PAUSE_SECONDS, max(2 * self._pause, PAUSES * (ended - began)))
            self._next = ended + self._pause

    async def _walked(self, roots: tuple[str, ...], since_ns: int) -> None:
        thread = ThreadPoolExecutor(1, "catch up", initializer=idle_disk)
        try:
            await self._loop.run_in_executor(thread, self._walk, roots, since_ns)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def _walk(self, roots: tuple[str, ...], since_ns: int) -> None:
        began = time.monotonic()
        for batch in Walk(self._places.selection(roots), Nobody(), self._stop.is_set).batches():
            changed = [file for file in batch if file.size and changed_ns(file.stamp) >= since_ns]
            rest = RESTS * (time.monotonic() - began)
            if changed:
                self._hand_over(changed)
            if self._stop.wait(rest):
                return
            began = time.monotonic()

    def _hand_over(self, files: list[FoundFile]) -> None:
        """Tell of files, waiting for room: until what was noted so far is looked at, which takes an SVM."""
        while files and not self._stop.is_set():
            if room := self._notes.room:
                told, some, files = Event(), files[:room], files[room:]
                self._loop.call_soon_threadsafe(self._tell, some, told)
                while not told.wait(ROOM_SECONDS) and not self._stop.is_set():
                    pass
            else:
                self._loop.call_soon_threadsafe(self._noted)
                self._stop.wait(ROOM_SECONDS)

    def _tell(self, files: Sequence[FoundFile], told: Event) -> None:
        for file in files:
            self._notes.note(
                Entry(f"{file.directory}/{file.name}", time.time(), "write", file.key),
                hash(file.key + file.stamp),
            )
        told.set()

    async def close(self) -> None:
        """End what is under way."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
