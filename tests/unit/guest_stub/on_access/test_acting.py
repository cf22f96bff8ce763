"""Tests of what is done about detections."""

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guest_stub.on_access import acting as acting_module
from guest_stub.on_access.acting import Acting
from guest_stub.on_access.judging import Judged
from guest_stub.remediation.actions import carry_out
from guest_stub.remediation.done import Action, Done, Result
from guest_stub.remediation.quarantine import Quarantine
from tests.support.apart import ROOT, environment
from tests.support.descriptors import open_descriptors
from tests.support.held_files import until
from tests.support.on_access_parts import BAD, identity
from tests.support.quarantined import bad_file, quarantine, take


@dataclass
class Reports:
    """An acting.Reports that remembers."""

    dones: list[Done] = field(default_factory=list)
    lefts: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def done(self, judged: Judged, done: Done) -> None:
        """Remember."""
        self.dones.append(done)

    def left(self, path: str, why: str) -> None:
        """Remember."""
        self.lefts.append((path, why))

    def tidied(self, sentence: str) -> None:
        """Remember."""
        self.words.append(sentence)


class Bench:
    """What stands around it."""

    def __init__(self, opened: Quarantine) -> None:
        self.quarantine, self.reports = opened, Reports()
        self.made: list[Acting] = []

    def acting(self, action: Action) -> Acting:
        """What is tested."""
        self.made.append(Acting(action, self.quarantine, self.reports))
        return self.made[-1]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """It; nothing goes on when a test has ended."""
    with quarantine(tmp_path) as opened:
        made = Bench(opened)
        yield made
        for acting in made.made:
            await acting.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that was judged to be bad."""
    return bad_file(tmp_path / "bad")


def there(path: Path) -> bool:
    """Whether it is where it was."""
    return path.exists()


def act(acting: Acting, path: Path) -> None:
    """It was detected, by a descriptor that is closed at once."""
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    acting.act(fd, Judged(BAD, hashlib.sha256(path.read_bytes()).digest(), identity(path)))
    os.close(fd)


async def test_a_detected_file_is_quarantined(bench: Bench, file: Path) -> None:
    """Later than who opened it is answered, and in another thread; no descriptor is left."""
    before = open_descriptors()
    acting = bench.acting(Action.QUARANTINE)
    act(acting, file)
    assert there(file)
    await until(lambda: bool(bench.reports.dones))
    [done] = bench.reports.dones
    assert (done.result, done.path) == (Result.QUARANTINED, os.fsencode(file))
    assert not there(file)
    assert bench.quarantine.entry(done.entry).judged.threat == "Eicar"
    assert acting.counts["acted_on"] == 1
    assert open_descriptors() <= before  # earlier tests may still close some


async def test_a_detected_file_is_deleted_where_that_is_wanted(bench: Bench, file: Path) -> None:
    """Nothing of it is kept."""
    act(bench.acting(Action.DELETE), file)
    await until(lambda: bool(bench.reports.dones))
    assert bench.reports.dones[0].result is Result.DELETED
    assert not there(file)
    assert not bench.quarantine.in_use()


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REPORT])
async def test_the_other_actions_touch_no_file(bench: Bench, file: Path, action: Action) -> None:
    """The answer is all that there is to them."""
    before = open_descriptors()
    act(bench.acting(action), file)
    assert open_descriptors() <= before
    await asyncio.sleep(0)
    assert there(file)
    assert bench.reports.dones == []


async def test_a_file_that_was_changed_meanwhile_is_left(bench: Bench, file: Path) -> None:
    """It is not what was judged, and is judged anew when it is opened."""
    acting = bench.acting(Action.QUARANTINE)
    act(acting, file)
    bad_file(file, b"another content")
    await until(lambda: bool(bench.reports.dones))
    assert bench.reports.dones[0].result is Result.CHANGED
    assert there(file)


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> "threading.Event":
    """Nothing is done before this is set."""
    go, real = threading.Event(), carry_out

    def later(*arguments: Any) -> Done:
        go.wait(30)
        return real(*arguments)

    monkeypatch.setattr(acting_module, "carry_out", later)
    return go


async def test_what_is_met_again_meanwhile_is_acted_on_once(
    bench: Bench, file: Path, held_up: threading.Event
) -> None:
    """A thousand processes that open it are one file."""
    acting = bench.acting(Action.QUARANTINE)
    before = open_descriptors()
    for _ in range(3):
        act(acting, file)
    assert open_descriptors() <= before + 1
    held_up.set()
    await until(lambda: bool(bench.reports.dones))
    await until(lambda: open_descriptors() <= before + 1)  # the loop's own, made meanwhile
    assert len(bench.reports.dones) == 1


async def test_so_many_may_wait_and_the_next_is_said(
    bench: Bench, tmp_path: Path, held_up: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted, to be met again; where that cannot be it is said, and it is acted on when it is met."""
    monkeypatch.setattr(acting_module, "MOST_WAITING", 2)
    acting = bench.acting(Action.QUARANTINE)
    files = [bad_file(tmp_path / str(number)) for number in range(3)]
    for path in files:
        act(acting, path)
    why = "2 files wait for that already, and the journal has no room for it"
    assert bench.reports.lefts == [(str(files[2]), why)]
    noted: list[Judged] = []

    def later(_: int, judged: Judged) -> bool:
        noted.append(judged)
        return True

    acting.later = later
    act(acting, files[2])
    assert [judged.file for judged in noted] == [identity(files[2])]
    assert bench.reports.lefts == [(str(files[2]), why)]
    held_up.set()
    await until(lambda: len(bench.reports.dones) == 2)
    act(acting, files[2])
    await until(lambda: len(bench.reports.dones) == 3)


