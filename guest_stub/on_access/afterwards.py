"""Looks at files after somebody wrote or opened them, without holding him up."""

import asyncio
import os
import stat
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from guest_stub.decision import FileId
from guest_stub.on_access.fanotify import CLOSE_WRITE, Event
from guest_stub.on_access.gate import Judges
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.memory import Memory, Standing
from guest_stub.outcome import DETECTIONS, VERDICTS, Outcome

MOST_WAITING = 1024  # files, each with a descriptor
AT_A_TIME = 32
SECONDS = 120.0  # that one may take
# Ends after which somebody may know another time.
FOR_LATER = frozenset({Outcome.NO_SVM, Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.ENGINE_ERROR})


class Reports(Protocol):
    """Who is told. Called on the loop; must not raise."""

    def looked_at(self, held: HeldFile, judged: Judged) -> None:
        """A file was looked at; `held` is open until this returns."""

    def unanswered(self, held: HeldFile, judged: Judged) -> None:
        """Nobody could say what a file is, and somebody may later."""

    def skipped(self, why: str) -> None:
        """A file was opened that nobody will look at before it is opened again."""

    def missed(self, why: str) -> None:
        """Files were written that nobody will look at unless they are looked for."""


class Marks(Protocol):
    """Who keeps the kernel's marks. `protecting.Protection` is it."""

    def pass_over(self, fd: int, file: FileId) -> None:
        """Nobody need be told of opens of a file that is harmless as it is."""

    def changed(self, fd: int) -> None:
        """A file was written: it has to be asked about again."""


@dataclass(slots=True)
class _Waiting:
    """A file that is to be looked at. written: it was closed by somebody who had it open for writing."""

    held: HeldFile
    written: bool


class Afterwards:
    """Serves one event loop."""

    def __init__(self, judge: Judges, reports: Reports, memory: Memory, marks: Marks) -> None:
        """marks: told of each file that was written, before anything else."""
        self.counts = dict.fromkeys(("written", "unchanged", "looked_at", "skipped", "missed"), 0)
        self._judge = judge
        self._reports = reports
        self._memory = memory
        self._marks = marks
        # By device and inode: what is written twice is looked at once.
        self._waiting: dict[tuple[int, int], _Waiting] = {}
        self._slots = AT_A_TIME
        self._tasks: set[asyncio.Task[None]] = set()

    def event(self, event: Event) -> None:
        """Take an event of a file that was written and closed, or opened; its descriptor is closed here."""
        try:
            self.counts["written"] += bool(event.mask & CLOSE_WRITE)
            self._take(event)
        except OSError as error:
            self.overflow(f"a written file could not be held: {error.strerror}")
        finally:
            os.close(event.fd)
        self._start()

    def _take(self, event: Event) -> None:
        """Have a file wait for its turn, unless it is known. Raises OSError."""
        written = bool(event.mask & CLOSE_WRITE)
        if written:
            self._marks.changed(event.fd)
        status = os.fstat(event.fd)
        name = status.st_dev, status.st_ino
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return
        file = FileId.of(status)
        if (waiting := self._waiting.get(name)) is not None:
            waiting.written |= written
        elif not written and self._is_harmless(event.fd, file):
            self.counts["unchanged"] += 1
            self._marks.pass_over(event.fd, file)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting[name] = _Waiting(HeldFile(event.fd), written)
        elif written:
            self.overflow(f"{MOST_WAITING} written files wait to be looked at already")
        else:  # it is looked at when it is opened the next time
            self.counts["skipped"] += 1
            self._reports.skipped(f"{MOST_WAITING} files wait to be looked at already")

    def _is_harmless(self, fd: int, file: FileId) -> bool:
        recalled = self._memory.recall(fd, file)
        judged = recalled.judged if recalled.standing is Standing.IN_FORCE else None
        return judged is not None and judged.answer.outcome not in DETECTIONS

    def overflow(self, why: str) -> None:
        """Note that a file was written that is not looked at."""
        self.counts["missed"] += 1
        self._reports.missed(why)

    def _start(self) -> None:
        while self._waiting and self._slots:
            self._slots -= 1
            waiting = self._waiting.pop(next(iter(self._waiting)))
            held, written = waiting.held, waiting.written
            task = asyncio.get_running_loop().create_task(self._look(held, written))
            self._tasks.add(task)
            task.add_done_callback(partial(self._looked, held))

    async def _look(self, held: HeldFile, written: bool) -> None:
        file = FileId.of(os.fstat(held.fd))
        recalled = self._memory.recall(held.fd, file)
        if not written and recalled.judged is not None and recalled.standing is Standing.IN_FORCE:
            judged = recalled.judged
        else:
            # What was written through a mapping may not show in the file's times: it is read anew.
            judged = await self._judge.judge(held, file, b"" if written else recalled.sha256, SECONDS)
            if recalled.reliable:
                self._memory.keep(held.fd, judged, recalled.sha256)
        self.counts["looked_at"] += 1
        outcome = judged.answer.outcome
        if outcome in FOR_LATER:
            self._reports.unanswered(held, judged)
            return
        keepable = recalled.reliable and judged.still and not self._memory.doubts(judged.sha256)
        if keepable and outcome in VERDICTS - DETECTIONS:
            self._marks.pass_over(held.fd, judged.file)
        self._reports.looked_at(held, judged)

    def _looked(self, held: HeldFile, task: "asyncio.Task[None]") -> None:
        """A look has ended, or was broken off, be it before it began."""
        held.close()
        self._tasks.discard(task)
        self._slots += 1
        self._start()

    async def close(self) -> None:
        """Look at no more."""
        for waiting in self._waiting.values():
            waiting.held.close()
        self._waiting.clear()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
