"""Tests of looking at what was let through, when an SVM is back."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guest_stub.journal import MOST_TRIES, Entry, Journal
from guest_stub.on_access import replaying as replaying_module
from guest_stub.on_access.answering import Waiting
from guest_stub.on_access.exclusions import Exclusions
from guest_stub.on_access.fanotify import OPEN_EXEC_PERM, OPEN_PERM
from guest_stub.on_access.judging import HeldFile
from guest_stub.on_access.memory import Memory
from guest_stub.on_access.policy import AccessPolicy
from guest_stub.on_access.replaying import Replaying
from guest_stub.outcome import Outcome
from guest_stub.records import digest_only, identify
from guest_stub.svm_link.values import LinkAnswer
from guest_stub.walk import Places
from tests.support.descriptors import open_descriptors
from tests.support.held_files import until
from tests.support.on_access_parts import (
    BAD,
    DIGEST,
    Keeping,
    Kept,
    Kernel,
    Reports,
    Verdicts,
    event_of,
    identity,
)


class Bench:
    """What stands around it, and files of which nobody could say what they are."""

    def __init__(self, directory: Path, journal: Journal) -> None:
        self.journal, self.judge, self.reports = journal, Verdicts(BAD), Reports()
        self.kept, self.keeping = Kept(), Keeping()
        self.reliable = True
        self.memory = Memory((self.kept, self.keeping), lambda: 1, lambda _fd, _device: self.reliable, 0.0)
        self.replaying = Replaying(journal, self.judge, self.reports, self.memory)
        self.files = [directory / f"file{number}" for number in range(5)]
        for file in self.files:
            file.write_text(file.name)

    def let_through(self, path: Path, mask: int = OPEN_PERM) -> None:
        """A process is let through."""
        waiting = Waiting(event_of(path, mask), Kernel(), AccessPolicy(), lambda _waiting: None)
        self.replaying.note(waiting)
        waiting.answer(True)

    async def looked_at(self, count: int) -> list[str]:
        """What was looked at, once there are so many."""
        await until(lambda: len(self.reports.looks) >= count)
        return [content.decode() for content, _ in self.reports.looks]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """It."""
    (tmp_path / "state").mkdir()
    with closing(Journal(tmp_path / "state")) as journal:
        yield Bench(tmp_path, journal)


async def quiet() -> None:
    """Let the loop come to rest: nothing here waits for a thread or a socket."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_was_let_through_is_looked_at_once(bench: Bench) -> None:
    """In its order, as it is now; then nothing is kept any more."""
    for file in bench.files:
        bench.let_through(file, OPEN_EXEC_PERM)
        bench.let_through(file)
    before = open_descriptors()
    bench.replaying.begin()
    assert await bench.looked_at(5) == [file.name for file in bench.files]
    await quiet()
    assert not bench.journal.waiting
    assert bench.replaying.figures == {
        "noted": 10,
        "replayed": 5,
        "not_found": 0,
        "given_up": 0,
        "unnoted": 0,
    }
    assert open_descriptors() <= before
    bench.replaying.begin()
    await quiet()
    assert len(bench.reports.looks) == 5


