"""When an SVM is back: looks at what was let through without one, where it was or wherever it is by then."""

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from typing import Protocol

from guest_stub.decision import FileId
from guest_stub.journal import MISSED, MOST_TRIES, NOBODY, Entry, Journal
from guest_stub.looking import open_file
from guest_stub.on_access.afterwards import FOR_LATER, SECONDS
from guest_stub.on_access.answering import Waiting, path_of
from guest_stub.on_access.gate import Judges
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.memory import Memory
from guest_stub.on_access.moved import moved_to
from guest_stub.on_access.reopening import reopened
from guest_stub.outcome import Outcome
from guest_stub.records import identify, inode_of
from guest_stub.remediation.handles import handle_of
from guest_stub.walk import Places

# Ends after which the SVM is gone again, or has no room: the rest is for the next time.
_BROKEN_OFF = frozenset({Outcome.NO_SVM, Outcome.OVERLOADED})
# And those after which this one file is.
_AGAIN = (FOR_LATER - _BROKEN_OFF) | {Outcome.CHANGED}


class Reports(Protocol):
    """Who is told. Called on the loop; must not raise."""

    def looked_at(self, held: HeldFile, judged: Judged) -> None:
        """A file was looked at; `held` is open until this returns."""

    def not_replayed(self, why: str) -> None:
        """What was noted cannot be looked at; it stays noted."""

    def not_noted(self) -> None:
        """A file was to be looked at later, and there is no room to note it."""

    def not_found(self, entries: Sequence[Entry]) -> None:
        """Files that were noted are nowhere: deleted, or hidden."""

    def given_up(self, path: str) -> None:
        """Nobody could say what a file is, again and again."""


class Replaying:
    """Serves one event loop.

    counts: entries that were noted, and looked at later; files that were nowhere to be found, and those of
    which nobody could say what they are.
    """

    def __init__(self, journal: Journal, judge: Judges, reports: Reports, memory: Memory) -> None:
        """The journal stays the caller's. room: returns when there is room for one more detection.
        places: where to look for what is not at its path any more. left_alone: whether the settings
        exclude an open file: a path may lead elsewhere by now. on_missed: told since when there was no
        room to note files, or a disk that takes them, in seconds since the epoch.
        """
        self.room: Callable[[], Awaitable[None]] = _at_once
        self.places = Places(tuple)
        self.left_alone: Callable[[int], bool] = lambda _fd: False
        self.on_missed: Callable[[float], None] = lambda _since: None
        self.counts = dict.fromkeys(("noted", "replayed", "not_found", "given_up"), 0)
        self._journal = journal
        self._judge = judge
        self._reports = reports
        self._memory = memory
        self._problem = ""
        self._begun = False
        self._again: list[tuple[Entry, int]] = []
        self._task: asyncio.Task[None] | None = None

    def note(self, waiting: Waiting) -> None:
        """Keep for later what was let through."""
        self._note(waiting.event.fd, waiting.operation)

    def note_written(self, held: HeldFile) -> bool:
        """Keep for later what was written, and is not known; False where there is no room."""
        return self._note(held.fd, "write")

    def _note(self, fd: int, operation: str) -> bool:
        try:
            status = os.fstat(fd)
        except OSError:
            return True
        path, file = path_of(fd), FileId.of(status)
        if not path and not status.st_nlink:  # nobody can open it later
            return True
        key = identify(file)[0] if self._memory.recall(fd, file).reliable else b""
        if not path and not key:  # the kernel tells no path of 4,096 bytes and more
            self._journal.lost += 1
            self._reports.not_noted()
            return False
        self.counts["noted"] += 1
        handle = handle_of(fd) if key else b""
        return self._keep(Entry(path, time.time(), operation, key, handle), hash(file), status.st_uid)

    def _keep(self, entry: Entry, name: int, owner: int = NOBODY) -> bool:
        """See Journal.note; that there is no room is said."""
        kept = self._journal.note(entry, name, owner)
        if not kept:
            self._reports.not_noted()
        return kept

    def take(self, entry: Entry, name: int) -> bool:
        """Look at a file, soon; False where there is no room to keep it until then. See Journal.note."""
        kept = self._keep(entry, name)
        self.begin()
        return kept

    def begin(self) -> None:
        """An SVM is there: look at what was kept, if that is not being done already."""
        self._begun = True
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
        left = True
        while self._journal.waiting and (self._begun or left):  # also what was noted meanwhile, and begun for
            self._begun, left = False, self._journal.was_broken_off
            gone: list[Entry] = []
            self._again = []
            with closing(self._journal.replay()) as entries:
                if not await self._look_at(entries, gone):
                    return
            if not await self._follow(gone):
                return
            for entry, name in self._again:  # before they are forgotten, and for another time
                self._keep(entry, name)
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
        tries = {entry.key: entry.tries for entry in gone}
        there = [entry._replace(tries=tries.get(key, 0)) for key, entry in found.items()]
        if not await self._look_at(there, lost):
            return False
        self.counts["not_found"] += len(lost)
        if lost:
            self._reports.not_found(lost)
        return True

    async def _look(self, entry: Entry, gone: list[Entry]) -> bool:
        """Look at a file as it is now; False where that has to wait for another time."""
        if entry.operation == MISSED:
            self.on_missed(entry.at)
            return True
        try:
            held, found = self._open(entry)
        except OSError:  # too many are open
            return False
        if not found:
            gone.append(entry)
        if held is None:
            return True
        try:
            return await self._judge_it(entry, held)
        finally:
            held.close()

    def _open(self, entry: Entry) -> tuple[HeldFile | None, bool]:
        """Open the file of an entry, wherever it is; and whether that is it for certain. Raises OSError."""
        directory, _, name = entry.path.rpartition("/")
        try:
            fd = open_file(directory, name)
        except OSError as problem:
            if problem.errno in (errno.EMFILE, errno.ENFILE):
                raise
            fd = -1
        found, key = fd >= 0, entry.key
        if found and key:
            there = identify(FileId.of(os.fstat(fd)))[0]
            found = there == key
            if inode_of(there) != inode_of(key):  # another file by now, which had an event of its own
                os.close(fd)
                fd = -1
        if fd < 0 and (fd := reopened(entry, self.places.roots())) >= 0:
            found = True
        if fd < 0:
            return None, False
        try:
            return HeldFile(fd), found
        finally:
            os.close(fd)

    async def _judge_it(self, entry: Entry, held: HeldFile) -> bool:
        """Find out what an open file is; False where that has to wait for another time."""
        if self.left_alone(held.fd):
            return True
        file = FileId.of(os.fstat(held.fd))
        recalled = self._memory.recall(held.fd, file)
        judged = await self._judge.judge(held, file, recalled.sha256, SECONDS)
        if recalled.reliable:
            self._memory.keep(held.fd, judged, recalled.sha256)
        if judged.answer.outcome in _BROKEN_OFF:
            return False
        if judged.answer.outcome in _AGAIN:
            self._try_again(entry._replace(tries=entry.tries + 1), held)
            return True
        self.counts["replayed"] += 1
        self._reports.looked_at(held, judged)
        return True

    def _try_again(self, entry: Entry, held: HeldFile) -> None:
        """Have nobody's answer sought another time, so often and no more."""
        if entry.tries < MOST_TRIES:
            self._again.append((entry, hash(FileId.of(os.fstat(held.fd)))))
            return
        self.counts["given_up"] += 1
        self._reports.given_up(path_of(held.fd))

    async def close(self) -> None:
        """End what is under way; it begins anew with the next run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def _at_once() -> None:
    """There is room."""
