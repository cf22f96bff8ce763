"""The log: its queue, its writer, and what becomes of events when the disk takes none."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from appliance.domain.event import Event, EventKind, Said
from appliance.events import log as event_log
from appliance.events.budget import BudgetTerms
from appliance.events.log import EventLog, LogTerms
from appliance.state.environment import StateError
from appliance.state.events import Appended, Entry, EventStore, EventTerms
from tests.support.svm import DEADLINE, until

NOW = 1_900_000_000.0
JOURNAL = b"j" * 16
AT_ONCE = LogTerms(commit_seconds=0.0)


def event(kind: EventKind = EventKind.NOTE, **fields: object) -> Event:
    """An event of now."""
    return Event(NOW, kind, **fields)  # type: ignore[arg-type]


def said(number: int) -> Event:
    """An event by a guest's word."""
    return event(EventKind.ACTION, guest="ip-1", said=Said(number, path=b"/tmp/x"))


class Reluctant(EventStore):
    """A store whose disk takes nothing while it is `full`."""

    full = False
    appends = 0

    def append(self, entries: Sequence[Entry], now: float, room: Mapping[str, int] | None = None) -> Appended:
        """As the store does, or not."""
        self.appends += 1
        if self.full:
            raise StateError("events.lmdb cannot be written: free room")
        return super().append(entries, now, room or {})


@asynccontextmanager
async def running(directory: Path, terms: LogTerms = AT_ONCE) -> AsyncIterator[tuple[EventLog, Reluctant]]:
    """A log whose writer runs."""
    store = Reluctant.open(directory, EventTerms(), NOW)
    assert isinstance(store, Reluctant)
    log = EventLog(store, terms, lambda: NOW, lambda: 0.0)
    writer = asyncio.get_running_loop().create_task(log.run())
    try:
        yield log, store
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await log.close()


def kept(directory: Path) -> list[Event]:
    """All events of a directory, as the next SVM finds them."""
    store = EventStore.open(directory, EventTerms(), NOW)
    try:
        return [event for _, event in store.from_number(1, 100_000)]
    finally:
        store.close()


async def test_what_was_noted_is_on_the_disk_after_the_end(tmp_path: Path) -> None:
    """Also what came last, in the order in which it came."""
    async with running(tmp_path, LogTerms(commit_seconds=60)) as (log, _):
        for number in range(5):
            log.note(event(count=number + 1))
    assert [each.count for each in kept(tmp_path)] == [1, 2, 3, 4, 5]


async def test_a_guest_hears_of_its_events_when_they_are_on_the_disk(tmp_path: Path) -> None:
    """And what it sends again is kept once."""
    async with running(tmp_path) as (log, store):
        await log.keep("ip-1", JOURNAL, [said(1), said(2)])
        assert store.last == 2
        await log.keep("ip-1", JOURNAL, [said(1), said(2), said(3)])
        assert store.last == 3
    assert [each.said.number for each in kept(tmp_path) if each.said] == [1, 2, 3]


async def test_what_an_administrator_tells_is_on_the_disk_when_that_is_said(tmp_path: Path) -> None:
    """While the disk takes nothing it is not said; nothing is charged to a guest."""
    async with running(tmp_path) as (log, store):
        await log.keep_own(event(EventKind.VM_ISOLATED, guest="u"))
        assert store.last == 1
        store.full = True
        telling = asyncio.get_running_loop().create_task(log.keep_own(event(EventKind.VM_RELEASED)))
        await until(lambda: store.appends > 1, "it is tried")
        assert not telling.done()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        assert log.figures()["events_waiting"] == 0


async def test_many_events_share_a_commit(tmp_path: Path) -> None:
    """The disk is waited for once."""
    async with running(tmp_path) as (log, store):
        for _ in range(500):
            log.note(event())
        await log.grown(499)
        assert store.appends == 1


async def test_a_full_disk_loses_no_guests_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests wait; the SVM's own wait as well, and it says that it cannot write."""
    monkeypatch.setattr(event_log, "_AGAIN_SECONDS", 0.0)
    async with running(tmp_path) as (log, store):
        store.full = True
        keeping = asyncio.get_running_loop().create_task(log.keep("ip-1", JOURNAL, [said(1)]))
        log.note(event())
        await until(lambda: store.appends >= 3, "it is tried again")
        assert not keeping.done()
        assert "free room" in log.problem
        assert log.figures()["events_failing"] == 1
        store.full = False
        await keeping
        assert log.problem == ""
        await log.grown(1)
        assert {each.kind for _, each in store.from_number(1, 9)} == {EventKind.ACTION, EventKind.NOTE}


