"""The gate: every event in, one answer out. Known files are answered at once, others once for all who wait.

The files of a flight are one file, as long as nobody changes it: its key and stamp, where those stand for
its content. A decision is kept, and the kernel told to ask no more, before the processes go on.
"""

import asyncio
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from guest_stub.decision import FileId
from guest_stub.on_access.answering import Answers, Waiting, respond
from guest_stub.on_access.fanotify import Event
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.memory import Memory, Recalled, Standing
from guest_stub.on_access.passing import Passing
from guest_stub.on_access.policy import AccessPolicy, FailMode, Reply
from guest_stub.outcome import Outcome
from guest_stub.records import identify
from guest_stub.svm_link.values import LinkAnswer

FLIGHT_SECONDS = 60.0  # that a file is looked at, whoever still waits: what is learnt is kept
MOST_WAITING = 4096  # processes; one more gets the fail mode's answer at once
MOST_LOOKS = 256  # files at a time, beyond which none is looked at anew for whom nobody waits


class Judges(Protocol):
    """Who finds out what a file is. `judging.Judge` is it."""

    async def judge(self, held: HeldFile, file: FileId, sha256: bytes, seconds: float) -> Judged:
        """Return what a file is, within `seconds`; raises nothing but cancellation."""


class Reports(Protocol):
    """Who is told what came of an event that is worth a word. Called on the loop; must not raise."""

    def blocked(self, waiting: Waiting, judged: Judged) -> None:
        """A process was kept from a file."""

    def reported(self, waiting: Waiting, judged: Judged) -> None:
        """A process was let at a file that was detected, since the policy says no more than to report it."""

    def fell_back(self, waiting: Waiting, mode: FailMode, why: str) -> None:
        """A process got the fail mode's answer."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the gate works with."""

    kernel: Answers
    passing: Passing
    memory: Memory
    judge: Judges
    reports: Reports


@dataclass(eq=False, slots=True)
class _Flight:
    """A file that is being looked at, and the processes that wait for it."""

    name: object
    held: HeldFile
    file: FileId
    recalled: Recalled
    waiting: list[Waiting] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None


class _Known(NamedTuple):
    """What is known of a file that somebody waits for. on_record: of the file. held: knows of its content."""

    on_record: Judged | None = None
    held: HeldFile | None = None

    @property
    def judged(self) -> Judged | None:
        """What it was as far as one knows."""
        of_content = None if self.held is None else self.held.known
        return of_content or self.on_record


