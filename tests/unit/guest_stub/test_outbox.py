"""Tests of what is kept of events until the SVM has them."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub import outbox as module
from guest_stub.outbox import FILE, NEW_FILE, Outbox
from guest_stub.svm_link.values import EventKind, GuestEvent
from tests.support.apart import ROOT, environment
from tests.support.descriptors import open_descriptors
from tests.support.properties import patient


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An empty one, in the test's directory."""
    with closing(Outbox(tmp_path)) as opened:
        yield opened


def event(number: int, **fields: object) -> GuestEvent:
    """One that is like no other."""
    return GuestEvent(0, EventKind.ACTION, 1.5, path=b"/%d" % number, **fields)  # type: ignore[arg-type]


def paths(outbox: Outbox, most: int = 9999) -> list[int]:
    """Which events are the first, all of one journal."""
    return [int(each.path[1:] or b"-1") for each in outbox.first(most)[1]]


def told(outbox: Outbox) -> list[tuple[bytes, int, bytes, int]]:
    """All that waits, taken as an SVM would: journal, number, path and count of each; nothing waits then."""
    found = []
    while len(outbox):
        journal, events = outbox.first(5)
        found += [(journal, each.number, each.path, each.count) for each in events]
        assert outbox.kept(journal, events[-1].number) == len(events)
    return found


def left(directory: Path) -> list[int]:
    """What the next run finds."""
    with closing(Outbox(directory)) as again:
        return [int(path[1:] or b"-1") for _, _, path, _ in told(again)]


def test_what_is_added_is_given_until_it_is_kept(outbox: Outbox, tmp_path: Path) -> None:
    """In its order, as often as it is asked for; then the file is empty."""
    for number in range(5):
        outbox.add(event(number))
    journal, first = outbox.first(2)
    assert [each.number for each in first] == [1, 2]
    assert outbox.first(2) == (journal, first)
    assert outbox.kept(journal, 2) == 2
    assert paths(outbox) == [2, 3, 4]
    assert outbox.kept(journal, 5) == 3
    assert (len(outbox), outbox.first(1)[1]) == (0, [])
    assert (tmp_path / FILE).stat().st_size == 0
    outbox.add(event(9))
    assert outbox.first(1)[1][0].number == 6
    assert left(tmp_path) == []  # another holds it


def test_what_was_not_given_cannot_be_kept(outbox: Outbox) -> None:
    """Nor what another journal has: an SVM that errs loses nothing."""
    for number in range(3):
        outbox.add(event(number))
    journal, _ = outbox.first(1)
    assert outbox.kept(b"x" * 16, 9) == 0
    assert outbox.kept(journal, 9) == 1
    assert paths(outbox) == [1, 2]


def test_each_run_and_each_renewal_is_another_journal(tmp_path: Path) -> None:
    """What waits keeps its own; a batch is of one journal."""
    with closing(Outbox(tmp_path)) as outbox:
        outbox.add(event(0))
        outbox.renew()
        outbox.add(event(1))
    with closing(Outbox(tmp_path)) as outbox:
        outbox.add(event(2))
        found = told(outbox)
    assert [(number, path) for _, number, path, _ in found] == [(1, b"/0"), (1, b"/1"), (1, b"/2")]
    assert len({journal for journal, *_ in found}) == 3


def test_a_next_run_finds_what_waits_and_not_what_is_kept(tmp_path: Path) -> None:
    """Under the same journal and numbers, so that the SVM knows what it has had."""
    with closing(Outbox(tmp_path)) as outbox:
        for number in range(4):
            outbox.add(event(number))
        journal, _ = outbox.first(2)
        outbox.kept(journal, 2)
        before = outbox.first(9)
    with closing(Outbox(tmp_path)) as outbox:
        assert outbox.first(9) == before
        assert outbox.kept(before[0], 3) == 1
    assert left(tmp_path) == [3]


