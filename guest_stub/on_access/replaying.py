"""When an SVM is back: looks at what was let through without one."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from guest_stub.decision import FileId
from guest_stub.journal import Entry, Journal
from guest_stub.looking import open_file
from guest_stub.on_access.afterwards import SECONDS, Reports
from guest_stub.on_access.answering import Waiting, path_of
from guest_stub.on_access.gate import Judges
from guest_stub.on_access.judging import HeldFile
from guest_stub.on_access.memory import Memory
from guest_stub.outcome import Outcome

# Ends after which the SVM is gone again, or has no room: the rest is for the next time.
_BROKEN_OFF = frozenset({Outcome.NO_SVM, Outcome.OVERLOADED})


class Replaying:
    """Serves one event loop. counts: entries that were noted, and looked at later."""

    def __init__(self, journal: Journal, judge: Judges, reports: Reports, memory: Memory) -> None:
        """The journal stays the caller's. room: returns when there is room for one more detection.
        left_alone: whether the settings exclude an open file: a path may lead elsewhere by now.
        """
        self.room: Callable[[], Awaitable[None]] = _at_once
        self.left_alone: Callable[[int], bool] = lambda _fd: False
        self.counts = dict.fromkeys(("noted", "replayed"), 0)
        self._journal = journal
        self._judge = judge
        self._reports = reports
        self._memory = memory
        self._task: asyncio.Task[None] | None = None

    def note(self, waiting: Waiting) -> None:
        """Keep for later what was let through."""
        self._note(waiting.event.fd, waiting.operation)

    def note_written(self, held: HeldFile) -> None:
        """Keep for later what was written, and is not known."""
        self._note(held.fd, "write")

    def _note(self, fd: int, operation: str) -> None:
        try:
            status = os.fstat(fd)
        except OSError:
            return
        path = path_of(fd)
        if not path and status.st_nlink:  # the kernel tells no path of 4,096 bytes and more
            self._journal.lost += 1
            return
        self.counts["noted"] += 1
        self._journal.note(Entry(path, time.time(), operation), hash(FileId.of(status)))

    def take(self, entry: Entry, name: int) -> bool:
        """Look at a file, soon; False where there is no room to keep it until then. See Journal.note."""
        kept = self._journal.note(entry, name)
        self.begin()
        return kept

    def begin(self) -> None:
        """An SVM is there: look at what was kept, if that is not being done already."""
        if self._journal.waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._replay())

    async def _replay(self) -> None:
        while self._journal.waiting:  # also what was noted meanwhile
            for entry in self._journal.replay():
                await self.room()
                if not await self._look(entry):
                    return

    async def _look(self, entry: Entry) -> bool:
        """Look at a file as it is now; False where that has to wait for another time."""
        directory, _, name = entry.path.rpartition("/")
        try:
            fd = open_file(directory, name)
        except OSError:  # it is gone
            return True
        try:
            held = HeldFile(fd)
        except OSError:  # too many are open
            return False
        finally:
            os.close(fd)
        try:
            if self.left_alone(held.fd):
                return True
            file = FileId.of(os.fstat(held.fd))
            recalled = self._memory.recall(held.fd, file)
            judged = await self._judge.judge(held, file, recalled.sha256, SECONDS)
            if recalled.reliable:
                self._memory.keep(held.fd, judged, recalled.sha256)
            if judged.answer.outcome in _BROKEN_OFF:
                return False
            self.counts["replayed"] += 1
            self._reports.looked_at(held, judged)
            return True
        finally:
            held.close()

    async def close(self) -> None:
        """End what is under way; it begins anew with the next run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def _at_once() -> None:
    """There is room."""
