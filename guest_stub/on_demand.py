"""A scan that somebody ordered: walk, answer from kept decisions, hash the rest, ask the SVM, keep, report.

One thread walks and looks decisions up (walking.py), some hash (looking.py), the loop asks and takes the
answers. What is on its way between them is bounded by one Room, so that a slow SVM slows the walk.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from os import fsencode
from threading import Event
from typing import Protocol

from guest_stub.asking import Asker, Links
from guest_stub.decisions import Decisions
from guest_stub.ends import Left
from guest_stub.found import FoundFile
from guest_stub.hashing import HashLimits
from guest_stub.links import Links as Names
from guest_stub.looking import MAX_LOOKS, Chunk, Looked, look, open_file
from guest_stub.manners import RateLimit
from guest_stub.outcome import VERDICTS, Outcome
from guest_stub.pausing import Pause
from guest_stub.report import FileEnd, Report
from guest_stub.room import Room, places
from guest_stub.svm_link.values import FileContent, LinkAnswer
from guest_stub.tally import Tally
from guest_stub.walk import Selection
from guest_stub.walking import Outlets, Shared, Walking

GRACE_SECONDS = 2.0  # for answers that are on their way when the scan is ended

_NOT_LOOKED_AT = frozenset({Outcome.CHANGED, Outcome.UNREADABLE})
_NO_LIMIT = 1 << 63  # a file over the SVM's limit is still asked about by its digest


@dataclass(frozen=True, slots=True)
class Manner:
    """How a scan goes about. threads: that hash. rate: bytes a second that are read and sent, None for any.

    clock: seconds since the epoch. room: for what is on its way. begin_reading, begin_walking: called
    in each thread that hashes, and in the one that walks, at its start. handle_of: see HashLimits.
    """

    threads: int
    rate: float | None = None
    clock: Callable[[], float] = time.time
    room: Callable[[], Room] = Room
    begin_reading: Callable[[], object] | None = None
    begin_walking: Callable[[], object] | None = None
    handle_of: Callable[[int], bytes] | None = None


class Keeping(Protocol):
    """Where decisions go. `keeping.Keeper` is it."""

    def keep(self, files: Sequence[Looked], answer: LinkAnswer, now: float) -> None:
        """Keep a verdict of files."""

    def keep_digests(self, files: Sequence[Looked]) -> None:
        """Keep no more than digests."""

    def flush(self) -> None:
        """Commit what waits."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a scan uses and its caller owns. pause: its threads touch no file while that holds them."""

    line: Links
    decisions: Decisions
    keeper: Keeping
    report: Report
    pause: Pause = field(default_factory=Pause)