async def test_what_is_learnt_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it counts should the SVM go again; what is on record of a file is not read again."""
    monkeypatch.setattr("guest_stub.on_access.memory.is_settled", lambda _file: True)
    for file in bench.files[:2]:
        bench.let_through(file)
    key, stamp = identify(identity(bench.files[1]))
    bench.kept.records[key, stamp] = digest_only(DIGEST)
    bench.replaying.begin()
    await bench.looked_at(2)
    assert [(file.sha256, answer) for file, answer in bench.keeping.verdicts] == [(DIGEST, BAD)] * 2
    assert [sha256 for _, sha256 in bench.judge.asked] == [b"", DIGEST]


async def test_what_is_gone_or_no_file_is_passed_over(bench: Bench) -> None:
    """The others are looked at; what was not found is counted."""
    for file in bench.files:
        bench.let_through(file)
    os.unlink(bench.files[0])
    os.unlink(bench.files[1])
    os.symlink("/etc/passwd", bench.files[1])
    bench.replaying.begin()
    assert await bench.looked_at(3) == ["file2", "file3", "file4"]
    await until(lambda: bench.replaying.counts["not_found"] == 2)
    assert not bench.journal.waiting


async def test_a_file_that_has_no_name_any_more_is_not_kept(bench: Bench) -> None:
    """Nobody could open it later."""
    fd = os.open(bench.files[0], os.O_RDONLY)
    os.unlink(bench.files[0])
    bench.let_through(Path(f"/proc/self/fd/{fd}"))
    os.close(fd)
    assert not bench.journal.waiting


@pytest.mark.parametrize("outcome", [Outcome.NO_SVM, Outcome.OVERLOADED])
async def test_a_replay_that_is_broken_off_begins_anew(bench: Bench, outcome: Outcome) -> None:
    """When the SVM is gone again, or has no room, the rest is for the next time, and nothing is reported."""
    for file in bench.files:
        bench.let_through(file)
    bench.judge.answer = LinkAnswer(outcome)
    before = open_descriptors()
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    await quiet()
    assert len(bench.judge.asked) == 1
    assert (bench.reports.looks, bench.journal.waiting) == ([], True)
    assert open_descriptors() <= before + 1
    bench.judge.answer = BAD
    bench.replaying.begin()
    assert await bench.looked_at(5) == [file.name for file in bench.files]


async def test_it_is_not_begun_twice(bench: Bench) -> None:
    """Two links in a row look at each file once."""
    for file in bench.files:
        bench.let_through(file)
    bench.judge.go.clear()
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    bench.replaying.begin()
    bench.judge.go.set()
    await bench.looked_at(5)
    await quiet()
    assert len(bench.judge.asked) == 5


async def test_what_is_noted_meanwhile_is_looked_at_too(bench: Bench) -> None:
    """Without another link: the SVM answers."""
    bench.let_through(bench.files[0])
    bench.judge.go.clear()
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    bench.let_through(bench.files[1])
    bench.replaying.begin()
    bench.judge.go.set()
    await bench.looked_at(1)
    await quiet()
    assert [content for content, _ in bench.reports.looks] == [b"file0", b"file1"]


async def test_after_a_broken_replay_what_was_noted_since_is_looked_at_too(bench: Bench) -> None:
    """Both files of the journal are replayed."""
    bench.let_through(bench.files[0])
    bench.judge.answer = LinkAnswer(Outcome.NO_SVM)
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    await quiet()
    bench.let_through(bench.files[1])
    bench.judge.answer = BAD
    bench.replaying.begin()
    await bench.looked_at(1)
    await quiet()
    assert [content for content, _ in bench.reports.looks] == [b"file0", b"file1"]


async def test_a_damaged_entry_holds_up_no_other(bench: Bench) -> None:
    """It cannot be opened, as one that is gone."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    bench.journal.note(Entry(f"{bench.files[0]}\0", 0.0, "open"), 1)
    bench.let_through(bench.files[1])
    bench.replaying.begin()
    await quiet()
    assert [content for content, _ in bench.reports.looks] == [b"file1"]


async def test_what_was_written_is_kept_as_well(bench: Bench) -> None:
    """By the path that it has then."""
    fd = os.open(bench.files[0], os.O_RDONLY)
    with closing(HeldFile(fd)) as holding:
        os.close(fd)
        bench.replaying.note_written(holding)
    bench.replaying.begin()
    assert await bench.looked_at(1) == ["file0"]


@pytest.mark.parametrize("reliable", [True, False])
async def test_a_path_that_is_too_long_to_be_told_loses_no_file(
    bench: Bench, tmp_path: Path, reliable: bool
) -> None:
    """It is found by its inode; where that says nothing it is counted."""
    bench.reliable = reliable
    bench.replaying.places = Places(lambda: [str(tmp_path)])
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    fd = os.open("file", os.O_RDWR | os.O_CREAT, dir_fd=here)
    with closing(HeldFile(fd)) as holding:
        bench.replaying.note_written(holding)
    assert (bench.replaying.figures["unnoted"], bench.journal.waiting) == (not reliable, reliable)
    os.write(fd, b"deep down")
    bench.replaying.begin()
    if reliable:
        assert await bench.looked_at(1) == ["deep down"]
    for each in (fd, here):
        os.close(each)


async def test_closing_breaks_it_off(bench: Bench, tmp_path: Path) -> None:
    """No descriptor is left; the next run begins anew."""
    for file in bench.files:
        bench.let_through(file)
    before = open_descriptors()
    bench.judge.go.clear()
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    await bench.replaying.close()
    assert open_descriptors() <= before
    bench.judge.go.set()
    with closing(Journal(tmp_path / "state")) as journal:
        again = Replaying(journal, bench.judge, bench.reports, bench.memory)
        again.begin()
        assert await bench.looked_at(5) == [file.name for file in bench.files]
        await again.close()


