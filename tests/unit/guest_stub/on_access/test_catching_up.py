"""Tests of looking for files that were changed while events were lost."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest_stub.found import FoundFile
from guest_stub.journal import Entry
from guest_stub.on_access import catching_up as module
from guest_stub.on_access.catching_up import CatchingUp
from guest_stub.walk import Places, Selection
from tests.support.held_files import until


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No walk is waited for."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "PAUSES", 0.0)


class Told:
    """What it tells. during: called, on the loop, with each file."""

    def __init__(self, *roots: Path, exclude: tuple[str, ...] = ()) -> None:
        self.entries: list[tuple[Entry, int]] = []
        self.done = 0
        self.when_done: Callable[[], None] = lambda: None
        places = Places(lambda: [str(root) for root in roots], exclude)
        self.room = 1000
        self.catching_up = CatchingUp(places, self, self.all_told)

    def note(self, entry: Entry, name: int) -> None:
        """A file."""
        assert threading.current_thread() is threading.main_thread()
        self.entries.append((entry, name))
        self.room -= 1

    def all_told(self) -> None:
        """All of them."""
        self.done += 1
        self.when_done()

    @property
    def paths(self) -> list[str]:
        """Of what was told."""
        return sorted(entry.path for entry, _ in self.entries)

    async def walked(self, count: int = 1) -> list[str]:
        """What was told once so many walks are done."""
        await until(lambda: self.done >= count)
        return self.paths


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files that were changed just now."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / os.fsdecode(b"caf\xe9")).write_text("hello")
    (tmp_path / "a" / "b" / "file").write_text("hello")
    (tmp_path / "a" / "empty").touch()
    (tmp_path / "a" / "link").symlink_to("b/file")
    return tmp_path


async def test_what_was_changed_is_told(tree: Path) -> None:
    """Files with something in them, wherever they are, before it is said that all are told."""
    told, when_done = Told(tree), list[list[str]]()
    told.when_done = lambda: when_done.append(told.paths)
    told.catching_up.missed()
    await told.walked()
    assert when_done == [sorted([f"{tree}/a/b/file", os.fsdecode(b"%s/a/caf\xe9" % os.fsencode(tree))])]
    assert {entry.operation for entry, _ in told.entries} == {"write"}
    assert len({name for _, name in told.entries}) == 2
    assert told.catching_up.walks == 1
    await told.catching_up.close()


async def test_what_was_not_changed_lately_is_not_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event waits in the kernel's queue for a moment, and not for a day."""
    monkeypatch.setattr(module, "MARGIN_SECONDS", -3600.0)
    told = Told(tree)
    told.catching_up.missed()
    assert await told.walked() == []
    await told.catching_up.close()


async def test_a_time_that_its_owner_has_set_hides_nothing(tree: Path) -> None:
    """What counts is the time of change, which the kernel sets."""
    os.utime(tree / "a" / "b" / "file", (0, 0))
    told = Told(tree)
    told.catching_up.missed()
    assert f"{tree}/a/b/file" in await told.walked()
    await told.catching_up.close()


async def test_what_is_lost_in_a_row_is_looked_for_once(tree: Path) -> None:
    """And what is lost while a walk is under way, once more."""
    told = Told(tree)
    for _ in range(100):
        told.catching_up.missed()
    await told.walked()
    await until(lambda: told.catching_up.walks == told.done)
    walks = told.catching_up.walks
    assert walks <= 2
    told.when_done = lambda: told.catching_up.missed() if told.done == walks + 1 else None
    told.catching_up.missed()
    await told.walked(walks + 2)
    assert told.catching_up.walks == walks + 2
    await told.catching_up.close()


async def test_a_root_that_is_gone_ends_nothing(tree: Path) -> None:
    """The others are walked."""
    told = Told(tree / "gone", tree / "a" / "b")
    told.catching_up.missed()
    assert await told.walked() == [f"{tree}/a/b/file"]
    await told.catching_up.close()


async def test_what_is_excluded_is_not_told(tree: Path) -> None:
    """A walk leaves alone what an event does."""
    told = Told(tree, exclude=("*/b",))
    told.catching_up.missed()
    assert await told.walked() == [os.fsdecode(b"%s/a/caf\xe9" % os.fsencode(tree))]
    await told.catching_up.close()


class Endless:
    """A Walk that ends when it is told to, and not before. ended: when it has."""

    ended = threading.Event()

    def __init__(self, _selection: Selection, _listener: object, stop: Callable[[], bool]) -> None:
        self._stop = stop

    def batches(self) -> Iterator[list[FoundFile]]:
        """Nothing, for ever."""
        try:
            while not self._stop():
                yield []
        finally:
            self.ended.set()


async def test_closing_ends_a_walk(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its middle; that all was told is not said."""
    monkeypatch.setattr(module, "Walk", Endless)
    told = Told(tree)
    told.catching_up.missed()
    await until(lambda: told.catching_up.walks == 1)
    await asyncio.wait_for(told.catching_up.close(), 30)
    await until(Endless.ended.is_set)
    assert told.done == 0


async def test_closing_without_a_walk_is_nothing(tree: Path) -> None:
    """There was none."""
    await Told(tree).catching_up.close()


async def test_walks_in_a_row_come_more_and_more_seldom(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has events lost again and again does not keep it walking; after a quiet time all is as before."""
    now, slept = 0.0, list[float]()
    told = Told(tree)
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(module, "PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(told.catching_up, "_pause", 1.0)
    monkeypatch.setattr(loop, "time", lambda: now)

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    async def walked() -> None:
        told.catching_up.missed()
        assert told.catching_up._task is not None
        await told.catching_up._task

    monkeypatch.setattr(asyncio, "sleep", sleep)
    told.when_done = lambda: told.catching_up.missed() if told.done < 12 else None
    await walked()
    assert slept == [1.0, *(min(600.0, 2.0**number) for number in range(1, 12))]
    now += 2000.0
    told.when_done = lambda: None
    await walked()
    assert slept[-1] == 1.0


async def test_since_when_something_is_missing_can_be_said(tree: Path) -> None:
    """As the journal does, which had no room."""
    hour_ago = time.time() - 3600
    told = Told(tree)
    told.catching_up.missed()
    told.catching_up.missed(hour_ago)
    assert told.catching_up._since <= hour_ago
    told.catching_up.missed()
    assert f"{tree}/a/b/file" in await told.walked()
    await told.catching_up.close()


async def test_a_walk_waits_for_room_in_the_journal(tree: Path) -> None:
    """Nothing that it finds is left out; whoever looks at what is noted is told to, until there is room."""
    told = Told(tree)
    told.room = 0
    told.catching_up.missed()
    await until(lambda: told.done > 0)
    assert told.entries == []
    told.room = 1
    await until(lambda: len(told.entries) == 1 and told.room == 0)
    told.room = 1000
    await until(lambda: len(told.entries) == 2)
    await told.catching_up.close()


async def test_closing_ends_a_walk_that_waits_for_room(tree: Path) -> None:
    """Its thread too."""
    told = Told(tree)
    told.room = 0
    told.catching_up.missed()
    await until(lambda: told.done > 0)
    await asyncio.wait_for(told.catching_up.close(), 30)
    await until(lambda: not [each for each in threading.enumerate() if each.name.startswith("catch up")])