def test_it_is_bounded_in_entries(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more is counted, and the first event that has room again is about that."""
    monkeypatch.setattr(module, "MOST_ENTRIES", 4)
    for number in range(7):
        outbox.add(event(number))
        assert outbox.is_half_full is (number >= 1)
    assert (len(outbox), outbox.lost) == (4, 3)
    journal, _ = outbox.first(2)
    outbox.kept(journal, 2)
    outbox.add(event(7))
    found = outbox.first(9)[1]
    assert [each.path for each in found] == [b"/2", b"/3", b"", b"/7"]
    assert (found[2].kind, found[2].action, found[2].count) == (EventKind.OVERFLOW, "dropped", 3)
    outbox.add(event(8))
    assert outbox.lost == 4


def test_it_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over runs too; and so is the file, whatever is kept meanwhile."""
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    monkeypatch.setattr(module, "_MOST_DONE_BYTES", 3000)
    with closing(Outbox(tmp_path)) as outbox:
        for number in range(500):
            outbox.add(event(number))
            if number % 7 == 0:  # never all of them, so that the file is never simply emptied
                journal, events = outbox.first(3)
                outbox.kept(journal, events[-1].number)
            assert (tmp_path / FILE).stat().st_size < 7000
        assert outbox.lost > 100
        waits = paths(outbox)
    assert not (tmp_path / NEW_FILE).exists()
    assert left(tmp_path) == waits


def test_words_are_cut_and_nothing_is_refused(outbox: Outbox) -> None:
    """As the wire has it."""
    outbox.add(event(1, text="é" * 999, process="p\udcff" * 300, sha256=b"short", count=1 << 40))
    [said] = outbox.first(1)[1]
    assert (len(said.text.encode()), len(said.process), said.sha256) == (512, 256, b"")
    assert said.count == (1 << 32) - 1


class Full:
    """A disk that takes so many bytes and no more; for os.pwrite."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.pwrite

    def __call__(self, fd: int, data: bytes, where: int) -> int:
        """Write what there is room for."""
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = self._write(fd, data[: self.room], where)
        self.room -= done
        return done


@pytest.mark.parametrize("room", [0, 1, 60, 100, 120])
def test_on_a_full_disk_events_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """They are given all the same, and written when there is room; no line is cut."""
    with closing(Outbox(tmp_path)) as outbox:
        outbox.add(event(0))
        disk = Full(room)
        monkeypatch.setattr(os, "pwrite", disk)
        for number in range(1, 4):
            outbox.add(event(number))
        assert outbox.problem == "No space left on device"
        assert paths(outbox) == [0, 1, 2, 3]
        assert (tmp_path / FILE).read_bytes().endswith(b"\n")
        disk.room = 1 << 30
        outbox.add(event(4))
        assert outbox.problem == ""
    assert left(tmp_path) == [0, 1, 2, 3, 4]


def test_what_was_kept_on_a_full_disk_is_sent_again_at_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark could not be written; the SVM knows the number."""
    with closing(Outbox(tmp_path)) as outbox:
        for number in range(3):
            outbox.add(event(number))
        monkeypatch.setattr(os, "pwrite", Full(0))
        journal, _ = outbox.first(1)
        assert outbox.kept(journal, 1) == 1
        assert outbox.problem
        assert paths(outbox) == [1, 2]
        monkeypatch.undo()
    assert left(tmp_path) == [0, 1, 2]


def test_without_a_directory_events_wait_in_memory(tmp_path: Path) -> None:
    """Protection goes on."""
    with closing(Outbox(tmp_path / "none")) as outbox:
        outbox.add(event(1))
        assert "No such file" in outbox.problem
        assert paths(outbox) == [1]


def test_a_file_that_cannot_be_opened_is_not_harmed(tmp_path: Path) -> None:
    """It is for a run that can."""
    (tmp_path / FILE).mkdir()
    with closing(Outbox(tmp_path)) as outbox:
        outbox.add(event(1))
        assert outbox.problem
        assert paths(outbox) == [1]
    assert (tmp_path / FILE).is_dir()


def test_a_second_stub_leaves_the_file_alone(tmp_path: Path) -> None:
    """Both would write the same lines."""
    with closing(Outbox(tmp_path)) as outbox, closing(Outbox(tmp_path)) as second:
        outbox.add(event(1))
        second.add(event(2))
        assert second.problem == "another guest-stub keeps its events there"
        assert (paths(outbox), paths(second)) == ([1], [2])
    assert left(tmp_path) == [1]


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    """It tells what others have opened."""
    (tmp_path / FILE).touch(0o644)
    with closing(Outbox(tmp_path)) as outbox:
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
        (tmp_path / FILE).unlink()
        outbox.add(event(1))
    with closing(Outbox(tmp_path)) as outbox:
        outbox.add(event(1))
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_it_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with files that were written anew nor where they could not be."""
    monkeypatch.setattr(module, "_MOST_DONE_BYTES", 0)
    before = open_descriptors()
    for rename in (os.rename, None):
        if rename is None:
            monkeypatch.setattr(os, "rename", Refusing())
        with closing(Outbox(tmp_path)) as outbox:
            for number in range(9):
                outbox.add(event(number))
                journal, _ = outbox.first(1)
                if number % 2:
                    outbox.kept(journal, number)
    assert open_descriptors() <= before


class Refusing:
    """A call that the system refuses."""

    def __call__(self, *_: object) -> None:
        """Refuse."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class Killed(BaseException):
    """The stub is no more."""


def killing(monkeypatch: pytest.MonkeyPatch, turns: int, share: float) -> None:
    """Have the stub end in one of the calls that change files. share: of a write, that comes to the disk."""
    count = 0

    def wrapped(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count > turns:
                if count == turns + 1 and name == "pwrite":
                    fd, data, where = arguments
                    assert isinstance(data, bytes)
                    real(fd, data[: int(len(data) * share)], where)
                raise Killed
            return real(*arguments, **named)

        return call

    for name in ("pwrite", "ftruncate", "rename", "open"):
        monkeypatch.setattr(os, name, wrapped(name))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, 1.0])
