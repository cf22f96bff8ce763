"""Tests of what is kept of files that were let through."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guest_stub import journal as journal_module
from guest_stub.journal import FILE, MISSED, REPLAYED, Entry, Journal
from tests.support.apart import ROOT, environment
from tests.support.descriptors import open_descriptors
from tests.support.properties import patient


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty one, in the test's directory."""
    with closing(Journal(tmp_path)) as opened:
        yield opened


def entry(number: int) -> Entry:
    """One that is like no other."""
    return Entry(f"/d/{number}", 1.5 + number, "open")


def drained(journal: Journal) -> list[Entry]:
    """What is replayed, after which it is done."""
    entries = list(journal.replay())
    journal.done()
    return entries


def replayed(directory: Path) -> list[Entry]:
    """What the next run finds."""
    with closing(Journal(directory)) as again:
        return drained(again)


def test_what_is_noted_is_replayed_once(journal: Journal, tmp_path: Path) -> None:
    """In its order; afterwards nothing waits, and the next note begins anew."""
    assert not journal.waiting
    for number in range(3):
        journal.note(entry(number), number)
    assert journal.waiting
    assert drained(journal) == [entry(number) for number in range(3)]
    assert not journal.waiting
    assert drained(journal) == []
    journal.note(entry(0), 0)
    assert drained(journal) == [entry(0)]
    assert {path.name for path in tmp_path.iterdir()} == {FILE}


def test_the_same_file_is_kept_once(journal: Journal) -> None:
    """However often it is opened; changed, it is another."""
    for _ in range(3):
        journal.note(entry(1), 1)
    journal.note(entry(1), 2)
    assert drained(journal) == [entry(1), entry(1)]


def test_what_has_no_name_is_not_kept(journal: Journal) -> None:
    """Nobody could open it."""
    journal.note(Entry("", 0.0, "open"), 1)
    assert not journal.waiting


paths = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name).map(os.fsdecode)
keys = st.sampled_from([b"", bytes(12), bytes(range(244, 256))])
handles = st.one_of(st.just(b""), st.binary(min_size=9, max_size=136))
operations = st.sampled_from(["open", "exec", "write"])
entries = st.builds(Entry, paths, st.floats(0, 1e12), operations, keys, handles, st.integers(0, 5))


@patient
@given(st.lists(entries, max_size=10))
@example([Entry(os.fsdecode(b'/\xff\xfe\n"\\'), 0.1, "open")])
def test_every_name_comes_back(tmp_path_factory: pytest.TempPathFactory, said: list[Entry]) -> None:
    """Be it no UTF-8, or several lines; in this run and in the next."""
    directory = tmp_path_factory.mktemp("journal")
    with closing(Journal(directory)) as journal:
        for number, each in enumerate(said):
            journal.note(each, number)
    assert replayed(directory) == said


