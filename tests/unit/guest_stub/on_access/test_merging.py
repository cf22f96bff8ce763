"""Tests of how many things that happen become few events."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_stub.on_access.merging import (
    BURST,
    LONGEST_SECONDS,
    MOST_ALIKE,
    MOST_THREATS,
    NEW_BURST,
    Happening,
    Merging,
)
from guest_stub.svm_link.values import EventKind, GuestEvent
from tests.support.held_files import until
from tests.support.on_access_parts import DIGEST

COMM = Path("/proc/self/comm").read_text().strip()


class Around:
    """What stands around it: a clock that a test sets, and where the events go."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.now = 100.0
        self.crowded = False
        self.events: list[GuestEvent] = []
        self.merging = Merging(self.events.append, lambda: self.crowded, lambda: self.now, proc)

    def passes(self, seconds: float) -> None:
        """Time passes, in steps of one second at the most."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 1.0)
            self.merging._tick()

    @property
    def counts(self) -> list[int]:
        """Of the events so far."""
        return [event.count for event in self.events]


@pytest.fixture
def around() -> Iterator[Around]:
    """One at rest."""
    made = Around()
    yield made
    made.merging.close()


def bad(name: int = 0, digest: bytes = DIGEST) -> Happening:
    """A bad file was opened."""
    return Happening(EventKind.DETECTION, "blocked", b"/bad%d" % name, digest, "Eicar", "malicious")


async def test_the_first_is_told_at_once(around: Around) -> None:
    """With all that is known of it, and without a count."""
    around.merging.take(bad()._replace(pid=os.getpid()))
    [event] = around.events
    assert (event.kind, event.action, event.path, event.sha256) == (1, "blocked", b"/bad0", DIGEST)
    assert (event.threat, event.text, event.count) == ("Eicar", "malicious", 0)
    assert event.process == COMM
    assert event.at > 1_700_000_000


async def test_ten_thousand_alike_are_two(around: Around) -> None:
    """The second says how many there were since."""
    for _ in range(10_000):
        around.merging.take(bad())
    assert len(around.events) == 1
    around.passes(1)
    assert around.counts == [0, 9999]
    assert around.events[1].path == b"/bad0"


async def test_what_goes_on_is_told_of_less_and_less(around: Around) -> None:
    """In a day some hundred times, and none is forgotten."""
    taken = 0
    for _ in range(24 * 360):
        around.merging.take(bad())
        taken += 1
        around.passes(10)
    around.merging.close()
    assert len(around.events) < 10 + 86_400 / LONGEST_SECONDS * 1.1
    assert 1 + sum(around.counts) == taken


async def test_what_happens_no_more_is_forgotten(around: Around) -> None:
    """Ten minutes later the next is told at once again; nothing runs meanwhile."""
    around.merging.take(bad())
    around.merging.take(bad())
    around.passes(2)
    assert around.merging._timer is None
    around.now += LONGEST_SECONDS
    around.merging.take(bad())
    assert around.counts == [0, 1, 0]


async def test_no_more_is_remembered_than_is_said(around: Around) -> None:
    """What was quiet for longest makes room; what is counted stays, and the rest is counted together."""
    for second in range(2 * MOST_ALIKE):
        around.merging.take(bad(second))
        around.now += 2
    assert len(around.merging._alike) == MOST_ALIKE
    assert set(around.counts) == {0}
    for alike in around.merging._alike.values():
        alike.count = 1
    around.merging.take(bad(-1))
    assert len(around.merging._alike) == MOST_ALIKE
    assert len(around.events) == 2 * MOST_ALIKE


async def test_files_are_told_of_one_by_one(around: Around) -> None:
    """Ten of them in ten places are ten events, and what is done with each is another."""
    for number in range(10):
        around.merging.take(bad(number))
        around.merging.take(Happening(EventKind.ACTION, "quarantined", b"/bad%d" % number, DIGEST))
    assert len(around.events) == 20


async def test_ten_thousand_files_are_some_hundred_events(around: Around) -> None:
    """Those beyond are counted together, by what was done, with one of them by name."""
    for number in range(10_000):
        around.merging.take(bad(number))
    around.passes(1)
    assert len(around.events) <= BURST + 2
    last = around.events[-1]
    assert (last.action, last.count) == ("blocked", 10_000 - BURST)
    assert last.path == b"/bad%d" % BURST
    assert last.text == "one of many: malicious"


async def test_a_flood_of_an_hour_does_not_fill_the_svm(around: Around) -> None:
    """Of a hundred new files in each second most are counted."""
    for second in range(3600):
        for number in range(100):
            around.merging.take(bad(100 * second + number))
        around.passes(1)
    around.merging.close()
    assert len(around.events) <= BURST + 3600 / 2 + 20
    assert sum(event.count or 1 for event in around.events) == 360_000
    assert len(around.merging._alike) <= MOST_ALIKE


async def test_each_kind_has_its_own_room(around: Around) -> None:
    """A flood of fallbacks hides no detection."""
    for number in range(2 * BURST):
        around.merging.take(Happening(EventKind.FALLBACK, "allowed", text=f"{number} s"))
    around.merging.take(bad())
    assert around.events[-1].kind is EventKind.DETECTION


async def test_fallbacks_for_the_same_reason_are_alike(around: Around) -> None:
    """Whatever the file; another reason or answer is another event."""
    for number in range(9):
        around.merging.take(Happening(EventKind.FALLBACK, "allowed", b"/%d" % number, text="no SVM"))
    around.merging.take(Happening(EventKind.FALLBACK, "denied", text="no SVM"))
    around.merging.take(Happening(EventKind.FALLBACK, "allowed", text="no time"))
    around.passes(1)
    assert around.counts == [0, 0, 0, 8]


async def test_words_without_a_file_are_alike_only_when_they_are_the_same(around: Around) -> None:
    """Of the quarantine, say."""
    for text in ("one went", "another went", "one went"):
        around.merging.take(Happening(EventKind.ACTION, "tidied", text=text))
    assert [event.text for event in around.events] == ["one went", "another went"]


async def test_where_too_much_waits_already_all_are_merged(around: Around) -> None:
    """Also the counts of those that were told of before."""
    around.merging.take(bad(0))
    around.crowded = True
    for number in (0, 1, 2, 3):
        around.merging.take(bad(number))
    around.passes(1)
    assert around.counts == [0, 3]
    around.crowded = False
    around.passes(1)
    assert around.counts == [0, 3, 1]


async def test_what_was_counted_is_told_at_the_end(around: Around) -> None:
    """And nothing runs any more."""
    for number in (0, 0, 0):
        around.merging.take(bad(number))
    around.merging.close()
    around.merging.close()
    assert around.counts == [0, 2]
    assert around.merging._timer is None


async def test_the_time_passes_by_itself() -> None:
    """The loop's timer tells what was counted."""
    events: list[GuestEvent] = []
    merging = Merging(events.append, lambda: False)
    for _ in range(3):
        merging.take(bad())
    await until(lambda: len(events) == 2)
    assert events[1].count == 2
    merging.close()


