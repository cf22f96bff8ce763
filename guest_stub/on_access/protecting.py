"""`guest-stub run`: the parts of on-access protection, wired together for the life of the daemon."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress

from guest_stub.console import printable
from guest_stub.decision import FileId
from guest_stub.decisions import Decisions
from guest_stub.detected import Detected
from guest_stub.journal import Entry, Journal
from guest_stub.keeping import Keeper
from guest_stub.mounts import file_system_of
from guest_stub.on_access.acting import Acting
from guest_stub.on_access.afterwards import Afterwards
from guest_stub.on_access.answering import path_of
from guest_stub.on_access.apart import apart_from_others
from guest_stub.on_access.catching_up import CatchingUp
from guest_stub.on_access.coverage import Coverage, MountChanges, is_on_top, parse_mounts
from guest_stub.on_access.elsewhere import Elsewhere
from guest_stub.on_access.exclusions import Exclusions
from guest_stub.on_access.fanotify import (
    CLOSE_WRITE,
    OPEN,
    OPEN_EXEC_PERM,
    OPEN_PERM,
    Group,
)
from guest_stub.on_access.gate import Equipment, Gate
from guest_stub.on_access.judging import Judge, Judged
from guest_stub.on_access.memory import Memory
from guest_stub.on_access.passing import Passing
from guest_stub.on_access.policy import Mode
from guest_stub.on_access.reader import Reader
from guest_stub.on_access.recent import Recent
from guest_stub.on_access.replaying import Replaying
from guest_stub.on_access.reporting import Reporter
from guest_stub.on_access.searching import Searching
from guest_stub.on_access.settings import AccessSettings
from guest_stub.on_access.sorting import Sorting
from guest_stub.on_access.telling import Telling
from guest_stub.on_access.turns import THREADS
from guest_stub.on_access.undoing import Undoing
from guest_stub.outbox import Outbox
from guest_stub.pages import trim
from guest_stub.records import identify
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.secret import Secret
from guest_stub.sought import Sought
from guest_stub.standing import StandingLine
from guest_stub.svm_link.values import Purpose, ScanSlot, ScanTask
from guest_stub.version import VERSION
from guest_stub.walk import Places

RETRY_SECONDS = 60.0  # between looks at what is kept for later while an SVM is there
SWITCH_SECONDS = 0.0005  # that one thread may keep the interpreter from the one which answers
log = logging.getLogger("guest-stub")

_ASKED = {
    Mode.BLOCK_OPEN: OPEN_PERM | OPEN_EXEC_PERM,
    Mode.BLOCK_EXEC: OPEN_EXEC_PERM,
    Mode.NOTIFY: 0,
}


class Protection:
    """Serves one event loop; a LinkListener."""

    def __init__(
        self,
        settings: AccessSettings,
        line: StandingLine,
        store: tuple[Decisions, Journal, Quarantine],
        outbox: Outbox,
    ) -> None:
        """Nothing is watched yet; store and outbox stay the caller's. Raises FanotifyUnavailable."""
        decisions, journal, quarantine = store
        self._decisions = decisions
        self._bad = Detected(journal.directory)
        self._amiss = (decisions.notice, journal.problem, self._bad.problem, apart_from_others(settings))
        self._settings = settings
        self._policy = settings.policy
        self._line = line
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[str] = self._loop.create_future()
        self._asking = Group(asks=True)
        self._telling = Group(asks=False)
        self._hashing = ThreadPoolExecutor(THREADS, "hash")
        self._kinds: dict[int, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._grace: asyncio.TimerHandle | None = None  # until the first grace that has not ended
        self._grace_ends = 0.0  # the last one
        self._forgetting: set[bytes] = set()  # revoked, and on record until the keeper has caught up
        self._forgets = False
        self._ended = False
        self.exclusions = Exclusions(
            settings.exclude, settings.exclude_programs, secret=Secret(journal.directory)
        )
        self.keeper = Keeper(decisions)
        self.passing = Passing(self._asking)
        self._untold = Passing(self._telling, OPEN)
        self.memory = Memory(
            (decisions, self.keeper), lambda: line.generation, self._reliable, self._policy.stale_grace
        )
        self._recent = Recent(lambda: line.generation, self.memory.doubts)
        judge = Judge(line, self._hashing, Purpose.ON_ACCESS, self._recent, self._bad)
        self.reporter = Reporter()
        self.replaying = Replaying(journal, judge, self.reporter, self.memory)
        self.telling = Telling(outbox, line)
        places = Places(self.roots, settings.exclude)
        self.catching_up = CatchingUp(places, journal, self.replaying.begin)
        self.acting = Acting(self._policy.action, quarantine, self.reporter)
        again = Judge(line, self._hashing, Purpose.ON_DEMAND)
        self.undoing = Undoing(quarantine, self.acting.executor, again, self.reporter)
        self.searching = Searching(Sought(journal.directory), again, self._policy, places, self.reporter)
        self._mounts: MountChanges | None = None
        self._have_told(journal)
        self.gate = Gate(
            Equipment(self._asking, self.passing, self.memory, judge, self.reporter), self._policy
        )
        self.gate.is_ours = self.exclusions.is_ours
        self.afterwards = Afterwards(judge, self.reporter, self.memory, self)
        self._sorting = Sorting(self.exclusions, self._asking, self.gate, self.afterwards)
        self.coverage = Coverage(self._watch, settings.watches, is_on_top)
        self._reader = self._new_reader()

    def _new_reader(self) -> Reader:
        """Return what reads both groups, in a thread of its own."""
        return Reader(
            {self._asking.fileno(): self._asking, self._telling.fileno(): self._telling},
            lambda events: self._from_thread(self._sorting.take, events),
            lambda why: self._from_thread(self._sorting.unopened, why),
            lambda why: self._from_thread(self._fail, why),
        )

    def _have_told(self, journal: Journal) -> None:
        """Have each part be told what the reporter hears of."""
        self._elsewhere = Elsewhere(journal, self.replaying, self.reporter.left)
        self.reporter.let_through = self.replaying.note
        self.reporter.unknown = self.replaying.note_written
        self.reporter.on_missed = self.catching_up.missed
        self.reporter.on_detection = self._detected
        self.reporter.tell = self.telling.tell
        self.reporter.take = self.replaying.take
        self.replaying.room = self.acting.room
        self.replaying.on_missed = self.catching_up.missed
        self.acting.later = self._act_later
        self.replaying.left_alone = self.exclusions.left_alone
        self.replaying.places = Places(self.roots, self._settings.exclude)
        self.keeper.tell = self.searching.note

    async def run(self, stack: AsyncExitStack, ready: Callable[[], None]) -> str:
        """Protect until cancelled, or until that is not possible any more: then return why."""
        sys.setswitchinterval(SWITCH_SECONDS)
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # by which the kernel asks for a lease back
        stack.callback(self._hashing.shutdown, wait=False, cancel_futures=True)
        stack.push_async_callback(self._end_telling)  # when nothing more is done, and nobody waits
        stack.callback(self.reporter.close)
        stack.callback(self._bad.close)
        stack.push_async_callback(self.keeper.close)
        stack.push_async_callback(self._end_tasks)
        stack.push_async_callback(self.acting.close)
        stack.push_async_callback(self.undoing.close)
        stack.callback(self._telling.close)
        stack.callback(self._asking.close)
        stack.push_async_callback(self.afterwards.close)
        stack.push_async_callback(self.gate.close)
        self.acting.prepare()
        self._reader.start()
        stack.callback(self._reader.stop)
        self._mounts = mounts = MountChanges()
        stack.callback(mounts.close)
        self._line.on_link.append(self._linked)
        stack.push_async_callback(self.replaying.close)
        stack.push_async_callback(self.catching_up.close)
        stack.push_async_callback(self.searching.close)
        self._loop.add_reader(mounts.fileno(), lambda: self._look(mounts))
        stack.callback(self._loop.remove_reader, mounts.fileno())
        self._look(mounts)
        self._say_unwatched()
        self.acting.begin()
        self._have_done(self._retry())
        amiss = [each for each in self._amiss if each]
        for sentence in amiss:
            log.warning("%s", printable(sentence))
        how = f"version {VERSION}: {self._policy.mode}, action {self._policy.action}"
        self.telling.begin("; ".join((how, *amiss)))
        trim()
        ready()
        return await self.failed

    def _have_done(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_tasks(self) -> None:
        self._ended = True
        if self._grace is not None:
            self._grace.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end_telling(self) -> None:
        told_to_stop = self.failed.cancelled() or not self.failed.done()
        await self.telling.close("told to stop" if told_to_stop else self.failed.result())

    async def _retry(self) -> None:
        """Look now and then at what nobody could say while an SVM was there, but had no room, say.

        And give back the memory that was freed meanwhile.
        """
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            self._decisions.rest()
            trim()
            if self._line.current is not None:
                self.replaying.begin()
                self.searching.begin()

    def roots(self) -> list[str]:
        """Mount points of what is watched."""
        return [mount.point for mount in self.coverage.watched.values()]

    def figures(self) -> dict[str, int]:
        """What was done so far."""
        return {
            **self.gate.counts,
            "passed_over": self.passing.passed + self._untold.passed,
            **self.afterwards.counts,
            **self.replaying.figures,
            "walks": self.catching_up.walks,
            **self.searching.counts,
            **self._elsewhere.counts,
            **self.acting.counts,
            **self.undoing.counts,
            "unread": self._sorting.unread,
            **self.telling.figures,
        }

    def _linked(self) -> None:
        log.info("the SVM answers")
        self.telling.linked()
        self._recent.clear()
        self.replaying.begin()
        self.searching.begin()
        if self._undoes:
            self.undoing.linked()

    @property
    def _undoes(self) -> bool:
        return self._settings.restore_on_clean and self.acting.prepared

    def generation_changed(self, _generation: int) -> None:
        """See LinkListener: what earlier signatures let through is asked about again after the grace."""
        if self.memory.heard():
            self._grace_ends = self._loop.time() + self._policy.stale_grace
            if self._grace is None:
                self._grace = self._loop.call_at(self._grace_ends, self._end_grace, self._grace_ends)

    def _end_grace(self, due: float) -> None:
        """One timer serves for all generations: the first grace and the last one end when they are due."""
        self._watch_all_again()
        later = self._grace_ends > due
        self._grace = (
            self._loop.call_at(self._grace_ends, self._end_grace, self._grace_ends) if later else None
        )

    def revoked(self, digests: list[bytes]) -> None:
        """See LinkListener: these are asked about again, from now on, and what was done is undone."""
        if self._ended:  # nothing is watched any more, and the SVM says it again to the next run
            return
        self.memory.doubt(digests)
        self._recent.forget(digests)
        self._bad.forget(digests)
        self._watch_all_again()
        self._forgetting.update(digests)
        if not self._forgets:
            self._forgets = True
            self._have_done(self._forgotten())
        if self._undoes:
            self.undoing.revoked(digests)

    async def _forgotten(self) -> None:
        """Trust what comes on these contents when the store has forgotten what it knew; look for files.

        One task, however often something is revoked.
        """
        try:
            while self._forgetting:
                digests, self._forgetting = self._forgetting, set()
                await self.keeper.caught_up()
                self.memory.trust(digests - self._forgetting)
                self.searching.begin()
        finally:
            self._forgets = False

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """See LinkListener."""
        self.telling.kept(journal, up_to)

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """See LinkListener: ordered.Orders is told."""

    def lost(self, why: str) -> None:
        """See LinkListener."""
        self.telling.lost()
        if self._line.current is None or self._line.current.lost.is_set():
            log.warning("the SVM is gone: %s", printable(why))

    def pass_over(self, fd: int, file: FileId) -> None:
        """See afterwards.Marks."""
        if self._tells_opens:
            self._untold.pass_over(fd, file)

    def changed(self, fd: int) -> None:
        """See afterwards.Marks."""
        self.passing.watch_again(fd)
        self._untold.watch_again(fd)

    def _watch_all_again(self) -> None:
        if self._asking.fileno() < 0:  # closed: the line to the SVM is open for a moment longer
            return
        self.passing.watch_all_again()
        self._untold.watch_all_again()

    def _detected(self, fd: int, judged: Judged) -> None:
        if not self._policy.acts_on(judged.answer.outcome) or not self.acting.acts:
            return
        if self.exclusions.leaves_alone():
            if self._mounts is not None and self._mounts.changed():
                self._look(self._mounts)  # else a mount that is gone lends its number to another
            if not self.exclusions.is_ours(fd):
                self._elsewhere.detected(fd, judged)
                return
        self.acting.act(fd, judged)

    def _act_later(self, fd: int, judged: Judged) -> bool:
        """See Acting."""
        key = identify(judged.file)[0] if self._reliable(fd, judged.file.dev) else b""
        entry = Entry(path_of(fd), time.time(), "detection", key)
        return self.replaying.take(entry, hash((judged.file, "detection")))

    @property
    def _tells_opens(self) -> bool:
        """Whether opens that nobody waits for are looked at afterwards."""
        return not _ASKED[self._policy.mode] & OPEN_PERM

    def _watch(self, point: str) -> None:
        """Have a file system watched."""
        asked = _ASKED[self._policy.mode]
        if asked:
            self._asking.watch_file_system(point, asked)
        self._telling.watch_file_system(point, CLOSE_WRITE | OPEN if self._tells_opens else CLOSE_WRITE)

    def _look(self, mounts: MountChanges) -> None:
        """Watch what there is now."""
        table = mounts.read()
        self._kinds.clear()  # before anything new is watched: a number may be another file system's by now
        self.exclusions.mounts_are(parse_mounts(table))
        before = self.coverage.failed
        for mount in self.coverage.look(table):
            log.info("watching %s (%s)", printable(mount.point), mount.kind)
        for point, why in self.coverage.failed.items():
            if before.get(point) != why:
                log.error("%s is not watched: %s", printable(point), why)

    def _say_unwatched(self) -> None:
        """Nobody is to believe that he is protected where he is not."""
        points = {*self.roots(), *self.coverage.failed}
        for point in self._settings.watch:
            if point not in points:
                log.warning("nothing is mounted at %s: it is watched when something is", printable(point))
        if not self._settings.watch and not points:
            log.error("nothing is watched: see guest-stub doctor")

    def _from_thread(self, call: Callable[..., None], *arguments: object) -> None:
        # Where the loop is closed, so are, in a moment, the groups, and the kernel allows.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _fail(self, why: str) -> None:
        if not self.failed.done():
            self.failed.set_result(why)

    def _reliable(self, fd: int, device: int) -> bool:
        known = self._kinds.get(device)
        if known is None:
            known = self._kinds[device] = file_system_of(fd).reliable
        return known
