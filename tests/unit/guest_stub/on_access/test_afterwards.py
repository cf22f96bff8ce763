"""Tests of looking at files after they were written."""

import asyncio
import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guest_stub.decision import FileId
from guest_stub.on_access import afterwards as afterwards_module
from guest_stub.on_access import passing as passing_module
from guest_stub.on_access.afterwards import Afterwards
from guest_stub.on_access.fanotify import CLOSE_WRITE, OPEN, Event
from guest_stub.on_access.memory import Memory
from guest_stub.outcome import Outcome
from guest_stub.records import Record, identify
from guest_stub.svm_link.values import LinkAnswer
from tests.support.descriptors import open_descriptors
from tests.support.held_files import until
from tests.support.on_access_parts import (
    BAD,
    DIGEST,
    GENERATION,
    NOTHING,
    Keeping,
    Kept,
    Reports,
    Verdicts,
    event_of,
    identity,
)

AT_A_TIME = 4


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are looked at at a time."""
    monkeypatch.setattr(afterwards_module, "AT_A_TIME", AT_A_TIME)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr(passing_module, "SAME_TICK_NS", -(10**12))


@dataclass
class Bench:
    """What stands around it. marked, lifted: inodes that need not be told of, and that were written."""

    judge: Verdicts = field(default_factory=Verdicts)
    reports: Reports = field(default_factory=Reports)
    kept: Kept = field(default_factory=Kept)
    keeping: Keeping = field(default_factory=Keeping)
    marked: list[int] = field(default_factory=list)
    lifted: list[int] = field(default_factory=list)

    def afterwards(self) -> Afterwards:
        """What is tested."""
        memory = Memory((self.kept, self.keeping), lambda: GENERATION, lambda _fd, _device: True, 0.0)
        return Afterwards(self.judge, self.reports, memory, self)

    def keep(self, path: Path, outcome: Outcome) -> None:
        """Have it be known what a file is."""
        self.kept.records[identify(identity(path))] = Record(GENERATION, 2**31, int(outcome), DIGEST)

    def pass_over(self, fd: int, _file: FileId) -> None:
        """Remember."""
        self.marked.append(os.fstat(fd).st_ino)

    def changed(self, fd: int) -> None:
        """Remember."""
        self.lifted.append(os.fstat(fd).st_ino)


@pytest.fixture
def bench() -> Bench:
    """It."""
    return Bench()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Ten files."""
    paths = [tmp_path / str(number) for number in range(10)]
    for number, path in enumerate(paths):
        path.write_text(f"content {number}")
    return paths


def written(path: Path) -> Event:
    """Somebody has written a file and closed it."""
    return event_of(path, CLOSE_WRITE)


async def test_a_written_file_is_looked_at_and_told_of(bench: Bench, files: list[Path]) -> None:
    """It is open still when the end is told."""
    before = open_descriptors()
    bench.judge.answer = BAD
    after = bench.afterwards()
    after.event(written(files[0]))
    await until(lambda: bool(bench.reports.looks))
    [(content, judged)] = bench.reports.looks
    assert (content, judged.answer, judged.file) == (b"content 0", BAD, identity(files[0]))
    assert bench.judge.asked == [(identity(files[0]), b"")]
    assert after.counts == {"written": 1, "unchanged": 0, "looked_at": 1, "skipped": 0, "missed": 0}
    assert open_descriptors() <= before


async def test_its_mark_is_lifted_before_anything_else(bench: Bench, files: list[Path]) -> None:
    """Also that of a file which is empty by now, and which nobody looks at."""
    os.truncate(files[1], 0)
    bench.judge.go.clear()
    after = bench.afterwards()
    after.event(written(files[0]))
    after.event(written(files[1]))
    assert bench.lifted == [identity(files[0]).ino, identity(files[1]).ino]
    assert bench.judge.asked == []
    await until(lambda: bool(bench.judge.asked))
    assert len(bench.judge.asked) == 1
    await after.close()


async def test_what_is_no_file_is_not_looked_at(bench: Bench, tmp_path: Path) -> None:
    """A device, a directory; their descriptors are let go of."""
    before = open_descriptors()
    after = bench.afterwards()
    for path in (Path("/dev/null"), tmp_path):
        after.event(written(path))
    await asyncio.sleep(0)
    assert (bench.judge.asked, bench.reports.misses) == ([], [])
    assert open_descriptors() <= before


async def test_what_is_known_and_unchanged_is_not_read_again(bench: Bench, files: list[Path]) -> None:
    """Opened a thousand times it is looked at once; nobody need be told of further opens."""
    bench.keep(files[0], Outcome.NOT_DETECTED)
    after = bench.afterwards()
    for _ in range(3):
        after.event(event_of(files[0], OPEN))
    await asyncio.sleep(0)
    assert (bench.judge.asked, bench.reports.looks) == ([], [])
    assert after.counts == {"written": 0, "unchanged": 3, "looked_at": 0, "skipped": 0, "missed": 0}
    assert bench.marked == [identity(files[0]).ino] * 3
    assert bench.lifted == []


async def test_what_is_known_to_be_bad_is_told_of_each_time(bench: Bench, files: list[Path]) -> None:
    """Without asking anybody; it gets no mark."""
    bench.keep(files[0], Outcome.MALICIOUS)
    after = bench.afterwards()
    after.event(event_of(files[0], OPEN))
    await until(lambda: bool(bench.reports.looks))
    assert bench.judge.asked == []
    assert bench.reports.looks[0][1].answer.outcome is Outcome.MALICIOUS
    assert bench.marked == []