@patient
@given(st.lists(st.binary(max_size=60), max_size=5))
@example([b'{"path": 1, "at": 1, "operation": "open"}', b"[]", b"null", b'{"path": "zz"}', b'{"at": 1}'])
@example([b'{"path": "2f", "at": 1, "operation": "open", "key": "00"}', b'{"path": "2f", "at": 1, "key": 1}'])
@example([b'{"path": "2f", "at": 1, "operation": "open", "handle": "%s"}' % (b"00" * 137)])
@example([b'{"path": "2f", "at": 1, "operation": "open", "tries": 6}', b'{"at": 1, "tries": "x"}'])
@example([b'{"path": "2f", "at": "x", "operation": "open"}', b"\xff\xfe", b"", b"7", b'"'])
def test_a_damaged_journal_ends_nothing(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Lines of no sense are passed over; those between them count."""
    directory = tmp_path_factory.mktemp("journal")
    with closing(Journal(directory)) as journal:
        journal.note(entry(1), 1)
    line = (directory / FILE).read_bytes()
    (directory / FILE).write_bytes(b"".join(each + b"\n" + line for each in lines))
    assert replayed(directory).count(entry(1)) == len(lines)


@pytest.mark.parametrize(
    "line", [b"[" * 9000, b'{"path": "2f", "at": 1%s, "operation": "open"}' % (b"0" * 400)]
)
def test_a_line_that_is_damaged_otherwise_ends_nothing(tmp_path: Path, line: bytes) -> None:
    """It is passed over too."""
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(1), 1)
    (tmp_path / FILE).write_bytes(line + b"\n" + (tmp_path / FILE).read_bytes())
    assert replayed(tmp_path) == [entry(1)]


def test_a_cut_last_line_costs_that_entry_alone(tmp_path: Path) -> None:
    """Wherever it is cut."""
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(1), 1)
        journal.note(entry(2), 2)
    whole = (tmp_path / FILE).read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole) - 1):
        (tmp_path / FILE).write_bytes(whole[:cut])
        assert replayed(tmp_path) == [entry(1)]


def test_a_cut_last_line_costs_no_later_entry(tmp_path: Path) -> None:
    """Neither of an earlier run nor of a disk that was full for a moment."""
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(1), 1)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole + whole[: len(whole) // 2])
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(2), 2)
    assert replayed(tmp_path) == [entry(1), entry(2)]


def test_a_replay_that_is_broken_off_begins_anew(tmp_path: Path) -> None:
    """In this run or in the next; what is noted meanwhile is for later, and is not lost."""
    with closing(Journal(tmp_path)) as journal:
        for number in range(3):
            journal.note(entry(number), number)
        broken = journal.replay()
        assert next(broken) == entry(0)
        broken.close()
        assert journal.waiting
        journal.note(entry(3), 3)
        assert (tmp_path / REPLAYED).exists()
    with closing(Journal(tmp_path)) as journal:
        assert journal.waiting
        assert drained(journal) == [entry(number) for number in range(3)]
        assert journal.waiting
        assert drained(journal) == [entry(3)]
        assert not journal.waiting


def test_what_is_let_through_again_while_it_is_replayed_is_kept_again(journal: Journal) -> None:
    """The one that is replayed may be done already."""
    journal.note(entry(1), 1)
    replay = journal.replay()
    assert next(replay) == entry(1)
    journal.note(entry(1), 1)
    assert list(replay) == []
    journal.done()
    assert drained(journal) == [entry(1)]


def test_it_is_bounded_in_lines(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more is counted; after a replay there is room again."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 3)
    for number in range(5):
        journal.note(entry(number), number)
    assert journal.lost == 2
    assert drained(journal) == [*(entry(number) for number in range(3)), Entry("", entry(0).at, MISSED)]
    journal.note(entry(9), 9)
    assert journal.lost == 2
    assert drained(journal) == [entry(9)]


def test_it_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over runs, too."""
    monkeypatch.setattr(journal_module, "MOST_BYTES", 1000)
    lost = 0
    for run in range(3):
        with closing(Journal(tmp_path)) as journal:
            for number in range(100):
                journal.note(entry(number), number)
            lost += journal.lost
        assert (tmp_path / FILE).stat().st_size < 1000 + 3 * 100, (
            run
        )  # and a line of each run on what is missing
    assert lost > 250


def test_the_bound_in_lines_holds_over_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run has left counts."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 3)
    for run in range(3):
        with closing(Journal(tmp_path)) as journal:
            for number in range(3):
                journal.note(entry(10 * run + number), number)
    assert [each for each in replayed(tmp_path) if each.operation != MISSED] == [entry(n) for n in range(3)]


def test_a_path_that_is_too_long_for_a_line_is_counted(journal: Journal) -> None:
    """Nothing is lost silently; it would come back as several lines of no sense."""
    journal.note(Entry("/d" * 8192, 0.0, "write"), 1)
    assert (journal.lost, journal.waiting) == (1, False)
    journal.note(Entry("/d" * 8192, 0.0, "write", bytes(12)), 2)  # this one can be found without
    assert drained(journal) == [Entry("", 0.0, "write", bytes(12))]


def test_without_a_disk_it_is_counted(tmp_path: Path) -> None:
    """A full disk ends nothing; /dev/full is one."""
    (tmp_path / FILE).symlink_to("/dev/full")
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(1), 1)
        assert journal.lost == 1


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    """It tells what others have opened."""
    (tmp_path / FILE).touch(0o644)
    with closing(Journal(tmp_path)):
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_it_leaves_no_descriptor(tmp_path: Path) -> None:
    """After replays that were finished and broken off."""
    before = open_descriptors()
    with closing(Journal(tmp_path)) as journal:
        for _ in range(3):
            journal.note(entry(1), 1)
            drained(journal)
        journal.note(entry(1), 1)
        journal.note(entry(2), 2)
        broken = journal.replay()
        next(broken)
        broken.close()
    assert open_descriptors() <= before


_NOTES = """
import sys
from pathlib import Path
from tests.support.descriptors import open_descriptors
from guest_stub.journal import Entry, Journal
journal, number = Journal(Path(sys.argv[1])), 0
while True:
    journal.note(Entry(f"/d/{number}", 1.5 + number, "open"), number)
    print(number, flush=True)
    number += 1
"""