async def test_a_process_calls_itself_what_it_likes(tmp_path: Path) -> None:
    """Be it no UTF-8, endless, or gone."""
    around = Around(tmp_path)
    for pid, comm in ((1, b"\xff\n\n"), (2, b"x" * 9999), (3, None)):
        (tmp_path / str(pid)).mkdir()
        if comm is not None:
            (tmp_path / str(pid) / "comm").write_bytes(comm)
        around.merging.take(bad(pid)._replace(pid=pid))
    assert [event.process for event in around.events] == ["\N{REPLACEMENT CHARACTER}", "x" * 64, ""]
    around.merging.close()


@pytest.mark.parametrize("crowded", [False, True])
async def test_no_threat_is_hidden_behind_another(around: Around, crowded: bool) -> None:
    """However many of the other there are; but once, and not without a bound."""
    for number in range(10 * BURST):
        around.merging.take(bad(number))
    around.crowded = crowded
    told = len(around.events)
    for number in range(10):
        around.merging.take(bad(number + 100_000, b"r" * 32)._replace(threat="Real"))
    assert [event.threat for event in around.events[told:]] == ["Real"]
    for number in range(10 * NEW_BURST):
        around.merging.take(bad(number)._replace(path=b"/x%d" % number, threat=f"T{number}"))
    assert len(around.events) <= told + NEW_BURST + 1
    assert all(len(told) <= MOST_THREATS for told in around.merging._told)


async def test_no_content_is_hidden_behind_another_of_the_same_threat(around: Around) -> None:
    """As of all that an administrator blocks; once, not without a bound, and no threat pays for it."""
    for number in range(10 * BURST):
        around.merging.take(bad(number))
    told = len(around.events)
    for number in range(10):
        around.merging.take(bad(number + 100_000, b"r" * 32))
    assert [event.sha256 for event in around.events[told:]] == [b"r" * 32]
    for number in range(10 * NEW_BURST):
        around.merging.take(bad(number, number.to_bytes(32, "big")))
    assert len(around.events) <= told + NEW_BURST + 1
    around.merging.take(bad(1, b"s" * 32)._replace(threat="Real"))
    assert around.events[-1].threat == "Real"


async def test_many_threats_are_bounded(around: Around) -> None:
    """Also those whose first event is remembered."""
    for number in range(3000):
        around.merging.take(bad(number)._replace(threat=f"T{number}"))
        around.now += 3.0
    assert len(around.events) == 3000
    assert len(around.merging._told[0]) == MOST_THREATS
