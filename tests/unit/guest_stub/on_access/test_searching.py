"""Tests of looking for files whose content turned out to be malicious."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guest_stub.decision import FileId
from guest_stub.found import FoundFile
from guest_stub.journal import Entry
from guest_stub.on_access import searching as module
from guest_stub.on_access.policy import AccessPolicy
from guest_stub.on_access.searching import Searching
from guest_stub.outcome import Outcome
from guest_stub.records import Seen, identify
from guest_stub.remediation.done import Action
from guest_stub.sought import Sought
from guest_stub.svm_link.values import LinkAnswer
from guest_stub.walk import Places, Selection
from tests.support.held_files import until

BAD, GOOD = b"b" * 32, b"g" * 32


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)


@dataclass
class Svm:
    """An undoing.Asks. outcomes: by digest."""

    outcomes: dict[bytes, Outcome] = field(default_factory=lambda: {BAD: Outcome.MALICIOUS})
    asked: list[bytes] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def ask(self, sha256: bytes, seconds: float) -> LinkAnswer:
        """Say what the test wants."""
        self.asked.append(sha256)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return LinkAnswer(self.outcomes.get(sha256, Outcome.NOT_DETECTED))


class Bench:
    """A directory with files, and what stands around a search. room: whether what is found is taken."""

    def __init__(self, directory: Path) -> None:
        self.top, self.state = directory / "top", directory / "state"
        for made in (self.top, self.state):
            made.mkdir()
        self.svm, self.sought = Svm(), Sought(self.state)
        self.roots = [str(self.top)]
        self.entries: list[tuple[Entry, int]] = []
        self.processes: list[tuple[int, str]] = []
        self.sentences: list[str] = []
        self.room = True
        self.searching = self.anew()

    def anew(self, action: Action = Action.QUARANTINE, exclude: tuple[str, ...] = ()) -> Searching:
        """What is tested."""
        places = Places(lambda: self.roots, exclude)
        self.searching = Searching(self.sought, self.svm, AccessPolicy(action=action), places, self)
        return self.searching

    def take(self, entry: Entry, name: int) -> bool:
        """See Finds."""
        assert threading.current_thread() is threading.main_thread()
        if self.room:
            self.entries.append((entry, name))
        return self.room

    def in_use(self, process: int, path: str) -> None:
        """See Finds."""
        self.processes.append((process, path))

    def not_sought(self, why: str) -> None:
        """See Finds."""
        self.sentences.append(why)

    def file(self, name: str, content: str = "hello") -> Path:
        """Make one."""
        path = self.top / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path

    def seen(self, path: Path, sha256: bytes = BAD, outcome: Outcome = Outcome.NOT_DETECTED) -> Seen:
        """What was on record of a file."""
        return Seen(*identify(FileId.of(path.stat())), sha256, outcome)

    async def searched(self) -> list[str]:
        """What is found, once nothing is under way."""
        self.searching.begin()
        await until(lambda: self.searching._task is None or self.searching._task.done())
        return sorted(entry.path for entry, _ in self.entries)


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    """It."""
    return Bench(tmp_path)


async def test_files_of_a_malicious_content_are_found_where_they_lie(bench: Bench) -> None:
    """Others are not, nor those of contents with which nothing is wrong; then nothing is looked for."""
    bad, worse, good = bench.file("a/bad"), bench.file("b/worse"), bench.file("good")
    bench.file("a/unknown")
    bench.searching.note([bench.seen(bad), bench.seen(worse), bench.seen(good, GOOD)])
    assert await bench.searched() == [f"{bench.top}/a/bad", f"{bench.top}/b/worse"]
    assert bench.searching.counts == {"sought": 2, "come_upon": 2, "searches": 1}
    assert sorted(bench.svm.asked) == [BAD, GOOD]
    assert not bench.sought.waiting
    assert {entry.operation for entry, _ in bench.entries} == {"search"}
    await bench.searched()
    assert bench.searching.counts["searches"] == 1


async def test_where_nothing_is_malicious_nothing_is_walked(bench: Bench) -> None:
    """A verdict may be revoked since it is better now."""
    bench.searching.note([bench.seen(bench.file("good"), GOOD)])
    assert await bench.searched() == []
    assert (bench.searching.counts["searches"], bench.sought.waiting) == (0, False)


async def test_a_file_that_was_changed_since_is_told_of_as_well(bench: Bench) -> None:
    """It is looked at as it is: to be renamed is to be changed, and hides nothing."""
    changed, renamed = bench.file("changed"), bench.file("renamed")
    bench.searching.note([bench.seen(changed), bench.seen(renamed)])
    changed.write_text("something else")
    renamed.rename(bench.top / "by now")
    assert await bench.searched() == [f"{bench.top}/by now", f"{bench.top}/changed"]
    assert all(entry.handle for entry, _ in bench.entries)
    assert not bench.sought.waiting


async def test_a_file_of_several_names_is_told_of_once(bench: Bench) -> None:
    """What is done with it is done with all of them."""
    file = bench.file("one")
    os.link(file, bench.top / "two")
    bench.searching.note([bench.seen(file)])
    assert len(await bench.searched()) == 1


async def test_what_the_settings_leave_alone_is_left_alone(bench: Bench) -> None:
    """A scan may have put it on record."""
    bench.anew(exclude=("*.iso",))
    bench.searching.note([bench.seen(bench.file("a.iso")), bench.seen(bench.file("a.com"))])
    assert await bench.searched() == [f"{bench.top}/a.com"]


@pytest.mark.parametrize("outcome", [Outcome.NO_SVM, Outcome.OVERLOADED, Outcome.TIMED_OUT])
async def test_without_an_answer_it_is_looked_for_later(bench: Bench, outcome: Outcome) -> None:
    """When an SVM is back, also by another run of the stub."""
    bench.svm.outcomes = {BAD: outcome}
    bench.searching.note([bench.seen(bench.file("bad")), bench.seen(bench.file("good"), GOOD)])
    assert await bench.searched() == []
    bench.svm.outcomes, bench.svm.asked = {BAD: Outcome.MALICIOUS}, []
    bench.anew()
    assert await bench.searched() == [f"{bench.top}/bad"]
    assert bench.svm.asked == [BAD]


async def test_what_there_is_no_room_for_is_looked_for_again(bench: Bench) -> None:
    """And what was taken is not."""
    bench.searching.note([bench.seen(bench.file("bad"))])
    bench.room = False
    assert await bench.searched() == []
    bench.room = True
    assert await bench.searched() == [f"{bench.top}/bad"]
    assert not bench.sought.waiting


async def test_what_was_a_detection_is_looked_for_only_to_be_removed(bench: Bench) -> None:
    """Each attach tells of it anew; where it stays it was reported, and is denied."""
    detected = bench.seen(bench.file("bad"), outcome=Outcome.MALICIOUS)
    for action in (Action.BLOCK, Action.REPORT):
        bench.anew(action).note([detected])
        assert await bench.searched() == []
    for action in (Action.QUARANTINE, Action.DELETE):
        bench.entries.clear()
        bench.anew(action).note([detected])
        assert await bench.searched() == [f"{bench.top}/bad"]
    bench.entries.clear()
    bench.anew(Action.BLOCK).note([detected._replace(outcome=Outcome.NOT_DETECTED)])
    assert await bench.searched() == [f"{bench.top}/bad"]


async def test_ten_thousand_revocations_are_one_walk(bench: Bench) -> None:
    """In batches that the SVM takes; what comes while it walks gets one more."""
    digests = [number.to_bytes(32, "big") for number in range(10_000)]
    bench.svm.outcomes = dict.fromkeys(digests, Outcome.MALICIOUS)
    file = bench.file("bad")
    _, stamp = identify(FileId(1, 1, 1, 1, 1))
    for number, digest in enumerate(digests):
        bench.searching.note([Seen(number.to_bytes(12, "big"), stamp, digest)])
        bench.searching.begin()
    bench.searching.note([bench.seen(file, digests[0])])
    assert await bench.searched() == [f"{bench.top}/bad"]
    assert bench.searching.counts["searches"] <= 2
    assert bench.svm.most_at_once == module.ASKED_AT_ONCE


async def test_what_comes_while_it_looks_is_looked_for_next(bench: Bench) -> None:
    """Without anybody's saying so again."""
    first, second = bench.file("first"), bench.file("second")
    real, later = bench.svm.ask, [bench.seen(second, GOOD)]

    async def ask(sha256: bytes, seconds: float) -> LinkAnswer:
        if later:
            bench.svm.outcomes[GOOD] = Outcome.MALICIOUS
            bench.searching.note([later.pop()])
            bench.searching.begin()
        return await real(sha256, seconds)

    bench.svm.ask = ask  # type: ignore[method-assign]
    bench.searching.note([bench.seen(first)])
    assert await bench.searched() == [f"{bench.top}/first", f"{bench.top}/second"]