async def test_closing_without_a_replay_is_nothing(bench: Bench) -> None:
    """There was none."""
    bench.replaying.begin()
    await bench.replaying.close()
    assert bench.judge.asked == []


async def test_what_was_found_is_looked_at(bench: Bench) -> None:
    """As what was let through is; False where the journal has no room for it."""
    entries = [Entry(str(file), 0.0, "search") for file in bench.files]
    assert bench.replaying.take(entries[0], 1)
    assert bench.replaying.take(entries[0], 1)
    assert await bench.looked_at(1) == ["file0"]
    assert not bench.replaying.take(Entry("/" + "x" * 20_000, 0.0, "search"), 2)


async def test_it_waits_where_there_is_no_room_for_more_detections(bench: Bench) -> None:
    """Those that are acted on wait in a row with a limit, over which a file would be left."""
    for file in bench.files:
        bench.let_through(file)
    room = asyncio.Event()

    async def wait() -> None:
        await room.wait()

    bench.replaying.room = wait
    bench.replaying.begin()
    await quiet()
    assert bench.reports.looks == []
    room.set()
    assert len(await bench.looked_at(5)) == 5


async def test_what_is_excluded_is_left_alone_by_whatever_path(bench: Bench, tmp_path: Path) -> None:
    """A path may lead to an excluded file by now, through a link that somebody put there."""
    samples, mine = tmp_path / "samples", tmp_path / "mine"
    for directory in (samples, mine):
        directory.mkdir()
        (directory / "file").write_text(directory.name)
    bench.replaying.left_alone = Exclusions(["*/samples"], []).left_alone
    bench.let_through(mine / "file")
    bench.let_through(bench.files[1])
    mine.rename(tmp_path / "moved")
    mine.symlink_to(samples)
    before = open_descriptors()
    bench.replaying.begin()
    assert await bench.looked_at(1) == ["file1"]
    await quiet()
    assert len(bench.judge.asked) == 1
    assert open_descriptors() <= before


@pytest.mark.parametrize("has_handles", [True, False])
async def test_what_was_renamed_is_looked_at_where_it_is(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_handles: bool
) -> None:
    """Also where something else has its place, which was not let through, and in an excluded place never."""
    if not has_handles:
        monkeypatch.setattr(replaying_module, "handle_of", lambda _fd: b"")
    else:
        bench.replaying.left_alone = Exclusions(["*/left"], []).left_alone
    bench.replaying.places = Places(lambda: [str(tmp_path)], ("left",))
    for file in bench.files[:4]:
        bench.let_through(file)
    (tmp_path / "left").mkdir()
    bench.files[0].rename(tmp_path / "moved")
    bench.files[1].rename(tmp_path / "x (deleted)")
    bench.files[2].rename(tmp_path / "left" / "x")
    bench.files[0].write_text("another")
    bench.files[1].symlink_to(bench.files[4])
    before = open_descriptors()
    bench.replaying.begin()
    assert sorted(await bench.looked_at(3)) == ["file0", "file1", "file3"]
    await until(lambda: not bench.journal.waiting)
    assert len(bench.reports.looks) == 3
    assert bench.replaying.counts["not_found"] == (not has_handles)
    assert open_descriptors() <= before


async def test_a_name_that_looks_as_if_it_were_gone_is_kept(bench: Bench) -> None:
    """Anybody may end a name with the kernel's word for it."""
    bench.let_through(bench.files[0].rename(f"{bench.files[0]} (deleted)"))
    bench.replaying.begin()
    assert await bench.looked_at(1) == ["file0"]


async def test_what_was_renamed_is_kept_until_it_was_looked_at(bench: Bench, tmp_path: Path) -> None:
    """Where the SVM is gone again, and where the stub ends."""
    bench.replaying.places = Places(lambda: [str(tmp_path)])
    bench.let_through(bench.files[0])
    bench.files[0].rename(tmp_path / "moved")
    bench.judge.answer = LinkAnswer(Outcome.NO_SVM)
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    await quiet()
    assert (bench.reports.looks, bench.journal.waiting) == ([], True)
    bench.judge.answer = BAD
    bench.replaying.begin()
    assert await bench.looked_at(1) == ["file0"]