async def test_a_killed_stub_loses_nothing(tmp_path: Path) -> None:
    """Whatever it has noted before kill -9 is replayed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _NOTES, str(tmp_path), stdout=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    assert process.stdout is not None
    last = -1
    while last < 500:
        last = int(await process.stdout.readline())
    process.kill()
    out, _ = await process.communicate()
    last = int(out.rsplit(b"\n", 2)[-2]) if out.count(b"\n") else last
    found = replayed(tmp_path)
    assert found == [entry(number) for number in range(len(found))]
    assert len(found) >= last + 1


def test_a_run_that_was_killed_while_it_replayed_replays_again(tmp_path: Path) -> None:
    """As far as it had come counts for nothing: that is the safe side."""
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(1), 1)
        journal.note(entry(2), 2)
    program = (
        "import os, sys; from pathlib import Path; from guest_stub.journal import Journal; "
        "print(next(Journal(Path(sys.argv[1])).replay()), flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment(), check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (-9, f"{entry(1)}\n")
    assert replayed(tmp_path) == [entry(1), entry(2)]


def test_lines_are_for_other_programs_too(journal: Journal, tmp_path: Path) -> None:
    """JSON, with the path in hexadecimal digits."""
    journal.note(Entry(os.fsdecode(b"/a\xff"), 2.5, "exec"), 1)
    [line] = (tmp_path / FILE).read_text().splitlines()
    assert json.loads(line) == {"path": "2f61ff", "at": 2.5, "operation": "exec"}


def test_one_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """With each entry: the disk may have room again; what comes meanwhile is counted."""
    directory = tmp_path / "state"
    with closing(Journal(directory)) as journal:
        assert "No such file or directory" in journal.problem
        assert not journal.waiting
        assert not journal.note(Entry("/a", 1.0, "open"), 1)
        assert journal.lost == 1
        directory.mkdir()
        assert journal.note(Entry("/b", 1.0, "open"), 2)
        assert [entry.path for entry in journal.replay() if entry.operation != MISSED] == ["/b"]


def test_what_is_no_regular_file_holds_nothing_up(tmp_path: Path) -> None:
    """A FIFO would be waited for."""
    os.mkfifo(tmp_path / "journal")
    reader = os.open(tmp_path / "journal", os.O_RDONLY | os.O_NONBLOCK)
    with closing(Journal(tmp_path)) as journal:
        assert "no regular file" in journal.problem
    os.close(reader)


def test_a_huge_one_is_not_read_to_count_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is full."""
    with (tmp_path / "journal").open("wb") as file:
        file.truncate(3 << 30)
    monkeypatch.setattr(Path, "open", None)  # nobody may read it
    with closing(Journal(tmp_path)) as journal:
        assert not journal.note(Entry("/a", 1.0, "open"), 1)
        assert journal.lost == 1


def test_one_owner_takes_no_more_room_than_he_leaves(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the next: there is some left for those who have few files."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 16)
    for owner in (1000, 1001, 1002):
        for number in range(20):
            journal.note(entry(100 * owner + number), 100 * owner + number, owner)
    assert journal.note(entry(1), 1, 0)
    entries = [each for each in drained(journal) if each.operation != MISSED]
    owners = [int(each.path.rpartition("/")[2]) // 100 for each in entries]
    assert (owners.count(1000), owners.count(1001), owners.count(0)) == (8, 4, 1)
    assert owners.count(1002) <= 2


def test_room_comes_back_to_an_owner_with_a_replay(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that he had is looked at."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 4)
    for _ in range(3):
        assert [journal.note(entry(n), n, 1000) for n in range(4)] == [True, True, False, False]
        drained(journal)


def test_that_something_is_missing_is_replayed_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, as the last entry: since the first that was noted."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 2)
    with closing(Journal(tmp_path)) as journal:
        for number in range(7):
            journal.note(entry(number), number)
    assert replayed(tmp_path) == [entry(0), entry(1), Entry("", entry(0).at, MISSED)]


def test_that_something_is_missing_is_replayed_where_the_disk_takes_nothing(tmp_path: Path) -> None:
    """In this run; once it was taken."""
    (tmp_path / FILE).symlink_to("/dev/full")
    with closing(Journal(tmp_path)) as journal:
        journal.note(entry(1), 1)
        journal.note(entry(2), 2)
        assert journal.waiting
        assert drained(journal) == [Entry("", entry(1).at, MISSED)]
        assert not journal.waiting


def test_those_who_can_wait_leave_half_to_others(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told when to."""
    monkeypatch.setattr(journal_module, "MOST_ENTRIES", 4)
    for number, room in ((1, 1), (2, 0), (3, 0)):
        journal.note(entry(number), number)
        assert journal.room == room
    drained(journal)
    assert journal.room == 2