class Scan:
    """One scan. run() on a loop, stop() on the same one. It takes the answers itself (asking.Answers).

    tally: the counts so far. incomplete: why not everything was scanned, "" when it was.
    """

    def __init__(self, selection: Selection, manner: Manner, equipment: Equipment) -> None:
        """Nothing happens before run()."""
        self._selection = selection
        self._manner = manner
        self._equipment = equipment
        self._report = equipment.report
        self.tally = Tally()
        self.incomplete = ""
        self._stop = Event()
        self._pause = equipment.pause
        self._room = manner.room()
        self._links = Names()
        self._emptied = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._limit = RateLimit(manner.rate, sleep=self._stop.wait) if manner.rate else None
        self._hash_limits = HashLimits(_NO_LIMIT, self._reading, self._stopped, manner.handle_of)
        self._crew = ThreadPoolExecutor(manner.threads, "look", manner.begin_reading)
        self._bug: Exception | None = None
        self._over = False

    async def run(self) -> None:
        """Scan until everything has an answer, or stop() was called, or the SVM is gone for good."""
        self._loop = asyncio.get_running_loop()
        shared = Shared(
            self._equipment.decisions, self.tally, self._report, self._room, self._links, self._stopped
        )
        walking = Walking(shared, self._generation, Outlets(self._hash, self._ask_soon))
        walker = ThreadPoolExecutor(1, "walk", self._manner.begin_walking)
        try:
            async with asyncio.TaskGroup() as group:
                self._asker = Asker(self._equipment.line, group, self, self._content)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None) as self._patience:
                        await self._loop.run_in_executor(walker, walking.run, self._selection)
                        await self._until_empty()
                self._patience = None
                self._asker.cancel()
            if self._bug is not None:
                raise self._bug
        finally:
            self._over = True
            self._end()
            self._crew.shutdown(wait=False, cancel_futures=True)
            walker.shutdown(wait=False)
            self._equipment.keeper.flush()
        if self.incomplete:
            self.tally.interrupt()

    def stop(self, why: str) -> None:
        """End the scan soon, with what was found; the first reason stands."""
        if self._stop.is_set():
            return
        self.incomplete = why
        self._end()
        if self._patience is not None:
            self._patience.reschedule(self._loop.time() + GRACE_SECONDS)

    def _end(self) -> None:
        """Have the threads see that it is over, wherever they wait."""
        self._stop.set()
        self._pause.lift()
        self._room.close()

    def _stopped(self) -> bool:
        """In a thread, before it touches a file: wait out a pause; whether the scan is to end."""
        self._pause.wait()
        return self._stop.is_set()

    async def _until_empty(self) -> None:
        while not self._room.empty and self._bug is None:
            self._emptied.clear()
            await self._emptied.wait()

    def _generation(self) -> int:
        return self._equipment.line.current.generation

    def _on_loop(self, call: Callable[[], None]) -> None:
        """Have something done on the loop; for other threads."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the scan was over long ago
            self._loop.call_soon_threadsafe(self._guarded, call)

    def _guarded(self, call: Callable[[], None]) -> None:
        """A fault of ours ends the scan with that fault, instead of leaving it to wait for ever."""
        if self._over:
            return
        try:
            call()
        except Exception as bug:
            self._bug = self._bug or bug
            self._end()
            self._emptied.set()

    def _hash(self, chunk: Chunk) -> None:
        future = self._crew.submit(look, chunk, self._hash_limits, self._manner.clock)
        future.add_done_callback(lambda done: self._on_loop(lambda: self._looked(chunk, done)))

    def _ask_soon(self, files: Sequence[Looked]) -> None:
        self._on_loop(lambda: self._asker.ask(files))

    def _reading(self, count: int) -> None:
        """In a hashing thread: so many bytes are about to be read."""
        self.tally.add("bytes_read", count)
        if self._limit is not None:
            self._limit(count)

    def _content(self, file: Looked) -> FileContent:
        """Where the SVM gets a file's bytes from."""
        return FileContent(file.size, fsencode(file.file.name)[:255], partial(self._open_to_send, file))

    def _open_to_send(self, file: Looked) -> int:
        """In a reading thread: open a file whose bytes the SVM needs; raises OSError."""
        fd = open_file(file.file.directory, file.file.name)
        self.tally.add("bytes_sent", file.size)
        if self._limit is not None:
            self._limit.charge(file.size)  # the hashing threads wait for it
        return fd

    def _looked(self, chunk: Chunk, done: Future[list[Looked]]) -> None:
        """Take what a thread has hashed; what it has not, since the scan is to end, gives its room back."""
        looked = [] if done.cancelled() else done.result()
        missing = len(chunk.files) - len(looked)
        if missing:
            taken = sum(map(places, chunk.files)) - sum(places(file.file) for file in looked)
            size = sum(file.size for file in chunk.files) - sum(file.file.size for file in looked)
            self._give_back(taken, size)
            for name in set(chunk.files).difference(file.file for file in looked):
                self._missed(name)
        self._asker.ask([file for file in looked if file.end is None])
        for file in looked:
            if file.end is not None:
                self.tally.end(file.end)
                if self._report.wants(file.end):
                    self._report.file(FileEnd(_path(file.file), file.end, reason=file.reason))
                self._free([file])
                self._missed(file.file)

    def _free(self, files: Sequence[Looked]) -> None:
        self._give_back(sum([places(file.file) for file in files]), sum([file.file.size for file in files]))

    def _give_back(self, files: int, size: int) -> None:
        self._room.give_back(files, size)
        if self._room.empty:
            self._emptied.set()

    def answered(self, files: Sequence[Looked], answer: LinkAnswer, at_once: bool) -> None:
        """See asking.Answers."""
        outcome = answer.outcome
        if outcome is Outcome.CHANGED:
            files = self._look_again(files)
        if outcome in VERDICTS:
            self._equipment.keeper.keep(files, answer, self._manner.clock())
        elif outcome < Outcome.NO_SVM and outcome is not Outcome.CHANGED:
            self._equipment.keeper.keep_digests(files)
        if outcome < Outcome.NO_SVM:
            self.tally.add("at_once" if at_once else "later", len(files))
        self.tally.end(outcome, len(files))
        if self._report.wants(outcome):
            said = (answer.threat, answer.engine, answer.member, answer.reason, answer.category)
            for file in files:
                end = FileEnd(_path(file.file), outcome, file.sha256, *said)
                self._report.file(replace(end, inode=file.inode, handle=file.handle))
        self._free(files)
        for file in files:
            if file.file.names > 1:
                if file.replaced or outcome in _NOT_LOOKED_AT:
                    self._missed(file.file)
                else:
                    self._looked_at(file.file)

    def _looked_at(self, name: FoundFile) -> None:
        """A file was looked at under this name: its others, which waited for that, end."""
        for other in self._links.done(name):
            self.tally.end(Left.HARD_LINK)
            if self._report.wants(Left.HARD_LINK):
                self._report.file(FileEnd(_path(other), Left.HARD_LINK))
            self._give_back(places(other), other.size)

    def _missed(self, name: FoundFile) -> None:
        """A file could not be looked at under this name: look at it under another that it has."""
        while name.names > 1 and (other := self._links.missed(name)) is not None:
            if not self._stop.is_set():
                self.tally.add("bytes", other.size)
                self._hash(Chunk([other]))
                return
            self._give_back(places(other), other.size)

    def _look_again(self, files: Sequence[Looked]) -> list[Looked]:
        """Hash files anew that changed since they were hashed; those that did so too often are left."""
        if self._stop.is_set():
            return list(files)
        for file in files:
            if file.tries + 1 < MAX_LOOKS:
                self._hash(Chunk([file.file], file.tries + 1))
        return [file for file in files if file.tries + 1 >= MAX_LOOKS]

    def svm_gone(self, why: str) -> None:
        """See asking.Answers."""
        self.stop(f"no SVM answers any more: {why}")


def _path(file: FoundFile) -> str:
    return f"{file.directory}/{file.name}"
