"""Hands contents to workers, and gives each an end whatever becomes of the worker.

A worker that takes too long on one content, or dies of it, costs that content alone: others that it
had waiting go to the next worker. A content whose worker died is tried once more; the second death
ends it (blame). Everything runs on the event loop, in callbacks; only `scan` and `close` wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final

from appliance.config import ScanningSettings
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer
from appliance.scanning.blame import BREAKS_BEFORE_HOLD, Blame
from appliance.scanning.crew import Crew, Job, Member
from appliance.scanning.result import ScanResult
from appliance.scanning.worker_wire import JobAnswer

QUEUE_SECONDS: Final = 600.0  # as long as the longest budget of a question: nobody waits beyond it
_LONGEST_TICK_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


class Pool:
    """The queue in front of the workers. Lives on one event loop. It is the CrewPort of its crews."""

    def __init__(self, settings: ScanningSettings, clock: Callable[[], float]) -> None:
        """clock: seconds that only go forward."""
        self.counts = {
            "scans": 0,
            "engine_bytes": 0,
            "scan_seconds": 0.0,
            "damaged_containers": 0,
            "worker_crashes": 0,
            "worker_timeouts": 0,
            "scans_refused": 0,
        }
        self._timeout = settings.scan_timeout_seconds
        self._most_queued = settings.queue
        self._clock = clock
        self._blame = Blame(settings.crash_hold_seconds, clock)
        self._queue: deque[Job] = deque()
        self._numbers = count(1)
        self._crew: Crew | None = None
        self._retired: list[Crew] = []
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def crew(self) -> Crew:
        """The crew that is given work."""
        assert self._crew is not None
        return self._crew

    @property
    def queued(self) -> int:
        """Contents that no worker has yet."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Contents that are with a worker."""
        return sum(crew.busy for crew in self._crews())

    @property
    def held(self) -> int:
        """Digests that are remembered for having broken a worker."""
        return len(self._blame)

    def use(self, crew: Crew) -> None:
        """Give work to `crew` from now on; the one before ends as its work does."""
        if self._crew is not None:
            self._crew.retire()
            self._retired = [retired for retired in self._retired if not retired.gone] + [self._crew]
        self._crew = crew
        self.room()

    async def scan(self, fd: int, label: ContentLabel) -> ScanResult:
        """Return what the engines say of the content in `fd`, which stays the caller's."""
        refusal = self._refusal()
        if refusal:
            self.counts["scans_refused"] += 1
            return ScanResult((), NoAnswer(Unanswered.OVERLOADED, refusal), self.crew.generation)
        job = Job(next(self._numbers), fd, label, asyncio.get_running_loop().create_future())
        job.since = self._clock()
        self._queue.append(job)
        self.room()
        if self._watch is None:
            self._watch_on()
        try:
            return await job.end
        except asyncio.CancelledError:
            if job in self._queue:
                self._queue.remove(job)
            raise

    async def close(self) -> None:
        """End all workers, and every open scan as overloaded. Returns when no process is left."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        crews = self._crews()
        jobs = [*self._queue, *(job for crew in crews for member in crew.members for job in member.jobs)]
        self._queue.clear()
        for job in jobs:
            _unanswered(job, Unanswered.OVERLOADED, "the SVM stops")
        for crew in crews:
            await crew.close()

    # -- what crews say --------------------------------------------------------------------------

    def answered(self, member: Member, job: Job, answer: JobAnswer) -> None:
        """End a scan, and give the member its next job."""
        now = self._clock()
        self.counts["scans"] += 1
        self.counts["scan_seconds"] += now - member.since
        self.counts["damaged_containers"] += answer.damaged
        member.since = now
        if not job.end.done():
            no_answer = None if answer.detections else answer.no_answer
            job.end.set_result(ScanResult(answer.detections, no_answer, job.generation))
        if self._queue:
            self.room()
        if not member.jobs:
            member.crew.finished(member)

    def lost(self, member: Member, words: str) -> None:
        """Try again what the member had, but end what broke it a second time."""
        if not member.jobs:
            return
        job = member.jobs.popleft()
        self.counts["worker_crashes"] += 1
        _log.warning("a worker died while it looked at %s: %s", job.label.sha256.hex(), words)
        job.crashes += 1
        held = self._blame.add(job.label.sha256, Unanswered.ENGINE_ERROR)
        if held or job.crashes >= BREAKS_BEFORE_HOLD:
            _unanswered(job, Unanswered.ENGINE_ERROR, f"workers died while they looked at it: {words}")
        else:
            member.jobs.appendleft(job)
        self._take_back(member)

    def room(self) -> None:
        """Give queued jobs to members that have room."""
        crew = self._crew
        while self._queue and crew is not None:
            if crew.problem:
                self._end_queued(Unanswered.ENGINE_ERROR, crew.problem)
                return
            member = crew.idlest()
            if member is None:
                return
            job = self._queue.popleft()
            if not job.end.done():
                self._give(member, job)

    def _give(self, member: Member, job: Job) -> None:
        held = self._blame.held(job.label.sha256)
        if held is not None:
            _unanswered(job, held.why, held.reason)
            return
        try:
            given = member.give(job)
        except OSError as error:
            reason = f"the content's descriptor cannot be passed on: {error.strerror}"
            _unanswered(job, Unanswered.ENGINE_ERROR, reason)
            return
        if not given:
            self._queue.appendleft(job)
        elif not job.given:
            job.given = True
            self.counts["engine_bytes"] += job.label.size

    # -- time ------------------------------------------------------------------------------------

    def _watch_on(self) -> None:
        tick = min(_LONGEST_TICK_SECONDS, self._timeout / 4)
        self._watch = asyncio.get_running_loop().call_later(tick, self._on_tick)

    def _on_tick(self) -> None:
        self._watch = None
        self.end_overdue()
        if self._queue or self.busy:
            self._watch_on()

    def end_overdue(self) -> None:
        """End what has taken too long. Called by itself every second, or oftener, while there is work."""
        now = self._clock()
        overdue = [
            member
            for crew in self._crews()
            for member in crew.members
            if member.jobs and now - member.since > self._timeout
        ]
        for member in overdue:
            self._time_out(member)
        while self._queue and now - self._queue[0].since > QUEUE_SECONDS:
            _unanswered(
                self._queue.popleft(), Unanswered.OVERLOADED, "no worker was free in time: ask again later"
            )
        self.room()

    def _time_out(self, member: Member) -> None:
        job = member.jobs.popleft()
        self.counts["worker_timeouts"] += 1
        _log.warning("a worker was ended: %s took it over %g s", job.label.sha256.hex(), self._timeout)
        self._blame.add(job.label.sha256, Unanswered.TIMED_OUT)
        _unanswered(
            job,
            Unanswered.TIMED_OUT,
            f"the scan took over {self._timeout:g} s (scanning.scan_timeout_seconds)",
        )
        member.crew.dismiss(member)
        self._take_back(member)

    # -- the rest --------------------------------------------------------------------------------

    def _crews(self) -> list[Crew]:
        return self._retired if self._crew is None else [*self._retired, self._crew]

    def _refusal(self) -> str:
        """Why a content is not even queued, "" where it is."""
        if self._closed:
            return "the SVM stops"
        if len(self._queue) >= self._most_queued:
            return f"{self._most_queued} contents wait for a worker already: ask again later"
        return ""

    def _take_back(self, member: Member) -> None:
        """Queue what the member has not done, before all others, in its order."""
        self._queue.extendleft(reversed(member.jobs))
        member.jobs.clear()
        self.room()

    def _end_queued(self, why: Unanswered, reason: str) -> None:
        while self._queue:
            _unanswered(self._queue.popleft(), why, reason)


def _unanswered(job: Job, why: Unanswered, reason: str) -> None:
    """End a job, unless its caller has gone."""
    if not job.end.done():
        job.end.set_result(ScanResult((), NoAnswer(why, reason), job.generation))
