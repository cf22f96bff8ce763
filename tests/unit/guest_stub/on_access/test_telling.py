"""Tests of how the SVM is told what happened, over a real link."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from guest_stub import standing
from guest_stub.on_access import telling as module
from guest_stub.on_access.merging import Happening
from guest_stub.on_access.telling import MOST_AT_ONCE, Telling
from guest_stub.outbox import Outbox
from guest_stub.standing import StandingLine
from guest_stub.svm_link.values import EventKind, GuestEvent
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import LABELS, Listener, until


class Stub(Listener):
    """The part of the daemon that tells, and its line to a server in `directory`."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.outbox = Outbox(directory)
        self.line = StandingLine(f"unix:{directory}/svm.sock", LABELS, [self])
        self.telling = Telling(self.outbox, self.line)
        self.line.on_link.append(self.telling.linked)
        self._linking = asyncio.get_running_loop().create_task(self.line.run())

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """Hand on."""
        self.telling.kept(journal, up_to)

    def lost(self, why: str) -> None:
        """Hand on."""
        super().lost(why)
        self.telling.lost()

    async def close(self, why: str = "told to stop") -> None:
        """As the daemon ends."""
        await self.telling.close(why)
        self._linking.cancel()
        with suppress(asyncio.CancelledError):
            await self._linking
        self.outbox.close()

    async def die(self) -> None:
        """As it is killed: nothing more is sent or written."""
        assert self.telling._task is not None
        self.telling._merging._keep = lambda _event: None
        self.telling._task.cancel()
        self._linking.cancel()
        await asyncio.gather(self.telling._task, self._linking, return_exceptions=True)
        self.telling._merging.close()
        self.outbox.close()


@asynccontextmanager
async def stub_in(directory: Path) -> AsyncIterator[Stub]:
    """One that has begun."""
    stub = Stub(directory)
    stub.telling.begin("so and so")
    try:
        yield stub
    finally:
        await stub.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is opened again without a pause, and no batch waits for others."""
    monkeypatch.setattr(standing, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(standing, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(module, "A_SECOND", 1e6)


def bad(number: int) -> Happening:
    """A file was blocked."""
    return Happening(EventKind.DETECTION, "blocked", b"/bad%d" % number, b"d" * 32)


def paths(server: GuestSideServer) -> list[bytes]:
    """Of the events that the server got, in order; those without one are the stub's start and end."""
    return [event.path for said in server.events for event in said.events]


async def test_what_happens_is_told_and_forgotten_when_it_is_kept(tmp_path: Path) -> None:
    """From the start to the end of protection, and why it ended."""
    async with serving(tmp_path / "svm.sock", Behaviour(keeps_events=True)) as server:
        async with stub_in(tmp_path) as stub:
            stub.telling.tell(bad(1))
            await until(lambda: stub.telling.figures == {"told": 2, "untold": 0, "never_told": 0})
        kinds = [EventKind(event.kind) for said in server.events for event in said.events]
        assert kinds == [EventKind.STUB_STARTED, EventKind.DETECTION, EventKind.STUB_STOPPED]
        assert server.events[-1].events[-1].text == "told to stop"
        assert (stub.telling.counts["told"], len(stub.outbox)) == (3, 0)


async def test_an_event_is_on_the_disk_before_it_is_sent(tmp_path: Path) -> None:
    """Without an SVM, and without an end: the next run tells it."""
    stub = Stub(tmp_path)
    stub.telling.begin("so and so")
    stub.telling.tell(bad(1))
    assert b"/bad1" in (tmp_path / "events").read_bytes()
    await stub.die()
    async with serving(tmp_path / "svm.sock", Behaviour(keeps_events=True)) as server, stub_in(tmp_path):
        await until(lambda: b"/bad1" in paths(server))
        await until(lambda: len(paths(server)) == 3)
        assert sorted(paths(server)) == [b"", b"", b"/bad1"]


