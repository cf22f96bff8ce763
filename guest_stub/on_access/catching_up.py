"""When events were lost: looks for the files that were changed since, and has them looked at."""

import asyncio
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Final

from guest_stub.found import FoundFile
from guest_stub.journal import Entry
from guest_stub.records import changed_ns
from guest_stub.walk import Nobody, Places, Walk

PAUSE_SECONDS: Final = 1.0  # so that one walk serves for all that is lost in a row
MARGIN_SECONDS: Final = 60.0  # that an event may have waited in the kernel's queue


class CatchingUp:
    """Serves one event loop.

    walks: how many were begun.
    """

    def __init__(
        self,
        places: Places,
        note: Callable[[Entry, int], object],
        done: Callable[[], None],
    ) -> None:
        """note: told each file, on the loop. done: then all are told."""
        self.walks = 0
        self._places = places
        self._note = note
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._again = False
        self._stop = Event()
        self._task: asyncio.Task[None] | None = None

    def missed(self) -> None:
        """Events were lost just now."""
        if self._task is None or self._task.done():
            self._since = time.time() - MARGIN_SECONDS
            self._task = self._loop.create_task(self._run())
        else:
            self._again = True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            self._again, since, self._since = False, self._since, time.time() - MARGIN_SECONDS
            self.walks += 1
            await asyncio.to_thread(self._walk, tuple(self._places.roots()), int(since * 1e9))
            self._done()
            if not self._again:
                return

    def _walk(self, roots: tuple[str, ...], since_ns: int) -> None:
        walk = Walk(self._places.selection(roots), Nobody(), self._stop.is_set)
        for batch in walk.batches():
            changed = [file for file in batch if file.size and changed_ns(file.stamp) >= since_ns]
            if changed:
                self._loop.call_soon_threadsafe(self._tell, changed)

    def _tell(self, files: Sequence[FoundFile]) -> None:
        for file in files:
            self._note(
                Entry(f"{file.directory}/{file.name}", time.time(), "write", file.key),
                hash(file.key + file.stamp),
            )

    async def close(self) -> None:
        """End what is under way."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