@pytest.mark.parametrize("turns", range(40))
def test_whenever_it_is_killed_no_event_is_lost_and_none_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int, share: float
) -> None:
    """What add() returned for and the SVM has not kept is found by the next run; what the SVM has had is told
    under the same journal and number at the most.
    """
    monkeypatch.setattr(module, "_MOST_DONE_BYTES", 150)
    added, kept, numbers = [], 0, {}
    with monkeypatch.context() as patch, suppress(Killed):
        killing(patch, turns, share)
        outbox = Outbox(tmp_path)
        for number in range(16):
            outbox.add(event(number))
            added.append(number)
            if number % 3 == 2:
                journal, events = outbox.first(2)
                numbers.update({int(each.path[1:]): (journal, each.number) for each in events})
                kept = int(events[-1].path[1:]) + 1  # the SVM has it before the stub hears of it
                outbox.kept(journal, events[-1].number)
            if number == 7:
                outbox.renew()
    if "outbox" in locals():
        with suppress(OSError):
            outbox.close()
    with closing(Outbox(tmp_path)) as again:
        found = told(again)
    names = [int(path[1:]) for _, _, path, _ in found]
    assert names == sorted(set(names))
    assert set(range(kept, len(added))) <= set(names) <= set(range(len(added) + 1))
    for journal, number, path, _ in found:
        assert numbers.get(int(path[1:]), (journal, number)) == (journal, number)


steps = st.lists(st.sampled_from(["add", "add", "add", "give", "keep", "renew", "restart"]), max_size=60)


@patient
@given(steps)
def test_whatever_happens_each_event_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, doing: list[str]
) -> None:
    """Over restarts and journals, of what is kept in any number of steps."""
    directory, count, kept = tmp_path_factory.mktemp("outbox"), 0, []
    outbox = Outbox(directory)
    given: tuple[bytes, list[GuestEvent]] = b"", []
    for what in doing:
        if what == "add":
            outbox.add(event(count))
            count += 1
        elif what == "give":
            given = outbox.first(3)
        elif what == "keep" and given[1]:
            outbox.kept(given[0], given[1][-1].number)
            kept += [int(each.path[1:]) for each in given[1]]
            given = b"", []
        elif what == "renew":
            outbox.renew()
        elif what == "restart":
            outbox.close()
            outbox, given = Outbox(directory), (b"", [])
    kept += [int(path[1:]) for _, _, path, _ in told(outbox)]
    outbox.close()
    assert kept == list(range(count))


_ADDS = """
import sys
from pathlib import Path
from guest_stub.outbox import Outbox
from guest_stub.svm_link.values import EventKind, GuestEvent
outbox, number = Outbox(Path(sys.argv[1])), 0
while True:
    outbox.add(GuestEvent(0, EventKind.ACTION, 1.5, path=b"/%d" % number))
    if number % 5 == 4:
        journal, events = outbox.first(6)  # all but the last of which are kept
        print(number, events[-2].path[1:].decode(), flush=True)
        outbox.kept(journal, events[-2].number)
    number += 1
"""


async def test_a_killed_stub_loses_nothing(tmp_path: Path) -> None:
    """Whatever it had added before kill -9, and no SVM has, is there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ADDS, str(tmp_path), stdout=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(100)]
    process.kill()
    out, _ = await process.communicate()
    whole = [line for line in (*lines, *out.splitlines(keepends=True)) if line.endswith(b"\n")]
    added, kept = map(int, whole[-1].split())
    found = left(tmp_path)
    assert found == list(range(found[0], found[-1] + 1))
    assert found[0] <= kept + 1
    assert found[-1] >= added
