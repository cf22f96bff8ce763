"""Hands contents to workers, and gives each an end whatever becomes of the worker.

Tenants are served in turn, and the guests of each, by the time that their contents take; contents that
somebody's open waits for go before others. Where several guests are here, none has all the workers, and no
tenant beside another. Small contents share a message to a worker when there are many. A worker that takes
too long on one content, or dies of it, costs that content alone: others that it had waiting go to the next
worker, and where it broke amid a batch, each of the batch is tried alone, so that none is blamed for its
neighbour. A content whose worker died is tried once more; the second death ends it (blame).
Everything runs on the event loop, in callbacks; only `close` waits.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from appliance.config import ScanningSettings
from appliance.domain.content import ContentLabel
from appliance.domain.guest import NOBODY, Owner
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer
from appliance.scanning.blame import BREAKS_BEFORE_HOLD, Blame
from appliance.scanning.company import Company
from appliance.scanning.crew import Crew, Job, Member
from appliance.scanning.fair_queue import FairQueue
from appliance.scanning.result import ScanResult
from appliance.scanning.worker_wire import MAX_JOBS, JobAnswer

QUEUE_SECONDS: Final = 600.0  # as long as the longest budget of a question: nobody waits beyond it
BATCH_BYTES: Final = 256 * 1024  # that share a message to a worker: some milliseconds of scanning
SHORT_SECONDS: Final = 0.05  # that a worker may have been at its oldest batch for another to wait behind it
_LONGEST_TICK_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


class Pool:
    """The queue in front of the workers. Lives on one event loop. It is the CrewPort of its crews.

    company: who else is here, when a worker is to be given work.
    """

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
        self._queue = FairQueue[Job](settings.queue)
        self._open: dict[asyncio.Future[ScanResult], Job] = {}
        self._numbers = count(1)
        self._crew: Crew | None = None
        self._retired: list[Crew] = []
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False
        self.company = Company(clock)

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
    def urgent(self) -> int:
        """Those of them that somebody's open waits for."""
        return self._queue.urgent

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

    def scan(
        self,
        fd: int,
        label: ContentLabel,
        owner: Owner = NOBODY,
        wanted: Callable[[], bool] | None = None,
        urgent: bool = False,
    ) -> asyncio.Future[ScanResult]:
        """What the engines will say of the content in `fd`, which stays the caller's until then.

        owner: whose turn it takes. wanted: asked when its turn has come, None where it always
        is; a content that nobody waits for any more ends as OVERLOADED. urgent: see `hurry`.
        """
        job = Job(next(self._numbers), fd, label, asyncio.get_running_loop().create_future())
        job.owner, job.wanted, job.since, job.urgent = owner, wanted, self._clock(), urgent
        if self._closed:
            _unanswered(job, Unanswered.OVERLOADED, "the SVM stops")
            return job.end
        self._open[job.end] = job
        job.end.add_done_callback(self._open.pop)
        refused = self._queue.put(owner, job, urgent)
        if refused is not None:
            self.counts["scans_refused"] += 1
            reason = f"{self._most_queued} contents wait for a worker already: ask again later"
            _unanswered(refused, Unanswered.OVERLOADED, reason)
        self.room()
        if self._watch is None:
            self._watch_on()
        return job.end

    def hurry(self, end: asyncio.Future[ScanResult]) -> None:
        """Have a content looked at before those that nobody's open waits for: one does for this, by now."""
        job = self._open.get(end)
        if job is not None and not job.urgent:
            job.urgent = True
            self._queue.hurry(job)

    async def close(self) -> None:
        """End all workers, and every open scan as overloaded. Returns when no process is left."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        crews = self._crews()
        jobs = [
            *self._queue.clear(),
            *(job for crew in crews for member in crew.members for job in member.jobs),
        ]
        for job in jobs:
            _unanswered(job, Unanswered.OVERLOADED, "the SVM stops")
        for crew in crews:
            await crew.close()

    # -- what crews say --------------------------------------------------------------------------

    def answered(self, member: Member, answered: Sequence[tuple[Job, JobAnswer]]) -> None:
        """End scans, and give the member its next jobs."""
        now = self._clock()
        self.counts["scans"] += len(answered)
        taken = now - member.since
        self.counts["scan_seconds"] += taken
        member.since = now
        for job, answer in answered:
            self._queue.charge(job.owner, taken / len(answered), job.urgent)
            self.counts["damaged_containers"] += answer.damaged
            if not job.end.done():
                no_answer = None if answer.detections else answer.no_answer
                job.end.set_result(ScanResult(answer.detections, no_answer, job.generation))
        if self._queue:
            self.room()
        if not member.batches:
            member.crew.finished(member)

    def lost(self, member: Member, words: str) -> None:
        """Try again what the member had, but end what broke it a second time."""
        if not member.batches:
            return
        self.counts["worker_crashes"] += 1
        job = _culprit(member)
        self._queue.charge(member.batches[0][0].owner, self._clock() - member.since, urgent=True)
        if job is None:
            _log.warning("a worker died amid several contents, which are tried one by one now: %s", words)
        else:
            _log.warning("a worker died while it looked at %s: %s", job.label.sha256.hex(), words)
            job.crashes += 1
            held = self._blame.add(job.label.key, Unanswered.ENGINE_ERROR)
            if held or job.crashes >= BREAKS_BEFORE_HOLD:
                _unanswered(job, Unanswered.ENGINE_ERROR, f"workers died while they looked at it: {words}")
        self._take_back(member)

    def room(self) -> None:
        """Give queued jobs to members that have room."""
        crew = self._crew
        while self._queue and crew is not None:
            if crew.problem:
                self._end_queued(Unanswered.ENGINE_ERROR, crew.problem)
                return
            member = crew.idlest(self._takes_more)
            if member is None:
                return
            batch = self._next_batch(crew, member)
            if batch is None:
                return
            if batch:
                self._give(member, batch)

    def _next_batch(self, crew: Crew, member: Member) -> list[Job] | None:
        """The next contents for a worker: a large one, or small ones, and their part left for the others.

        None where nobody whose contents wait may have it.
        """
        may = self._who_may(crew, member)
        most = min(MAX_JOBS, -(-len(self._queue) // crew.ready_members))
        batch: list[Job] = []
        size = 0
        while self._queue and len(batch) < most and size < BATCH_BYTES:
            job = self._queue.take(may)
            if job is None:
                return batch or None
            if job.end.done() or self._is_settled(job):
                continue
            if batch and (job.alone or job.label.size > BATCH_BYTES):
                self._queue.put_back(job.owner, job, job.urgent)
                break
            batch.append(job)
            size += job.label.size
            if job.alone:
                break
        return batch

    def _takes_more(self, member: Member) -> bool:
        """Whether a worker is to have more behind what it has: others do not wait behind what may be long."""
        if not member.batches or not self.company.of_guest(member.batches[0][0].owner.guest_id):
            return True
        is_small = member.batches[0][0].label.size <= BATCH_BYTES
        return is_small and self._clock() - member.since < SHORT_SECONDS

    def _who_may(self, crew: Crew, member: Member) -> Callable[[Owner], bool]:
        """Whether an owner may have this worker: one is left for others, where there are others."""
        others = [each for each in crew.members if each is not member and each.listens]
        owners = [{job.owner for job in each.jobs} for each in others]

        def may(owner: Owner) -> bool:
            if not others:
                return True
            has_all = all(any(each.guest_id == owner.guest_id for each in busy) for busy in owners)
            if has_all and self.company.of_guest(owner.guest_id):
                return False
            has_all = all(any(each.scope == owner.scope for each in busy) for busy in owners)
            return not (has_all and self.company.of_tenant(owner.scope))

        return may

    def _is_settled(self, job: Job) -> bool:
        """Whether a job needs no worker: it ends here."""
        held = self._blame.held(job.label.key)
        if held is not None:
            _unanswered(job, held.why, held.reason)
        elif job.wanted is not None and not job.wanted():
            _unanswered(job, Unanswered.OVERLOADED, "nobody waited for it any more when its turn came")
        return job.end.done()

    def _give(self, member: Member, batch: list[Job]) -> None:
        try:
            given = member.give(batch)
        except OSError as error:
            if len(batch) == 1:
                reason = f"the content's descriptor cannot be passed on: {error.strerror}"
                _unanswered(batch[0], Unanswered.ENGINE_ERROR, reason)
            self._put_back(batch, alone=True)
            return
        if not given:
            self._put_back(batch)
            return
        for job in batch:
            if not job.given:
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
            if member.batches and now - member.since > self._timeout
        ]
        for member in overdue:
            self._time_out(member)
        for job in self._queue.take_first(lambda job: now - job.since > QUEUE_SECONDS):
            _unanswered(job, Unanswered.OVERLOADED, "no worker was free in time: ask again later")
        self.room()

    def _time_out(self, member: Member) -> None:
        self.counts["worker_timeouts"] += 1
        job = _culprit(member)
        self._queue.charge(member.batches[0][0].owner, self._clock() - member.since, urgent=True)
        if job is None:
            _log.warning(
                "a worker was ended: several contents took it over %g s, and are tried one by one now",
                self._timeout,
            )
        else:
            _log.warning("a worker was ended: %s took it over %g s", job.label.sha256.hex(), self._timeout)
            self._blame.add(job.label.key, Unanswered.TIMED_OUT)
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

    def _take_back(self, member: Member) -> None:
        """Queue what the member has not done, before all others, in its order."""
        jobs = member.jobs
        member.batches.clear()
        self._put_back(jobs)
        self.room()

    def _put_back(self, jobs: Sequence[Job], alone: bool = False) -> None:
        for job in reversed(jobs):
            if not job.end.done():
                job.alone = job.alone or alone
                self._queue.put_back(job.owner, job, job.urgent)

    def _end_queued(self, why: Unanswered, reason: str) -> None:
        for job in self._queue.clear():
            _unanswered(job, why, reason)


def _culprit(member: Member) -> Job | None:
    """The content that a worker broke on; None where it was one of several: each is to be tried alone."""
    batch = member.batches[0]
    for job in batch:
        job.alone = True
    return batch[0] if len(batch) == 1 else None


def _unanswered(job: Job, why: Unanswered, reason: str) -> None:
    """End a job, unless its caller has gone."""
    if not job.end.done():
        job.end.set_result(ScanResult((), NoAnswer(why, reason), job.generation))