@pytest.mark.usefixtures("settled")
async def test_what_is_found_out_is_kept(bench: Bench, files: list[Path]) -> None:
    """So that the file need not be read again, here or by who waits for it."""
    bench.judge.answer = NOTHING
    after = bench.afterwards()
    after.event(event_of(files[0], OPEN))
    await until(lambda: bool(bench.reports.looks))
    [(looked, answer)] = bench.keeping.verdicts
    assert ((looked.key, looked.stamp), answer) == (identify(identity(files[0])), NOTHING)
    assert bench.marked == [identity(files[0]).ino]


@pytest.mark.parametrize(
    "outcome", [Outcome.NO_SVM, Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.ENGINE_ERROR]
)
async def test_what_nobody_can_say_now_is_told_of(bench: Bench, files: list[Path], outcome: Outcome) -> None:
    """Somebody has to look at it later."""
    bench.judge.answer = LinkAnswer(outcome)
    after = bench.afterwards()
    after.event(written(files[0]))
    await until(lambda: bool(bench.reports.unanswers))
    assert bench.reports.looks == []
    assert bench.reports.unanswers[0][0] == b"content 0"


async def test_few_are_looked_at_at_a_time(bench: Bench, files: list[Path]) -> None:
    """The others wait, and each has its turn."""
    bench.judge.go.clear()
    after = bench.afterwards()
    for path in files:
        after.event(written(path))
    await until(lambda: len(bench.judge.asked) == AT_A_TIME)
    bench.judge.go.set()
    await until(lambda: len(bench.reports.looks) == len(files))
    assert bench.judge.most_at_once == AT_A_TIME
    assert {content for content, _ in bench.reports.looks} == {b"content %d" % each for each in range(10)}


async def test_what_is_written_again_while_it_waits_is_looked_at_once(
    bench: Bench, files: list[Path]
) -> None:
    """But what is written again while it is looked at is looked at again."""
    bench.judge.go.clear()
    after = bench.afterwards()
    for path in files[: AT_A_TIME + 1]:
        after.event(written(path))
    await until(lambda: len(bench.judge.asked) == AT_A_TIME)
    waiting = files[AT_A_TIME]
    for _ in range(3):
        after.event(written(waiting))
    after.event(written(files[0]))
    bench.judge.go.set()
    await until(lambda: len(bench.reports.looks) == AT_A_TIME + 2)
    contents = [content for content, _ in bench.reports.looks]
    assert contents.count(b"content 0") == 2
    assert contents.count(b"content %d" % AT_A_TIME) == 1


async def test_so_many_may_wait_and_the_next_is_told_of(
    bench: Bench, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has to look for it; its descriptor is let go of."""
    monkeypatch.setattr(afterwards_module, "MOST_WAITING", 2)
    bench.judge.go.clear()
    after = bench.afterwards()
    for path in files[: AT_A_TIME + 2]:
        after.event(written(path))
    before = open_descriptors()
    after.event(written(files[AT_A_TIME + 2]))
    assert open_descriptors() <= before
    [why] = bench.reports.misses
    assert "2 written files wait" in why
    after.event(event_of(files[AT_A_TIME + 3], OPEN))  # nobody has to look for what comes by again
    assert (bench.reports.skips, len(bench.reports.misses)) == (["2 files wait to be looked at already"], 1)
    bench.judge.go.set()
    await until(lambda: len(bench.reports.looks) == AT_A_TIME + 2)
    after.event(written(files[AT_A_TIME + 2]))
    await until(lambda: len(bench.reports.looks) == AT_A_TIME + 3)
    assert after.counts["missed"] == 1


async def test_a_file_that_cannot_be_held_is_told_of(
    bench: Bench, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor was left for it."""

    def full(_fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = open_descriptors()
    after = bench.afterwards()
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", full)
        after.event(written(files[0]))
    assert bench.reports.misses == ["a written file could not be held: Too many open files"]
    assert open_descriptors() <= before


async def test_events_that_were_lost_are_told_of(bench: Bench) -> None:
    """With the reason."""
    after = bench.afterwards()
    after.overflow("the queue was full")
    assert (bench.reports.misses, after.counts["missed"]) == (["the queue was full"], 1)


async def test_a_fault_of_the_judges_takes_no_slot_and_no_descriptor(bench: Bench, files: list[Path]) -> None:
    """More of them than there are slots, and the next file is looked at."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    before = open_descriptors()
    after = bench.afterwards()
    bench.judge.error = ZeroDivisionError("a fault")
    for path in files:
        after.event(written(path))
    await until(lambda: len(bench.judge.asked) == len(files))
    bench.judge.error = None
    after.event(written(files[0]))
    await until(lambda: len(bench.reports.looks) == 1)
    assert open_descriptors() <= before


async def test_closing_looks_at_no_more(bench: Bench, files: list[Path]) -> None:
    """What is looked at is broken off, what waits is let go of."""
    before, tasks = open_descriptors(), len(asyncio.all_tasks())
    bench.judge.go.clear()
    after = bench.afterwards()
    for path in files:
        after.event(written(path))
    await until(lambda: len(bench.judge.asked) == AT_A_TIME)
    await after.close()
    assert bench.reports.looks == []
    assert len(bench.judge.asked) == AT_A_TIME
    assert open_descriptors() <= before
    assert len(asyncio.all_tasks()) == tasks


async def test_closing_leaves_no_descriptor_of_a_look_that_did_not_begin(
    bench: Bench, files: list[Path]
) -> None:
    """It is closed in the same turn of the loop that the event came in."""
    before = open_descriptors()
    after = bench.afterwards()
    after.event(written(files[0]))
    await after.close()
    assert open_descriptors() <= before