async def test_where_inodes_say_nothing_a_file_is_known_by_its_path(bench: Bench) -> None:
    """As it is then."""
    bench.reliable = False
    bench.let_through(bench.files[0])
    bench.files[1].rename(bench.files[0])
    bench.replaying.begin()
    assert await bench.looked_at(1) == ["file1"]


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.ENGINE_ERROR, Outcome.CHANGED])
async def test_what_nobody_can_say_now_is_asked_again_another_time(bench: Bench, outcome: Outcome) -> None:
    """Not at once, and the others go on meanwhile."""
    for file in bench.files[:2]:
        bench.let_through(file)
    bench.judge.answer = LinkAnswer(outcome)
    bench.replaying.begin()
    await until(lambda: len(bench.judge.asked) == 2)
    await quiet()
    assert (len(bench.judge.asked), bench.reports.looks, bench.journal.waiting) == (2, [], True)
    bench.judge.answer = BAD
    bench.replaying.begin()
    assert await bench.looked_at(2) == ["file0", "file1"]
    await until(lambda: not bench.journal.waiting)
    assert bench.reports.words == []


async def test_what_nobody_can_ever_say_is_given_up(bench: Bench) -> None:
    """After some tries, which is said."""
    bench.let_through(bench.files[0])
    bench.judge.answer = LinkAnswer(Outcome.ENGINE_ERROR)
    while bench.journal.waiting:
        asked = len(bench.judge.asked)
        bench.replaying.begin()
        await until(lambda asked=asked: len(bench.judge.asked) > asked)  # type: ignore[misc]
        await quiet()
    assert len(bench.judge.asked) == MOST_TRIES
    assert bench.reports.words == [f"given up {bench.files[0]}"]
    assert bench.replaying.counts["given_up"] == 1


async def test_what_nobody_could_say_is_asked_again_after_a_kill(bench: Bench, tmp_path: Path) -> None:
    """It is noted anew before it is forgotten."""
    bench.let_through(bench.files[0])
    bench.judge.answer = LinkAnswer(Outcome.TIMED_OUT)
    bench.replaying.begin()
    await until(lambda: bool(bench.judge.asked))
    await quiet()
    with closing(Journal(tmp_path / "state")) as journal:
        assert [(entry.path, entry.tries) for entry in journal.replay()] == [(str(bench.files[0]), 1)]


async def test_that_there_is_no_room_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And when the others are looked at, since when something is missing."""
    monkeypatch.setattr("guest_stub.journal.MOST_ENTRIES", 2)
    since: list[float] = []
    bench.replaying.on_missed = since.append
    for file in bench.files[:3]:
        bench.let_through(file)
    assert bench.reports.words == ["not noted"] * 2  # the second is over the share of one owner
    assert since == []
    bench.replaying.begin()
    assert await bench.looked_at(1) == ["file0"]
    await until(lambda: not bench.journal.waiting)
    assert since == [pytest.approx(time.time(), abs=60)]


async def test_what_is_not_found_again_is_said(bench: Bench) -> None:
    """All at once."""
    for file in bench.files[:2]:
        bench.let_through(file)
        file.unlink()
    bench.replaying.begin()
    await until(lambda: not bench.journal.waiting)
    assert bench.reports.words == [f"not found {file}" for file in bench.files[:2]]


async def test_what_is_renamed_without_a_pause_is_looked_at(bench: Bench, tmp_path: Path) -> None:
    """By its handle, unless its place is excluded by then; nothing is walked for it."""
    bench.replaying.places = Places(lambda: [str(tmp_path)])
    bench.replaying.left_alone = Exclusions(["*/left"], []).left_alone
    (tmp_path / "left").mkdir()
    for file in bench.files[:2]:
        bench.let_through(file)
    bench.files[0].rename(tmp_path / "left/x")
    over = threading.Event()

    def rename() -> None:
        name, number = bench.files[1], 0
        while not over.is_set():
            number += 1
            name = name.rename(tmp_path / f"name{number}")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        bench.replaying.begin()
        assert await bench.looked_at(1) == ["file1"]
        await until(lambda: not bench.journal.waiting)
    finally:
        over.set()
        thread.join()
    assert len(bench.judge.asked) == 1
    assert bench.reports.words == []
