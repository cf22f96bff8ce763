"""Tests of where an event goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guest_stub.on_access.exclusions import Exclusions
from guest_stub.on_access.fanotify import CLOSE_WRITE, OPEN_PERM, OVERFLOW, Event
from guest_stub.on_access.sorting import Sorting
from tests.support.descriptors import open_descriptors
from tests.support.on_access_parts import Kernel, event_of


@dataclass
class Taker:
    """A gate, or what looks afterwards. fault: raised instead of taking an event."""

    events: list[Event] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    fault: Exception | None = None

    def event(self, event: Event) -> None:
        """Remember it."""
        if self.fault is not None:
            raise self.fault
        self.events.append(event)

    def overflow(self, why: str) -> None:
        """Remember that."""
        self.misses.append(why)


class Bench:
    """A sorting, and what stands around it."""

    def __init__(self, *globs: str) -> None:
        self.exclusions, self.kernel = Exclusions(globs, ()), Kernel()
        self.gate, self.afterwards = Taker(), Taker()
        self.sorting = Sorting(self.exclusions, self.kernel, self.gate, self.afterwards)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


def test_who_waits_comes_to_the_gate_and_others_afterwards(file: Path) -> None:
    """Each event at one of them."""
    bench = Bench()
    waiting, written = event_of(file, OPEN_PERM), event_of(file, CLOSE_WRITE)
    bench.sorting.take([waiting, written])
    assert (bench.gate.events, bench.afterwards.events) == ([waiting], [written])


def test_what_is_excluded_is_let_go(file: Path) -> None:
    """Who waits goes on, and no descriptor stays."""
    bench, before = Bench("file"), open_descriptors()
    bench.sorting.take([event_of(file, OPEN_PERM), event_of(file, CLOSE_WRITE)])
    assert bench.kernel.allowed == [True]
    assert (bench.gate.events, bench.afterwards.events) == ([], [])
    assert open_descriptors() <= before


def test_events_that_were_lost_are_told(file: Path) -> None:
    """Whether the queue was full, or the kernel could not open a file."""
    bench = Bench()
    bench.sorting.take([Event(OVERFLOW, -1, 0)])
    bench.sorting.unopened("Too many open files")
    assert bench.afterwards.misses == [
        "the kernel's queue of events was full",
        "an event could not be read: Too many open files",
    ]
    assert bench.sorting.unread == 1


def _no_exclusions(_fd: int, _pid: int) -> bool:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("breaks", [
    lambda bench: setattr(bench.gate, "fault", RuntimeError("a bug")),
    lambda bench: setattr(bench.exclusions, "match", _no_exclusions),
], ids=["the gate", "exclusions"])  # fmt: skip
def test_a_fault_at_one_event_is_not_the_others(
    file: Path, breaks: Callable[[Bench], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and they are taken."""
    bench = Bench()
    breaks(bench)
    bench.sorting.take([event_of(file, OPEN_PERM), event_of(file, CLOSE_WRITE)])
    assert len(bench.afterwards.events) == 1
    assert "a bug" in caplog.text
