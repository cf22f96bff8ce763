"""Tests of the thread that takes events from the kernel."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue

import pytest

from guest_stub.on_access.fanotify import CLOSE_WRITE, OPEN, OPEN_PERM, OVERFLOW, Event, Group
from guest_stub.on_access.reader import UNOPENED, Reader
from tests.support.descriptors import open_descriptors
from tests.support.on_access_apart import SECONDS, opening, run_apart, watching
from tests.support.on_access_parts import PROCESS, event_of

OURS = os.getpid()


class Said(Group):
    """A group that tells what a test gives it. answers: what it was answered."""

    def __init__(self, *, asks: bool) -> None:
        self.asks = asks
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE)
        self._said: Queue[list[Event] | Exception] = Queue()
        self.answers: list[tuple[int, bool]] = []

    def say(self, *events: Event) -> None:
        """Have these read in one go."""
        self._said.put(list(events))
        os.eventfd_write(self._fd, 1)

    def fail(self, error: Exception) -> None:
        """Have reading fail once."""
        self._said.put(error)
        os.eventfd_write(self._fd, 1)

    def waiting(self) -> int:
        """Nothing gets lost here."""
        return 0

    def read(self) -> list[Event]:
        """What was said."""
        os.eventfd_read(self._fd)
        said = self._said.get_nowait()
        if isinstance(said, Exception):
            raise said
        return said

    def answer(self, event: Event, allow: bool) -> None:
        """Remember; the event's descriptor is open still."""
        os.fstat(event.fd)
        self.answers.append((event.fd, allow))


class Heard:
    """What a reader tells; taken by the test in the order that it came."""

    def __init__(self) -> None:
        self.queue: Queue[tuple[str, object]] = Queue()
        self.thread: threading.Thread | None = None

    def take(self, events: list[Event]) -> None:
        """See Reader."""
        self.thread = threading.current_thread()
        self.queue.put(("take", events))

    def lost(self, why: str) -> None:
        """See Reader."""
        self.queue.put(("lost", why))

    def failed(self, why: str) -> None:
        """See Reader."""
        self.queue.put(("failed", why))

    def next(self) -> tuple[str, object]:
        """The next thing."""
        return self.queue.get(timeout=SECONDS)


class Desk:
    """A running reader of two groups, and what it tells."""

    def __init__(self) -> None:
        self.asking, self.telling, self.heard = Said(asks=True), Said(asks=False), Heard()
        groups: dict[int, Group] = {group.fileno(): group for group in (self.asking, self.telling)}
        self.reader = Reader(groups, self.heard.take, self.heard.lost, self.heard.failed)
        self.reader.start()

    def close(self) -> None:
        """End it."""
        self.reader.stop()
        self.asking.close()
        self.telling.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """One that is ended after the test."""
    with closing(Desk()) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


def test_others_events_are_handed_on(desk: Desk) -> None:
    """In order, in the reader's thread, with nothing answered; of both groups."""
    events = [Event(OPEN_PERM, 100, PROCESS), Event(OPEN_PERM, 101, PROCESS + 1)]
    desk.asking.say(*events)
    assert desk.heard.next() == ("take", events)
    written = Event(CLOSE_WRITE, 102, PROCESS)
    desk.telling.say(written)
    assert desk.heard.next() == ("take", [written])
    assert desk.heard.thread is not threading.current_thread()
    assert desk.asking.answers == []


def test_our_own_are_answered_at_once(desk: Desk, file: Path) -> None:
    """Without a question to anybody, and their descriptors are let go of."""
    before = open_descriptors()
    ours = [event_of(file, OPEN_PERM, OURS) for _ in range(3)]
    theirs = Event(OPEN_PERM, 100, PROCESS)
    told = event_of(file, CLOSE_WRITE | OPEN, OURS)
    desk.asking.say(ours[0], theirs, *ours[1:])
    desk.telling.say(told)
    assert desk.heard.next() == ("take", [theirs])
    desk.telling.say(Event(CLOSE_WRITE, 100, PROCESS))
    desk.heard.next()
    assert desk.asking.answers == [(each.fd, True) for each in ours]
    assert desk.telling.answers == []
    assert open_descriptors() <= before


def test_that_events_were_lost_is_handed_on(desk: Desk) -> None:
    """It comes without a descriptor and, from the kernel, with no process."""
    lost = Event(OVERFLOW, -1, 0)
    desk.telling.say(lost)
    assert desk.heard.next() == ("take", [lost])