async def test_one_batch_is_under_way_at_a_time(tmp_path: Path) -> None:
    """The next is sent when the one before is kept; none is larger than is said."""
    async with serving(tmp_path / "svm.sock") as server, stub_in(tmp_path) as stub:
        for number in range(100):
            stub.telling.tell(bad(number))
        for turn in range(1, 5):
            await until(lambda turn=turn: len(server.events) == turn)  # type: ignore[misc]
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert len(server.events) == turn
            said = server.events[-1]
            assert len(said.events) <= MOST_AT_ONCE
            kept = guest_pb2.EventsKept(journal=said.journal, up_to=said.events[-1].number)
            await server.tell(guest_pb2.AttachReply(events_kept=kept))
        await until(lambda: not len(stub.outbox))
        assert paths(server)[1:] == [b"/bad%d" % number for number in range(100)]


async def test_what_is_not_known_to_be_kept_is_sent_again_on_a_new_link(tmp_path: Path) -> None:
    """As it was, under its journal and number; what comes then is of another journal."""
    async with serving(tmp_path / "svm.sock") as server, stub_in(tmp_path) as stub:
        stub.telling.tell(bad(1))
        await until(lambda: b"/bad1" in paths(server))
        before = [*server.events]
        server.events.clear()
        server.behaviour.keeps_events = True
        server.end_attach()
        await until(lambda: b"/bad1" in paths(server))
        assert {(said.journal, event.number) for said in server.events for event in said.events} >= {
            (said.journal, event.number) for said in before for event in said.events
        }
        await until(lambda: not len(stub.outbox))
        stub.telling.tell(bad(2))
        await until(lambda: b"/bad2" in paths(server))
        assert server.events[-1].journal != before[0].journal


async def test_an_svm_that_keeps_nothing_is_asked_again_with_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less and less often; the link goes on, and when it keeps again all is told once more."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(module, "LONGEST_PATIENCE_SECONDS", 0.05)
    async with serving(tmp_path / "svm.sock") as server, stub_in(tmp_path) as stub:
        await until(lambda: len(server.events) >= 4)
        assert {said.SerializeToString() for said in server.events} == {server.events[0].SerializeToString()}
        assert stub.why == []
        server.behaviour.keeps_events = True
        await until(lambda: not len(stub.outbox))


def names(*numbers: int) -> Callable[[guest_pb2.GuestEvents], bool]:
    """Whether a batch has one of these files."""
    wanted = {b"/bad%d" % number for number in numbers}
    return lambda said: any(event.path in wanted for event in said.events)


async def test_an_event_that_the_svm_refuses_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is found out, left out and said; and the link holds from then on."""
    behaviour = Behaviour(keeps_events=True, refuses_events=names(3))
    async with serving(tmp_path / "svm.sock", behaviour) as server, stub_in(tmp_path) as stub:
        for number in range(6):
            stub.telling.tell(bad(number))
        await until(lambda: not len(stub.outbox))
        assert stub.telling.counts == {"told": 6, "refused": 1}
        assert stub.telling.figures["never_told"] == 1
        lost = len(stub.why)
        assert all("INVALID_ARGUMENT" in why for why in stub.why)
        stub.telling.tell(bad(9))
        await until(lambda: b"/bad9" in paths(server))
        await until(lambda: not len(stub.outbox))
        assert len(stub.why) == lost
    assert [line for line in caplog.messages if "left out" in line and "/bad3" in line]


async def test_an_svm_that_goes_again_and_again_costs_no_event(tmp_path: Path) -> None:
    """Only one that calls an event a breach may have it left out."""
    async with serving(tmp_path / "svm.sock") as server, stub_in(tmp_path) as stub:
        stub.telling.tell(bad(1))
        for _ in range(10):
            await until(lambda: bool(server.events))
            server.events.clear()
            server.end_attach()
        server.behaviour.keeps_events = True
        await until(lambda: not len(stub.outbox))
        assert stub.telling.counts == {"told": 2, "refused": 0}
        assert b"/bad1" in paths(server)


async def test_the_largest_events_make_a_batch_that_every_svm_takes(tmp_path: Path) -> None:
    """Under 256 KiB, whatever a guest's paths, processes and threats are called."""
    async with serving(tmp_path / "svm.sock", Behaviour(keeps_events=True)) as server:
        stub = Stub(tmp_path)
        long = "\N{GRINNING FACE}" * 9999
        for number in range(2 * MOST_AT_ONCE):
            path = b"/%05d" % number + b"p" * 9999
            stub.outbox.add(
                GuestEvent(0, EventKind.ACTION, 5e8, b"d" * 32, path, long, long, long, long, 1 << 60)
            )
        waits = len(stub.outbox)
        stub.telling.begin("so and so")
        await until(lambda: not len(stub.outbox))
        assert waits > MOST_AT_ONCE
        assert max(said.ByteSize() for said in server.events) > 100_000
        assert max(said.ByteSize() for said in server.events) <= 256 * 1024
        assert stub.why == []
        await stub.close()


