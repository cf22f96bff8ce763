"""When an SVM is back: looks at what was let through without one, where it was or wherever it is by then."""

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from typing import Protocol

from guest_stub.decision import FileId
from guest_stub.journal import Entry, Journal
from guest_stub.looking import open_file
from guest_stub.on_access.afterwards import SECONDS
from guest_stub.on_access.answering import Waiting, path_of
from guest_stub.on_access.gate import Judges
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.memory import Memory
from guest_stub.on_access.moved import moved_to
from guest_stub.outcome import Outcome
from guest_stub.records import identify, inode_of
from guest_stub.walk import Places

# Ends after which the SVM is gone again, or has no room: the rest is for the next time.
_BROKEN_OFF = frozenset({Outcome.NO_SVM, Outcome.OVERLOADED})


class Reports(Protocol):
    """Who is told. Called on the loop; must not raise."""

    def looked_at(self, held: HeldFile, judged: Judged) -> None:
        """A file was looked at; `held` is open until this returns."""

    def not_replayed(self, why: str) -> None:
        """What was noted cannot be looked at; it stays noted."""


class Replaying:
    """Serves one event loop.

    counts: entries that were noted, and looked at later; and files that were nowhere to be found.
    """

    def __init__(self, journal: Journal, judge: Judges, reports: Reports, memory: Memory) -> None:
        """The journal stays the caller's. room: returns when there is room for one more detection.
        places: where to look for what is not at its path any more. left_alone: whether the settings
        exclude an open file: a path may lead elsewhere by now.
        """
        self.room: Callable[[], Awaitable[None]] = _at_once
        self.places = Places(tuple)
        self.left_alone: Callable[[int], bool] = lambda _fd: False
        self.counts = dict.fromkeys(("noted", "replayed", "not_found"), 0)
        self._journal = journal
        self._judge = judge
        self._reports = reports
        self._memory = memory
        self._problem = ""
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
        path, file = path_of(fd), FileId.of(status)
        if not path and not status.st_nlink:  # nobody can open it later
            return
        key = identify(file)[0] if self._memory.recall(fd, file).reliable else b""
        if not path and not key:  # the kernel tells no path of 4,096 bytes and more
            self._journal.lost += 1
            return
        self.counts["noted"] += 1
        self._journal.note(Entry(path, time.time(), operation, key), hash(file))

    def take(self, entry: Entry, name: int) -> bool:
        """Look at a file, soon; False where there is no room to keep it until then. See Journal.note."""
        kept = self._journal.note(entry, name)
        self.begin()
        return kept

    def begin(self) -> None:
        """An SVM is there: look at what was kept, if that is not being done already."""
        if self._journal.waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._replay())

    @property
    def figures(self) -> dict[str, int]:
        """Counts, and entries for which the journal had no room."""
        return {**self.counts, "unnoted": self._journal.lost}

    async def _replay(self) -> None:
        try:
            await self._all()
            self._problem = ""
        except OSError as problem:
            if self._problem != str(problem):  # it is tried again each minute
                self._reports.not_replayed(
                    f"what was let through without a verdict cannot be looked at for now ({problem}): "
                    "see that the disk of the state directory has room and can be written"
                )
            self._problem = str(problem)

    async def _all(self) -> None:
        while self._journal.waiting:  # also what was noted meanwhile
            gone: list[Entry] = []
            with closing(self._journal.replay()) as entries:
                if not await self._look_at(entries, gone):
                    return
            if not await self._follow(gone):
                return
            self._journal.done()

    async def _look_at(self, entries: Iterable[Entry], gone: list[Entry]) -> bool:
        """Look at files; those that are not at their path go to `gone`. False where the rest has to wait."""
        for entry in entries:
            await self.room()
            if not await self._look(entry, gone):
                return False
        return True

    async def _follow(self, gone: list[Entry]) -> bool:
        """Look for files by their inodes, and at those that are found; False where the rest has to wait."""
        keys = {entry.key for entry in gone if entry.key}
        found = await moved_to(self.places, keys) if keys else {}
        inodes = set(map(inode_of, found))
        lost = [entry for entry in gone if not entry.key or inode_of(entry.key) not in inodes]
        there = [Entry(path, 0.0, "search", key) for key, path in found.items()]
        if not await self._look_at(there, lost):
            return False
        self.counts["not_found"] += len(lost)
        return True

    async def _look(self, entry: Entry, gone: list[Entry]) -> bool:
        """Look at a file as it is now; False where that has to wait for another time."""
        directory, _, name = entry.path.rpartition("/")
        try:
            fd = open_file(directory, name)
        except OSError as problem:
            gone.append(entry)
            return problem.errno not in (errno.EMFILE, errno.ENFILE)
        try:
            held = HeldFile(fd)
        except OSError:  # too many are open
            return False
        finally:
            os.close(fd)
        try:
            file = FileId.of(os.fstat(held.fd))
            if entry.key and identify(file)[0] != entry.key:
                gone.append(entry)
                if inode_of(identify(file)[0]) != inode_of(entry.key):
                    return True  # another file by now, which had an event of its own
            if self.left_alone(held.fd):
                return True
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