class Gate:
    """Serves one event loop."""

    def __init__(self, equipment: Equipment, policy: AccessPolicy) -> None:
        """Nobody waits yet. is_ours: whether a file was opened where its path says something to everybody."""
        self.is_ours: Callable[[int], bool] = lambda _fd: True
        self.policy = policy
        self.counts = dict.fromkeys(("asked", "known", "judged", "blocked", "fell_back", "turned_away"), 0)
        self._use = equipment
        self._flights: dict[object, _Flight] = {}
        self._waiting: dict[Waiting, _Known] = {}

    def event(self, event: Event) -> None:
        """Take an event that waits for an answer; whatever goes wrong, it gets one."""
        self.counts["asked"] += 1
        try:
            status = os.fstat(event.fd)
        except OSError:
            respond(self._use.kernel, event, True)
            return
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            respond(self._use.kernel, event, True)  # nothing is in it; who fills it is looked at again
            return
        waiting = Waiting(event, self._use.kernel, self.policy, self._out_of_time)
        try:
            self._sort_out(waiting, FileId.of(status))
        except OSError as error:
            self._fall_back(waiting, f"the file could not be held: {error.strerror or error}")
        except Exception as error:
            _tell(error)
            self._fall_back(waiting, "the stub failed")

    def _sort_out(self, waiting: Waiting, file: FileId) -> None:
        """Answer by what is known, or have the file looked at. Raises OSError where it cannot be held."""
        recalled = self._use.memory.recall(waiting.event.fd, file)
        name: object = identify(file) if recalled.reliable else object()
        if recalled.judged is not None and recalled.standing is not Standing.PAST:
            self.counts["known"] += 1
            if recalled.standing is Standing.STALE:
                self._look_anew(name, waiting.event.fd, file, recalled)
            self._settle(waiting, recalled.judged, mark=recalled.standing is Standing.IN_FORCE)
            return
        crowded = len(self._waiting) >= MOST_WAITING
        self._waiting[waiting] = _Known(recalled.judged)
        if crowded:
            self.counts["turned_away"] += 1
            self._fall_back(waiting, f"{MOST_WAITING} processes wait for a verdict already")
            return
        flight = self._flights.get(name) or self._begin(name, waiting.event.fd, file, recalled)
        flight.waiting.append(waiting)
        self._waiting[waiting] = _Known(recalled.judged, flight.held)

    def _look_anew(self, name: object, fd: int, file: FileId, recalled: Recalled) -> None:
        """Have a file looked at that nobody waits for, if there is room and anybody to ask."""
        if name not in self._flights and len(self._flights) < MOST_LOOKS and not self._use.memory.unheard:
            with suppress(OSError):
                self._begin(name, fd, file, recalled)

    def _begin(self, name: object, fd: int, file: FileId, recalled: Recalled) -> _Flight:
        """Have a file looked at. Raises OSError."""
        flight = _Flight(name, HeldFile(fd), file, recalled)
        self._flights[name] = flight
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight))
        flight.task.add_done_callback(lambda _: flight.held.close())  # also where it never began
        return flight

    async def _fly(self, flight: _Flight) -> None:
        """Find out what a file is, and answer all who wait for it."""
        judged = Judged(LinkAnswer(Outcome.ENGINE_ERROR, reason="the stub failed"), b"", flight.file)
        known, memory = flight.recalled, self._use.memory
        try:
            judged = await self._use.judge.judge(flight.held, flight.file, known.sha256, FLIGHT_SECONDS)
            self.counts["judged"] += 1
            if known.reliable:
                memory.keep(flight.held.fd, judged, known.sha256)
        finally:
            del self._flights[flight.name]
            flight.held.close()
            mark = known.reliable and judged.still and not memory.doubts(judged.sha256)
            for waiting in flight.waiting:
                try:
                    self._settle(waiting, judged, mark)
                except Exception as error:  # of one, who is answered; the others are to be answered too
                    _tell(error)

    def _settle(self, waiting: Waiting, judged: Judged, mark: bool) -> None:
        """Answer a process by what its file is. mark: the kernel need not ask again about one allowed."""
        if waiting.answered:
            return
        reply = self.policy.reply(judged.answer.outcome)
        if reply is Reply.FALL_BACK:
            outcome = judged.answer.outcome
            self._fall_back(waiting, judged.answer.reason or outcome.name, outcome)
            return
        self._waiting.pop(waiting, None)
        try:
            if reply is Reply.DENY:
                self.counts["blocked"] += 1
                self._use.reports.blocked(waiting, judged)
            elif self.policy.acts_on(judged.answer.outcome):
                self._use.reports.reported(waiting, judged)
            elif mark:
                self._use.passing.pass_over(waiting.event.fd, judged.file)
        finally:
            waiting.answer(reply is Reply.ALLOW)

    def _out_of_time(self, waiting: Waiting) -> None:
        self._fall_back(waiting, "no verdict in time")

    def _fall_back(self, waiting: Waiting, why: str, outcome: Outcome = Outcome.TIMED_OUT) -> None:
        """Answer by the fail mode, which is never kept; but what is known to be bad stays denied."""
        known = self._waiting.pop(waiting, _Known()).judged
        if waiting.answered:
            return
        if known is not None and self.policy.reply(known.answer.outcome) is Reply.DENY:
            self._settle(waiting, known, mark=False)
            return
        path = waiting.path() if self.is_ours(waiting.event.fd) else ""
        mode = self.policy.fallback(waiting.operation, path, outcome)
        self.counts["fell_back"] += 1
        try:
            self._use.reports.fell_back(waiting, mode, why)
        finally:
            waiting.answer(mode is FailMode.ALLOW)

    async def close(self) -> None:
        """Answer all who wait by the fail mode, and end what is under way."""
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        for waiting in list(self._waiting):
            self._fall_back(waiting, "the stub ends")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flights.clear()


def _tell(error: Exception) -> None:
    """A fault of the stub's own: said, as those of tasks are, and survived."""
    context = {"message": "an event could not be taken as it should", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