async def test_who_can_wait_is_told_when_there_is_room(
    bench: Bench, tmp_path: Path, held_up: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the row is full, so that others find a place too."""
    monkeypatch.setattr(acting_module, "MOST_WAITING", 4)
    acting = bench.acting(Action.QUARANTINE)
    await asyncio.wait_for(acting.room(), 30)
    for number in range(3):
        act(acting, bad_file(tmp_path / str(number)))
    await asyncio.sleep(0)
    waiting = asyncio.get_running_loop().create_task(acting.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    held_up.set()
    await asyncio.wait_for(waiting, 30)
    assert len(bench.reports.dones) >= 1


async def test_without_a_descriptor_it_is_said(
    bench: Bench, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is met again."""

    def full(_fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", full)
        act(bench.acting(Action.QUARANTINE), file)
    assert bench.reports.lefts == [(str(file), "it could not be held: Too many open files")]


async def test_a_fault_is_said_and_holds_up_no_other(
    bench: Bench, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is acted on."""

    def fail(*_: object) -> Done:
        raise ZeroDivisionError("a fault")

    acting = bench.acting(Action.QUARANTINE)
    with monkeypatch.context() as patch:
        patch.setattr(acting_module, "carry_out", fail)
        act(acting, file)
        await until(lambda: bool(bench.reports.lefts))
    [(path, why)] = bench.reports.lefts
    assert path == str(file)
    assert "a fault" in why
    act(acting, file)
    await until(lambda: bool(bench.reports.dones))


async def test_the_end_sees_through_what_is_under_way(
    bench: Bench, tmp_path: Path, held_up: threading.Event
) -> None:
    """And leaves the rest where it is."""
    before = open_descriptors()
    acting = bench.acting(Action.QUARANTINE)
    files = [bad_file(tmp_path / str(number)) for number in range(3)]
    for path in files:
        act(acting, path)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(held_up.set)
    await acting.close()
    assert [path.exists() for path in files] == [False, True, True]
    act(acting, files[1])  # too late
    await asyncio.sleep(0)
    assert open_descriptors() <= before + 1


async def test_it_tidies_up_at_the_start_and_looks_for_what_is_too_old(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again and again; what a person should know is said, and a disk that fails ends nothing."""
    monkeypatch.setattr(acting_module, "EXPIRE_SECONDS", 0.001)

    def fail() -> list[str]:
        raise OSError(errno.EIO, "Input/output error")

    said: list[Callable[[], list[str]]] = [lambda: ["one is too old"], fail, lambda: ["another"]]
    monkeypatch.setattr(bench.quarantine, "tidy", lambda: ["a removal was seen through"])
    monkeypatch.setattr(bench.quarantine, "expire", lambda: said.pop(0)() if said else [])
    bench.acting(Action.BLOCK).begin()
    await until(lambda: len(bench.reports.words) == 4)
    assert bench.reports.words == [
        "a removal was seen through", "one is too old",
        "the quarantine cannot be looked through: Input/output error", "another",
    ]  # fmt: skip


_PREPARED = """
import os, sys
from pathlib import Path
from guest_stub.on_access.acting import Acting
from guest_stub.remediation.done import Action
from tests.support.descriptors import open_descriptors
from tests.support.quarantined import bad_file, quarantine, take
def libraries():
    return {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
with quarantine(Path(sys.argv[1])) as opened:
    acting = Acting(Action(sys.argv[2]), opened, None)
    acting.prepare()
    before = libraries()
    print(acting.prepared, "cryptography" in sys.modules)
    if acting.prepared:
        take(opened, bad_file(Path(sys.argv[1], "bad")))
        for entry in list(opened.entries()):
            opened.restore(entry.id)
        print(sorted(libraries() - before))
"""


def prepared(directory: Path, action: Action) -> list[str]:
    """What a process of its own says."""
    ran = subprocess.run(
        [sys.executable, "-c", _PREPARED, str(directory), action], cwd=ROOT, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout.splitlines()


def test_all_that_sealing_needs_is_loaded_before(tmp_path: Path) -> None:
    """No library is loaded by the first file: that could wait for the stub itself, for good."""
    assert prepared(tmp_path, Action.QUARANTINE) == ["True True", "[]"]


def test_who_seals_nothing_does_not_pay_for_it(tmp_path: Path) -> None:
    """Unless something is in the quarantine, which may have to come back."""
    assert prepared(tmp_path, Action.BLOCK) == ["False False"]
    with quarantine(tmp_path) as opened:
        take(opened, bad_file(tmp_path / "earlier"))
    assert prepared(tmp_path, Action.BLOCK) == ["True True", "[]"]
