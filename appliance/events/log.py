"""The events of an SVM: whoever notes one does not wait, a writer commits what has gathered.

What the SVM notes itself goes into a queue with a limit; over it, events are counted and that is said by an
event of its own. What guests say is never dropped for want of room here: their batches wait for their turn,
and the guests keep them until they hear that they are on the disk.

What one guest may fill is bounded in three ways that take nothing from each other: by what it says, by coming
and going, and by what is found in it. So no guest can hide a detection behind other events.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from appliance.domain.event import Event, EventKind
from appliance.domain.guest import user_of
from appliance.events.budget import Budgets, BudgetTerms
from appliance.state.environment import StateError
from appliance.state.events import Entry, EventStore, sizes

MAX_WAITING = 8192  # events of the SVM's own
MAX_BATCHES = 32  # of guests, that are in the queue at once
MOST_AT_ONCE = 1024  # events of one commit
_AGAIN_SECONDS = 1.0

Read = TypeVar("Read")

_COMINGS = BudgetTerms("its coming and going", 2 << 20, 600)
_FOUND = BudgetTerms("what is found in it", 16 << 20, 600)


@dataclass(frozen=True, slots=True)
class LogTerms:
    """commit_seconds: how long an event may wait for others to share its commit.

    said, comings, found: what one guest may fill by its word, by coming and going, by what is found in it.
    """

    commit_seconds: float = 0.1
    said: BudgetTerms = field(default_factory=BudgetTerms)
    comings: BudgetTerms = _COMINGS
    found: BudgetTerms = _FOUND


@dataclass(slots=True, eq=False)
class _Batch:
    entries: list[Entry]
    kept: asyncio.Future[None] | None = None

    def is_left(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.kept is not None and self.kept.done()


class EventLog:
    """Lives on one event loop; `run` is to run there.

    on_kept: called with each event that was kept, with its number. problem: why events cannot be
    written now, "" while they can.
    """

    def __init__(
        self,
        store: EventStore,
        terms: LogTerms,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """clock: seconds since the epoch. monotonic: seconds that never go back."""
        self.problem = ""
        self.on_kept: list[Callable[[int, Event], None]] = []
        self.counts: Counter[str] = Counter()
        self.lost = 0
        self.refused = 0
        self._store = store
        self._terms = terms
        self._clock = clock
        self._said = Budgets(terms.said, monotonic)
        comings = Budgets(terms.comings, monotonic)
        self._budgets = {  # other events of the SVM's own are an administrator's doing, or none of a guest's
            EventKind.ATTACH: comings,
            EventKind.DETACH: comings,
            EventKind.DETECTION: Budgets(terms.found, monotonic),
        }
        self._batches: deque[_Batch] = deque()
        self._own = 0  # events in the queue that the SVM has noted
        self._untold = 0  # events that were lost since it was said last
        self._turns = asyncio.Semaphore(MAX_BATCHES)
        self._filled = asyncio.Event()
        self._grown = asyncio.Event()
        self._reader = ThreadPoolExecutor(1, "events")

    @property
    def store(self) -> EventStore:
        """Where they are kept."""
        return self._store

    def now(self) -> float:
        """The time of an event that is noted now."""
        return self._clock()

    def note(self, event: Event) -> bool:
        """Keep an event of the SVM's own; whether there is room for it. Never waits, never raises."""
        budgets = self._budgets.get(event.kind)
        if budgets is not None:
            why, first = budgets.refusal(user_of(event.guest), sizes([event]))
            if why:
                self._refuse(event, 1, why, first)
                return False
        return self._put(event)

    async def keep(self, guest_id: str, journal: bytes, events: Sequence[Event]) -> None:
        """Keep what a guest says happened; returns when it is on the disk, or is more than it may have.

        journal: of which `said.number` of each is. What was kept before is not kept again.
        """
        owner = user_of(guest_id)
        await self._keep([Entry(event, owner, journal) for event in events])

    async def keep_own(self, event: Event) -> None:
        """Keep an event of the SVM's own, as an administrator tells it; returns when it is on the disk."""
        await self._keep([Entry(event)])

    async def _keep(self, entries: list[Entry]) -> None:
        async with self._turns:
            kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            batch = _Batch(entries, kept)
            self._batches.append(batch)
            self._filled.set()
            try:
                await kept
            except asyncio.CancelledError:  # who told it went: it must not stay beyond its turn
                with suppress(ValueError):  # it is being committed
                    self._batches.remove(batch)
                raise

    async def run(self) -> None:
        """Commit what comes, until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._terms.commit_seconds)
            self._filled.clear()
            while self._batches:
                if not await self._commit():
                    await asyncio.sleep(_AGAIN_SECONDS)

    async def grown(self, after: int) -> None:
        """Return when there are events of numbers above `after`."""
        while self._store.last <= after:
            await self._grown.wait()

    async def read(self, work: Callable[[], Read]) -> Read:
        """Have something read of the store, a little: one after another, in a thread of its own.

        However many read and go away again, those who write have threads. What has not begun is not done.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    async def close(self) -> None:
        """Commit what waits, if that can be, and close the file. `run` has ended."""
        while self._batches and await self._commit():
            pass
        await asyncio.to_thread(self._reader.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._store.close)

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status."""
        try:
            stored, used = self._store.count(), self._store.used_bytes()
        except StateError:
            stored = used = 0
        return {
            **{f"events_{kind.replace('-', '_')}": float(self.counts[kind]) for kind in EventKind},
            "events_detection_said": self.counts["detection-said"],
            "events_stored": stored,
            "events_stored_bytes": used,
            "events_waiting": sum(len(batch.entries) for batch in self._batches),
            "events_lost": self.lost,
            "events_over_budget": self.refused,
            "events_aged_out": self._store.dropped,
            "events_failing": bool(self.problem),
        }

    def _refuse(self, event: Event, count: int, why: str, first: bool) -> None:
        """Count events of a guest that are not kept, like this; the first refusal of a time is an event."""
        self.refused += count
        if first:
            self._put(Event(self._clock(), EventKind.LOSS, event.guest, text=why, tenant=event.tenant))

    def _put(self, event: Event) -> bool:
        if self._own >= MAX_WAITING:
            self.lost += 1
            self._untold += 1
            return False
        self._own += 1
        self._batches.append(_Batch([Entry(event)]))
        self._filled.set()
        return True

    async def _commit(self) -> bool:
        """Commit the first batches; whether that went well."""
        batches = self._first_batches()
        entries = [entry for batch in batches for entry in batch.entries]
        room = {entry.owner: self._said.left(entry.owner) for entry in entries if entry.owner}
        try:
            done = await asyncio.to_thread(self._store.append, entries, self._clock(), room)
        except StateError as error:
            self.problem = str(error)
            self._batches.extendleft(batch for batch in reversed(batches) if not batch.is_left())
            return False
        self.problem = ""
        self._own -= sum(batch.kept is None for batch in batches)
        for batch in batches:
            if batch.kept is not None and not batch.kept.done():
                batch.kept.set_result(None)
        for owner, size in done.spent.items():
            self._said.spend(owner, size)
        for refused in done.refused.values():
            self._refuse(refused[0], len(refused), *self._said.exceeded(user_of(refused[0].guest)))
        self._tell(done.kept)
        return True

    def _first_batches(self) -> list[_Batch]:
        """Take as many batches out of the queue as make a commit."""
        count, size = 0, 0
        while count < len(self._batches) and size < MOST_AT_ONCE:
            size += len(self._batches[count].entries)
            count += 1
        batches = list(islice(self._batches, count))
        for _ in batches:
            self._batches.popleft()
        return batches

    def _tell(self, kept: Sequence[tuple[int, Event]]) -> None:
        """Tell who follows, and, where events were lost meanwhile, have this kept as well."""
        for number, event in kept:
            self.counts[event.kind] += 1
            self.counts["detection-said"] += event.kind is EventKind.DETECTION and event.said is not None
            for told in self.on_kept:
                told(number, event)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        if self._untold:
            untold, self._untold = self._untold, 0
            text = "more happened at once than could be written down: these events are lost"
            self._put(Event(self._clock(), EventKind.LOSS, text=text, count=untold))