async def test_what_is_over_the_queue_is_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event tells how many are lost; noting never waits."""
    monkeypatch.setattr(event_log, "MAX_WAITING", 10)
    async with running(tmp_path) as (log, store):
        for _ in range(25):
            log.note(event())
        await log.grown(10)
        last = store.from_number(11, 1)[0][1]
        assert (last.kind, last.count) == (EventKind.LOSS, 15)
        assert log.figures()["events_lost"] == 15


async def test_a_guest_over_its_budget_is_told_off_once_and_waits_for_nothing(tmp_path: Path) -> None:
    """Its events are dropped, counted, and one event names it."""
    terms = LogTerms(0.0, BudgetTerms(day_bytes=200))
    async with running(tmp_path, terms) as (log, store):
        await log.keep("ip-1", JOURNAL, [said(1)])
        for number in range(2, 6):
            await log.keep("ip-1", JOURNAL, [said(number)])
        await log.grown(1)
        found = [each for _, each in store.from_number(1, 9)]
        assert [each.kind for each in found] == [EventKind.ACTION, EventKind.LOSS]
        assert (found[1].guest, "guest_daily_mib" in found[1].text) == ("ip-1", True)
        assert log.refused == 4


async def test_other_events_of_a_guest_hide_no_detection(tmp_path: Path) -> None:
    """Neither its words nor its coming and going take the room of what is found in it."""
    few = BudgetTerms("its coming and going", per_minute=3)
    terms = LogTerms(0.0, BudgetTerms(day_bytes=200), few)
    async with running(tmp_path, terms) as (log, store):
        for number in range(1, 9):
            await log.keep("ip-1", JOURNAL, [said(number)])
            log.note(event(EventKind.ATTACH, guest="ip-1"))
        assert log.note(event(EventKind.DETECTION, guest="ip-1", threat="Worm"))
        assert log.note(event(EventKind.SCAN_END, guest="ip-1"))
        await log.grown(7)
        found = [each.kind for _, each in store.from_number(1, 99)]
        assert (found.count(EventKind.ATTACH), found.count(EventKind.LOSS)) == (3, 2)
        assert (found.count(EventKind.DETECTION), found.count(EventKind.SCAN_END)) == (1, 1)


async def test_detections_of_one_guest_are_bounded(tmp_path: Path) -> None:
    """Who notes one hears that there is no room for it."""
    terms = LogTerms(0.0, found=BudgetTerms("what is found in it", per_minute=3))
    async with running(tmp_path, terms) as (log, _):
        detection = event(EventKind.DETECTION, guest="ip-1")
        assert [log.note(detection) for _ in range(5)] == [True] * 3 + [False] * 2
        assert log.note(event(EventKind.DETECTION, guest="ip-2"))


async def test_what_is_sent_again_takes_no_room(tmp_path: Path) -> None:
    """A guest that attaches anew sends what it has not heard of: it was charged for when it was kept."""
    async with running(tmp_path, LogTerms(0.0, BudgetTerms(day_bytes=400))) as (log, store):
        for _ in range(20):
            await log.keep("ip-1", JOURNAL, [said(1)])
        await log.keep("ip-1", JOURNAL, [said(2)])
        assert [each.said.number for _, each in store.from_number(1, 9) if each.said] == [1, 2]
        assert log.refused == 0


async def test_nothing_is_charged_while_the_disk_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried: what was not written took no room."""
    monkeypatch.setattr(event_log, "_AGAIN_SECONDS", 0.0)
    async with running(tmp_path, LogTerms(0.0, BudgetTerms(day_bytes=200))) as (log, store):
        store.full = True
        keeping = asyncio.get_running_loop().create_task(log.keep("ip-1", JOURNAL, [said(1)]))
        await until(lambda: store.appends >= 5, "it is tried again")
        store.full = False
        await keeping
        assert (store.last, log.refused) == (1, 0)


async def test_between_two_tries_guests_that_go_leave_nothing_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch goes with its guest, and not when the disk is tried again."""
    monkeypatch.setattr(event_log, "_AGAIN_SECONDS", 3600.0)
    async with running(tmp_path) as (log, store):
        store.full = True
        log.note(event())
        await until(lambda: log.problem != "", "the disk was tried")
        for number in range(1, 4 * event_log.MAX_BATCHES):
            keeping = asyncio.get_running_loop().create_task(log.keep("ip-1", JOURNAL, [said(number)]))
            await asyncio.sleep(0)
            assert log.figures()["events_waiting"] == 2
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            assert log.figures()["events_waiting"] == 1


async def test_guests_that_go_leave_nothing_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing and a guest that attaches again and again fill no memory."""
    monkeypatch.setattr(event_log, "_AGAIN_SECONDS", 0.0)
    async with running(tmp_path) as (log, store):
        store.full = True

        def tried(before: int) -> bool:
            return store.appends > before

        for number in range(1, 4 * event_log.MAX_BATCHES):
            before = store.appends
            keeping = asyncio.get_running_loop().create_task(log.keep("ip-1", JOURNAL, [said(number)]))
            if number % 2:  # also while it is being written
                await until(partial(tried, before), "it is tried")
            else:
                await asyncio.sleep(0)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await until(lambda: log.figures()["events_waiting"] == 0, "none is left")
        store.full = False
        await log.keep("ip-1", JOURNAL, [said(1000)])
        assert store.last == 1


async def test_figures_count_by_kind(tmp_path: Path) -> None:
    """For /metrics."""
    async with running(tmp_path) as (log, _):
        log.note(event(EventKind.SVM_START))
        log.note(event(EventKind.ATTACH, guest="ip-1"))
        log.note(event(EventKind.ATTACH, guest="ip-2"))
        log.note(event(EventKind.DETECTION, guest="ip-1"))
        await log.keep("ip-1", JOURNAL, [event(EventKind.DETECTION, guest="ip-1", said=Said(1))])
        figures = log.figures()
        assert (figures["events_attach"], figures["events_svm_start"], figures["events_stored"]) == (2, 1, 5)
        assert (figures["events_detection"], figures["events_detection_said"]) == (2, 1)


async def test_what_readers_ask_who_go_away_is_not_read(tmp_path: Path) -> None:
    """One read at a time, in a thread that no writer needs; what has begun ends, what waits is dropped."""
    began, go, read = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def slow(number: int) -> None:
        read.append(number)
        loop.call_soon_threadsafe(began.set)
        assert go.wait(DEADLINE)

    async with running(tmp_path) as (log, store):
        readers = [loop.create_task(log.read(partial(slow, number))) for number in range(50)]
        await asyncio.wait_for(began.wait(), DEADLINE)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        log.note(event())
        await asyncio.wait_for(log.grown(0), DEADLINE)  # it is on the disk, while the thread is held
        go.set()
        assert await asyncio.wait_for(log.read(partial(store.from_number, 1, 9)), DEADLINE)
        assert read == [0]