async def test_without_an_svm_the_end_waits_for_nobody(tmp_path: Path) -> None:
    """Its event is for the next run."""
    async with asyncio.timeout(30):
        stub = Stub(tmp_path)
        stub.telling.begin("so and so")
        await stub.close("no file can be watched any more")
    outbox = Outbox(tmp_path)
    assert [(event.kind, event.text) for event in outbox.first(9)[1]] == [
        (EventKind.STUB_STARTED, "so and so"),
        (EventKind.STUB_STOPPED, "no file can be watched any more"),
    ]
    outbox.close()


async def test_an_svm_that_does_not_keep_the_last_events_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a moment."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)
    async with serving(tmp_path / "svm.sock") as server, asyncio.timeout(30), stub_in(tmp_path):
        await until(lambda: bool(server.events))


async def test_a_flood_is_merged_before_it_is_kept(tmp_path: Path) -> None:
    """Also that of different files, when half of the outbox is full."""
    async with stub_in(tmp_path) as stub:
        for _ in range(10_000):
            stub.telling.tell(bad(1))
        assert len(stub.outbox) == 2
        while not stub.outbox.is_half_full:
            stub.outbox.add(GuestEvent(0, EventKind.ACTION, 1.0))
        waits = len(stub.outbox)
        for number in range(100):
            stub.telling.tell(bad(number + 2))
        assert len(stub.outbox) == waits


async def test_a_disk_that_takes_nothing_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is that it does again; the events are told meanwhile."""
    caplog.set_level(logging.INFO, "guest-stub")
    async with serving(tmp_path / "svm.sock", Behaviour(keeps_events=True)) as server:
        (tmp_path / "events").mkdir()
        async with stub_in(tmp_path) as stub:
            for number in range(3):
                stub.telling.tell(bad(number))
            await until(lambda: b"/bad2" in paths(server))
            await until(lambda: not len(stub.outbox))
            (tmp_path / "events").rmdir()
            stub.telling.tell(bad(9))
            await until(lambda: b"/bad9" in paths(server))
    said = [line for line in caplog.messages if "events for the SVM" in line]
    assert [line.split(":")[0] for line in said] == [
        "events for the SVM are kept in memory alone",
        "events for the SVM are written again",
    ]


async def test_a_fault_of_the_stubs_own_is_not_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent any more, and the log says so."""
    async with serving(tmp_path / "svm.sock"):
        stub = Stub(tmp_path)

        def fails(most: int) -> None:
            raise RuntimeError("no sense")

        monkeypatch.setattr(stub.outbox, "first", fails)
        stub.telling.begin("so and so")
        await until(lambda: "events are not sent to the SVM any more" in caplog.messages)
        await stub.close()