async def test_what_is_more_than_the_list_takes_is_said_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it."""
    bench.sought.lost = 7
    bench.searching.begin()
    bench.searching.begin()
    [sentence] = bench.sentences
    assert sentence.startswith("7 files may be malicious now")
    assert "guest-stub scan" in sentence


async def test_where_the_list_cannot_be_read_that_is_said(bench: Bench) -> None:
    """And it is tried again."""
    (bench.state / "sought.taken").mkdir()
    await bench.searched()
    await bench.searched()
    assert len(bench.sentences) == 2
    assert "see that the state directory can be written" in bench.sentences[0]


async def test_only_file_systems_on_which_the_files_are_are_walked(bench: Bench) -> None:
    """All of them, where a file's device is none's."""
    bench.roots = [str(bench.top), "/proc/self/fdinfo", "/nonexistent"]
    here = bench.seen(bench.file("bad")).key
    elsewhere, _ = identify(FileId(0xFFFF, 1, 1, 1, 1))
    assert module._of_devices(bench.roots, [here]) == (str(bench.top),)
    assert module._of_devices(bench.roots, [here, elsewhere]) == (str(bench.top), "/proc/self/fdinfo")


async def test_processes_that_have_a_file_open_are_told(bench: Bench) -> None:
    """By number and path."""
    file = bench.file("bad")
    with file.open() as opened:
        process = await asyncio.create_subprocess_exec("sleep", "60", stdin=opened)
    bench.searching.note([bench.seen(file)])
    await bench.searched()
    process.kill()
    await process.wait()
    assert bench.processes == [(process.pid, str(file))]


class Endless:
    """A Walk that ends when it is told to, and not before. ended: when it has."""

    ended = threading.Event()

    def __init__(self, _selection: Selection, _listener: object, stop: Callable[[], bool]) -> None:
        self._stop = stop

    def batches(self) -> Iterator[list[FoundFile]]:
        """Nothing, for ever."""
        while not self._stop():
            yield []
        self.ended.set()


async def test_closing_ends_a_walk_and_forgets_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew with the next run."""
    await bench.searching.close()
    bench.anew()
    monkeypatch.setattr(module, "Walk", Endless)
    bench.searching.note([bench.seen(bench.file("bad"))])
    bench.searching.begin()
    await until(lambda: bench.searching.counts["searches"] == 1)
    await asyncio.wait_for(bench.searching.close(), 30)
    monkeypatch.undo()
    bench.anew()
    assert await bench.searched() == [f"{bench.top}/bad"]