def test_an_overflow_that_bears_our_number_breaks_nothing(desk: Desk) -> None:
    """There is no descriptor to close."""
    desk.telling.say(Event(OVERFLOW, -1, OURS))
    desk.asking.say(Event(OVERFLOW, -1, OURS))
    desk.asking.say(Event(OPEN_PERM, 100, PROCESS))
    assert desk.heard.next()[0] == "take"


def test_an_event_that_cannot_be_read_is_said_and_the_next_one_is_read(desk: Desk) -> None:
    """The kernel had no descriptor left for it, and has denied."""
    desk.asking.fail(OSError(24, "Too many open files"))
    assert desk.heard.next() == ("lost", "Too many open files")
    desk.asking.say(Event(OPEN_PERM, 100, PROCESS))
    assert desk.heard.next()[0] == "take"


def test_what_makes_no_sense_ends_the_reading_and_is_said(desk: Desk) -> None:
    """Whoever opens a file would wait for good, so that somebody has to end the group."""
    desk.asking.fail(ValueError("the kernel's last event is cut off"))
    assert desk.heard.next() == (
        "failed",
        "events cannot be read any more: the kernel's last event is cut off",
    )


def test_stopping_leaves_neither_thread_nor_descriptor() -> None:
    """Also when nothing was ever said."""
    before, threads = open_descriptors(), threading.active_count()
    with closing(Desk()):
        pass
    assert open_descriptors() <= before
    assert threading.active_count() == threads


@watching
def test_the_stub_never_waits_for_itself(tmp_path: Path) -> None:
    """It opens files of a file system on which it holds up everybody else."""
    run_apart(opening_as_the_reader_reads, tmp_path / "top")


def opening_as_the_reader_reads(top: Path) -> None:
    """The threads of this process open files, another process waits until it is answered."""
    (top / "file").write_text("hello")
    with closing(Group(asks=True)) as group:
        heard = Heard()
        reader = Reader({group.fileno(): group}, heard.take, heard.lost, heard.failed)
        group.watch_file_system(str(top), OPEN_PERM)
        reader.start()
        before = open_descriptors()
        for _ in range(1000):
            assert (top / "file").read_text() == "hello"
        assert open_descriptors() <= before + 1  # the last one may be about to be closed
        process = opening(top / "file")
        what, events = heard.next()
        assert what == "take"
        assert isinstance(events, list)
        [event] = events
        assert process.poll() is None
        group.answer(event, True)
        os.close(event.fd)
        assert process.communicate(timeout=SECONDS)[0] == "hello"
        reader.stop()


@watching
@pytest.mark.parametrize("inside", ["leased_alone", "leased_among_others"])
def test_an_event_that_the_kernel_drops_is_known_to_be_lost(tmp_path: Path, inside: str) -> None:
    """Whoever holds a write lease on a file keeps the kernel from opening it for the stub."""
    run_apart(globals()[inside], tmp_path / "top")


def leased_alone(top: Path) -> None:
    """The only event there is, and one that asks."""
    fd = leased(top / "file")
    with closing(Group(asks=True)) as group:
        heard = Heard()
        reader = Reader({group.fileno(): group}, heard.take, heard.lost, heard.failed)
        group.watch_file_system(str(top), OPEN_PERM)
        reader.start()
        process = opening(top / "file")
        assert heard.next() == ("lost", UNOPENED)
        assert "Operation not permitted" in process.communicate(timeout=SECONDS)[1]
        reader.stop()
    os.close(fd)


def leased_among_others(top: Path) -> None:
    """Of three files that were written one has a lease: the kernel says nothing of it."""
    with closing(Group(asks=False)) as group:
        group.watch_file_system(str(top), CLOSE_WRITE)
        writers = [os.open(top / name, os.O_RDWR | os.O_CREAT) for name in ("a", "b", "c")]
        for writer in writers:
            os.close(writer)
        fd = leased(top / "b")
        heard = Heard()
        reader = Reader({group.fileno(): group}, heard.take, heard.lost, heard.failed)
        reader._ours = 0  # this process wrote them
        reader.start()
        told = [heard.next() for _ in range(3)]
        assert told.count(("lost", UNOPENED)) == 1
        assert [what for what, _ in told].count("take") == 2
        reader.stop()
    os.close(fd)


def leased(path: Path) -> int:
    """A descriptor that holds a write lease; SIGIO, by which it is asked for, is ignored."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    return fd
