"""The worker processes that share one bundle of signatures: started, kept up, and dismissed.

A crew is made of members; one that dies is replaced, at once where it had been ready, else after a
pause that grows. The pool gives them work; it hears of answers and losses through CrewPort.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.domain.content import ContentLabel
from appliance.domain.guest import NOBODY
from appliance.scanning.result import ScanResult
from appliance.scanning.worker_process import Launch, WorkerProcess, all_ended
from appliance.scanning.worker_wire import (
    JobAnswer,
    Misbehaved,
    Started,
    decode_answers,
    decode_first,
    encode_jobs,
)

BATCHES_IN_FLIGHT: Final = 2  # of one worker: one under scan, one waiting in its socket to hide the latency
START_SECONDS: Final = 120.0  # to load the signatures, on a busy machine
_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 30.0
_FAILURES_BEFORE_PROBLEM: Final = 3
_END_SECONDS: Final = 10.0
_log = logging.getLogger(__name__)


class CrewFailed(Exception):
    """A crew could not be started. The message says what its worker said."""


class Job:
    """One content on its way.

    number: unique in the pool. end: its result. owner: whose turn it takes. wanted: asked before a worker
    gets it. alone: not to share a message, since a worker broke on one that it was in. crashes: workers that
    died of it. given: a worker has had it. generation: of the engines that it was given to. since: on the
    pool's clock, when it was queued. urgent: somebody's open waits for it.
    """

    __slots__ = (
        "alone",
        "crashes",
        "end",
        "fd",
        "generation",
        "given",
        "label",
        "number",
        "owner",
        "since",
        "urgent",
        "wanted",
    )

    def __init__(self, number: int, fd: int, label: ContentLabel, end: asyncio.Future[ScanResult]) -> None:
        self.number = number
        self.fd = fd
        self.label = label
        self.end = end
        self.owner = NOBODY
        self.wanted: Callable[[], bool] | None = None
        self.alone = False
        self.crashes = 0
        self.given = False
        self.generation = 0
        self.since = 0.0
        self.urgent = False


class CrewPort(Protocol):
    """Who gives work to a crew."""

    def answered(self, member: "Member", answered: Sequence[tuple[Job, JobAnswer]]) -> None:
        """The member's oldest jobs are done, and are the member's no more."""

    def lost(self, member: "Member", words: str) -> None:
        """The member has ended by itself, its jobs undone."""

    def room(self) -> None:
        """There may be a member with nothing to do."""


@dataclass(frozen=True, slots=True)
class CrewPlan:
    """How a crew is to be. clock: seconds that only go forward."""

    launch: Launch
    count: int
    clock: Callable[[], float]


class Member:
    """A worker process and its jobs, in the batches that they were given in, the oldest first.

    since: when it was given work or last answered. ready: it has loaded its engines. proven: it has
    answered a job.
    """

    def __init__(self, crew: "Crew") -> None:
        """Start the process. Raises OSError."""
        self.crew = crew
        self.ready = False
        self.proven = False
        self._deaf = False  # it has hung up, which the loop tells when its last answers are read
        self.batches: deque[deque[Job]] = deque()  # none is empty
        self.since = 0.0
        self._start_timer = asyncio.get_running_loop().call_later(START_SECONDS, self._on_slow_start)
        try:
            self.process = WorkerProcess(crew.plan.launch, self._on_message, self._on_lost)
        except OSError:
            self._start_timer.cancel()
            raise

    @property
    def listens(self) -> bool:
        """Whether it can be given jobs."""
        return self.ready and not self._deaf

    @property
    def jobs(self) -> list[Job]:
        """What it has not answered yet, the oldest first."""
        return [job for batch in self.batches for job in batch]

    def give(self, batch: Sequence[Job]) -> bool:
        """Hand jobs to the process, MAX_JOBS at most. False: it is gone.

        Raises OSError where a descriptor cannot be passed.
        """
        message = encode_jobs((job.number, job.label) for job in batch)
        if not self.process.send(message, *(job.fd for job in batch)):
            self._deaf = True
            return False
        if not self.batches:
            self.since = self.crew.plan.clock()
        for job in batch:
            job.generation = self.crew.generation
        self.batches.append(deque(batch))
        return True

    def end(self) -> None:
        """Kill the process."""
        self.ready = False
        self._start_timer.cancel()
        self.process.kill()

    def _on_message(self, message: memoryview) -> None:
        if not self.ready:
            self._on_first(message)
            return
        answered: list[tuple[Job, JobAnswer]] = []
        try:
            for answer in decode_answers(message):
                job = self._next(answer.number)
                answered.append((job, answer))
        finally:  # what stands before nonsense counts
            if answered:
                self.proven = True
                self.crew.port.answered(self, answered)

    def _next(self, number: int) -> Job:
        """Take out the oldest job, which `number` has to be."""
        if not self.batches or self.batches[0][0].number != number:
            raise Misbehaved(f"answered job {number}, which is not its turn")
        job = self.batches[0].popleft()
        if not self.batches[0]:
            self.batches.popleft()
        return job

    def _on_first(self, message: memoryview) -> None:
        first = decode_first(message)
        if not isinstance(first, Started):
            raise Misbehaved(first.why)  # ends the process, with these as its last words
        self._start_timer.cancel()
        self.ready = True
        self.crew.on_ready(first)

    def _on_lost(self, words: str) -> None:
        self._start_timer.cancel()
        self.crew.on_lost(self, words)

    def _on_slow_start(self) -> None:
        self.process.kill()
        self.crew.on_lost(self, f"it was not ready within {START_SECONDS:g} s")


class Crew:
    """All workers of one bundle. generation: that of its engines; the scanner sets it before use."""

    def __init__(self, plan: CrewPlan, port: CrewPort) -> None:
        """Start nothing yet; see `start`. The descriptor in `plan.launch` is the crew's to close."""
        self.plan = plan
        self.port = port
        self.generation = 0
        self.members: list[Member] = []
        self.filtered = True
        self._failures = 0  # starts in a row that failed
        self._last_words = ""
        self._up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._retired = False
        self._bundle = plan.launch.bundle  # -1 when closed
        self._timers: set[asyncio.TimerHandle] = set()
        self._processes: list[WorkerProcess] = []

    @property
    def problem(self) -> str:
        """Why nothing can be scanned: a sentence; "" when something can, or may soon."""
        if self._failures < _FAILURES_BEFORE_PROBLEM or any(member.ready for member in self.members):
            return ""
        return f"no worker can be started: {self._last_words}"

    @property
    def gone(self) -> bool:
        """Whether it was retired, and nothing of it is left."""
        return self._retired and all(process.ended.done() for process in self._processes)

    @property
    def busy(self) -> int:
        """How many jobs are with members."""
        return sum(len(batch) for member in self.members for batch in member.batches)

    @property
    def ready_members(self) -> int:
        """How many members can be given work."""
        return sum(member.ready for member in self.members)

    async def start(self) -> None:
        """Return when every member is ready. Raises CrewFailed, and then none is left."""
        for _ in range(self.plan.count):
            self._add_member()
        try:
            await self._up
        except BaseException:
            await self.close()
            raise

    def idlest(self, may: Callable[[Member], bool] = lambda _member: True) -> Member | None:
        """The member with the fewest batches of those that may have more, None where all have enough."""
        best, fewest = None, BATCHES_IN_FLIGHT
        for member in self.members:
            if member.listens and len(member.batches) < fewest and may(member):
                best, fewest = member, len(member.batches)
        return best

    def dismiss(self, member: Member) -> None:
        """End a member; unless the crew is retired, another takes its place."""
        self.members.remove(member)
        member.end()
        self._fill_place()

    def retire(self) -> None:
        """Take no more work: members end as they finish what they have, the idle ones at once."""
        self._retired = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for member in list(self.members):
            if not member.batches:
                self.dismiss(member)
        self._let_bundle_go()

    def finished(self, member: Member) -> None:
        """A member has nothing to do: one of a retired crew ends."""
        if self._retired:
            self.dismiss(member)

    async def close(self) -> None:
        """End all members now and return when they are gone."""
        self.retire()
        for member in list(self.members):
            self.dismiss(member)
        await all_ended(self._processes, _END_SECONDS)

    def on_ready(self, first: Started) -> None:
        """A member can be given work."""
        self._failures = 0
        self.filtered = first.filtered
        if not self._up.done() and self.ready_members == self.plan.count:
            self._up.set_result(None)
        self.port.room()

    def on_lost(self, member: Member, words: str) -> None:
        """A member has ended by itself."""
        useful = member.ready and (member.proven or bool(member.batches))
        member.ready = False
        self.members.remove(member)
        if useful:
            self._fill_place()
            self.port.lost(member, words)
        else:
            self._on_failed_start(words)

    def _fill_place(self) -> None:
        """After a member has left: start another, or let go of the bundle that no other will need."""
        if self._retired:
            self._let_bundle_go()
        else:
            self._add_member()

    def _let_bundle_go(self) -> None:
        if not self.members and self._bundle >= 0:
            os.close(self._bundle)
            self._bundle = -1

    def _add_member(self) -> None:
        self._processes = [process for process in self._processes if not process.ended.done()]
        try:
            member = Member(self)
        except OSError as error:
            self._on_failed_start(f"the machine starts no process: {error.strerror}")
            return
        self.members.append(member)
        self._processes.append(member.process)

    def _on_failed_start(self, words: str) -> None:
        self._failures += 1
        self._last_words = words
        if not self._up.done():
            self._up.set_exception(CrewFailed(words))
        if self._retired:
            self._let_bundle_go()
            return
        pause = min(_LONGEST_PAUSE_SECONDS, _PAUSE_SECONDS * 2 ** min(self._failures - 1, 10))
        _log.warning("a worker failed to start; the next try is in %.2f s: %s", pause, words)
        self._later(pause, self._add_member)
        self.port.room()  # who waits may be told that nobody comes

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            what()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
