"""Tests of the parts of on-access protection as they are wired together.

Nothing is watched but in a mount namespace of its own: the groups are real, and without marks.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from guest_stub.decisions import FILE_NAME, Decisions
from guest_stub.journal import Journal
from guest_stub.mounts import FileSystem
from guest_stub.on_access import protecting
from guest_stub.on_access.coverage import MountChanges
from guest_stub.on_access.fanotify import CLOSE_WRITE, OVERFLOW, Event
from guest_stub.on_access.policy import FailMode, Mode
from guest_stub.on_access.protecting import Protection
from guest_stub.on_access.settings import AccessSettings
from guest_stub.outbox import Outbox
from guest_stub.outcome import Outcome
from guest_stub.records import Record, Seen, encode, identify
from guest_stub.remediation.bounds import Bounds
from guest_stub.remediation.quarantine import Quarantine, QuarantineSettings
from guest_stub.sought import Sought
from guest_stub.standing import StandingLine
from guest_stub.svm_link.values import EventKind, LinkAnswer
from tests.support.descriptors import open_descriptors
from tests.support.held_files import LABELS, Clock, until
from tests.support.on_access_apart import opened, run_apart, watching
from tests.support.on_access_parts import DIGEST, event_of, identity
from tests.support.page_cache import mapped_bytes
from tests.support.stub_scans import store_settings

NOWHERE = ("/nonexistent",)
pytestmark = watching


class Machine:
    """A protection without an SVM, and what is kept for it."""

    def __init__(self, directory: Path, settings: AccessSettings) -> None:
        directory.mkdir(exist_ok=True)
        self.decisions = Decisions(store_settings(directory))
        self.journal = Journal(directory)
        self.line = StandingLine(f"unix:{directory}/none", LABELS, [])
        self.quarantine = Quarantine(QuarantineSettings(directory / "quarantine", Bounds(1 << 20, 1)))
        self.outbox = Outbox(directory)
        store = (self.decisions, self.journal, self.quarantine)
        self.protection = Protection(settings, self.line, store, self.outbox)
        self.ready = asyncio.Event()
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[str] | None = None

    async def start(self) -> "asyncio.Task[str]":
        """Have it run; returns when it is ready."""
        self._task = asyncio.get_running_loop().create_task(self.protection.run(self._stack, self.ready.set))
        await asyncio.wait_for(self.ready.wait(), 30)
        return self._task

    async def stop(self) -> None:
        """End it, as `guest-stub run` does."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()
        self.outbox.close()
        self.quarantine.close()
        self.journal.close()
        self.decisions.close()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What running changes in the process is put back."""
    interval, handler = sys.getswitchinterval(), signal.getsignal(signal.SIGIO)
    yield
    sys.setswitchinterval(interval)
    signal.signal(signal.SIGIO, handler)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


async def test_it_runs_until_it_is_told_to_end_and_leaves_nothing(tmp_path: Path) -> None:
    """Neither threads nor descriptors; and it has told that it is ready."""
    before, threads = open_descriptors(), threading.active_count()
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    task = await machine.start()
    assert not task.done()
    assert signal.getsignal(signal.SIGIO) is signal.SIG_IGN
    await machine.stop()
    await until(lambda: threading.active_count() <= threads)
    assert open_descriptors() <= before  # what other tests left may be gone meanwhile


async def test_what_it_does_not_need_for_the_moment_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then, the pages of the store of decisions, too: nobody has to ask for it."""
    monkeypatch.setattr(protecting, "RETRY_SECONDS", 0.05)
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    assert machine.decisions.look_up(b"key", b"stamp") is None
    await until(lambda: mapped_bytes(tmp_path / "state" / FILE_NAME) == 0)
    await machine.stop()


async def test_when_events_cannot_be_read_any_more_it_ends_with_the_reason(tmp_path: Path) -> None:
    """Whoever opens a file would wait for good otherwise."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    task = await machine.start()
    machine.protection._fail("no sense")
    machine.protection._fail("no sense at all")
    assert await asyncio.wait_for(task, 30) == "no sense"
    await machine.stop()


async def test_without_an_svm_the_fail_mode_answers_and_the_file_is_kept_for_later(
    tmp_path: Path, file: Path
) -> None:
    """At once, with what the settings say."""
    for mode in FailMode:
        machine = Machine(tmp_path / mode, AccessSettings(watch=NOWHERE, open_on_failure=mode))
        await machine.start()
        before = open_descriptors()
        machine.protection._sorting.take([event_of(file)])
        await until(lambda machine=machine: machine.protection.figures()["fell_back"] == 1)  # type: ignore[misc]
        assert machine.journal.waiting is (mode is FailMode.ALLOW)
        await until(lambda before=before: open_descriptors() <= before)  # type: ignore[misc]
        machine.protection._linked()  # and is gone again: what was kept stays
        await asyncio.sleep(0)
        await machine.stop()
        with closing(Journal(tmp_path / mode)) as journal:
            assert [entry.path for entry in journal.replay()] == [str(file)] * (mode is FailMode.ALLOW)


async def test_what_is_written_without_an_svm_is_kept_for_later(tmp_path: Path, file: Path) -> None:
    """As what is opened is; the settings promise that what is written is looked at."""
    machine = Machine(tmp_path / "state", AccessSettings(Mode.NOTIFY, watch=NOWHERE))
    await machine.start()
    machine.protection._sorting.take([event_of(file, CLOSE_WRITE)])
    await until(lambda: machine.protection.figures()["looked_at"] == 1)
    kept = machine.journal.waiting
    await machine.stop()
    assert kept


async def test_each_event_goes_where_it_belongs(tmp_path: Path, file: Path) -> None:
    """To the gate, to what comes afterwards, or nowhere; those that were lost are looked for."""
    (tmp_path / "file.iso").write_text("hello")
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE, exclude=("*.iso",)))
    await machine.start()
    before = open_descriptors()
    machine.protection._sorting.take([
        event_of(file),
        event_of(tmp_path / "file.iso"),
        event_of(tmp_path / "file.iso", CLOSE_WRITE),
        event_of(file, CLOSE_WRITE),
        Event(OVERFLOW, -1, 0),
    ])  # fmt: skip
    figures = machine.protection.figures
    assert (figures()["asked"], figures()["written"], figures()["missed"]) == (1, 1, 1)
    await until(lambda: figures()["looked_at"] == 1 and figures()["fell_back"] == 1)
    await until(lambda: open_descriptors() <= before)
    await machine.stop()


async def test_an_event_that_fails_takes_no_other_with_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here no descriptor is left for the first one."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    events = [event_of(file), event_of(tmp_path / "state" / "journal"), event_of(file)]
    real, failing = os.dup, iter([True])

    def dup(fd: int) -> int:
        if next(failing, False):
            raise OSError(24, "Too many open files")
        return real(fd)

    monkeypatch.setattr(os, "dup", dup)
    asyncio.get_running_loop().call_soon(machine.protection._sorting.take, events)
    for _ in range(20):
        await asyncio.sleep(0)
    asked = machine.protection.figures()["asked"]
    await machine.stop()
    assert asked == len(events)


async def test_marks_are_lifted_when_signatures_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the grace; what is revoked is asked about at once."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE, stale_grace_seconds=0.0))
    lifted = asyncio.Event()
    monkeypatch.setattr(machine.protection.passing, "watch_all_again", lifted.set)
    machine.line.generation = 8
    machine.protection.generation_changed(8)
    assert not lifted.is_set()
    await asyncio.wait_for(lifted.wait(), 30)
    lifted.clear()
    machine.protection.revoked([bytes(32)])
    assert lifted.is_set()
    await machine.stop()


async def test_another_file_system_in_the_place_of_one_is_looked_at(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of mounts has changed meanwhile."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    kinds = iter(["ext4", "vfat"])
    monkeypatch.setattr(protecting, "file_system_of", lambda _fd: FileSystem(next(kinds)))
    with file.open() as opened_file, closing(MountChanges()) as mounts:
        found = [machine.protection._reliable(opened_file.fileno(), 4711)]
        machine.protection._look(mounts)
        found.append(machine.protection._reliable(opened_file.fileno(), 4711))
    await machine.stop()
    assert found == [True, False]


async def test_what_is_revoked_counts_no_more_until_it_is_forgotten(tmp_path: Path) -> None:
    """And then what comes counts."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    protection = machine.protection
    machine.line.generation = 8
    protection._recent.keep(DIGEST, LinkAnswer(Outcome.NOT_DETECTED, 8, 100.0))
    assert protection._recent.recall(DIGEST) is not None
    protection._bad.heard(DIGEST, LinkAnswer(Outcome.MALICIOUS, 8, 100.0))
    protection.keeper.revoked([DIGEST])
    protection.revoked([DIGEST])
    assert protection._bad.recall(DIGEST) is None
    assert protection.memory.doubts(DIGEST)
    await until(lambda: not protection.memory.doubts(DIGEST))
    assert protection._recent.recall(DIGEST) is None
    await machine.stop()


async def test_what_was_said_before_an_svm_was_away_is_asked_about_again(tmp_path: Path) -> None:
    """Nobody told of what it revoked meanwhile."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    machine.line.generation = 8
    machine.protection._recent.keep(DIGEST, LinkAnswer(Outcome.NOT_DETECTED, 8, 100.0))
    for heard in machine.line.on_link:
        heard()
    assert machine.protection._recent.recall(DIGEST) is None
    await machine.stop()


async def test_files_of_what_is_revoked_are_kept_to_be_looked_for(tmp_path: Path, file: Path) -> None:
    """Until somebody can say what they are: here no SVM answers."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    protection, (key, stamp) = machine.protection, identify(identity(file))
    machine.decisions.keep([(key, encode(stamp, Record(1, 1 << 31, Outcome.NOT_DETECTED, DIGEST)))])
    protection.keeper.revoked([DIGEST])
    protection.revoked([DIGEST])
    await until(lambda: not protection.memory.doubts(DIGEST))
    await machine.stop()
    assert Sought(tmp_path / "state").take() == [Seen(key, stamp, DIGEST)]


async def test_marks_are_not_lifted_when_the_same_svm_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its generation is what it was."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE, stale_grace_seconds=0.0))
    lifted: list[bool] = []
    monkeypatch.setattr(machine.protection.passing, "watch_all_again", lambda: lifted.append(True))
    machine.line.generation = 8
    for _ in range(3):
        machine.protection.generation_changed(8)
    await asyncio.sleep(0.01)
    assert lifted == [True]
    await machine.stop()


async def test_an_event_that_could_not_be_opened_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And said; what was written is looked for."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    machine.protection._sorting.unopened("Too many open files")
    assert (machine.protection.figures()["unread"], machine.protection.reporter.counts["missed"]) == (1, 1)
    assert "an event could not be read: Too many open files" in caplog.text
    await machine.stop()


async def test_a_mount_point_that_is_not_there_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Something may be mounted there later."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    assert "nothing is mounted at /nonexistent" in caplog.text
    await machine.stop()


async def test_a_fault_of_the_exclusions_lets_the_others_be_taken(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the event itself is looked at: a fault excludes nothing."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    before = open_descriptors()

    def fail(_fd: int, _pid: int) -> bool:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(machine.protection.exclusions, "match", fail)
    machine.protection._sorting.take([event_of(file), event_of(file)])
    assert machine.protection.figures()["asked"] == 2
    await until(lambda: machine.protection.figures()["fell_back"] == 2)
    await until(lambda: open_descriptors() <= before + 1)
    assert "a fault" in caplog.text
    await machine.stop()


@pytest.mark.parametrize("name", ["answered_by_the_fail_mode", "watched_when_it_is_mounted"])
def test_it_protects_on_the_real_kernel(tmp_path: Path, name: str) -> None:
    """What is asserted by the function of this name, on file systems of its own."""
    run_apart(globals()[name], tmp_path / "top")


def answered_by_the_fail_mode(top: Path) -> None:
    """Opens are denied where the settings say so, but for what is left out; in the end all go on."""
    for name in ("file", "left.iso", "let"):
        (top / name).mkdir() if name == "let" else (top / name).write_text("hello")
    (top / "let" / "file").write_text("hello")
    settings = AccessSettings(
        watch=(str(top),),
        open_on_failure=FailMode.DENY,
        exclude=("*.iso",),
        on_failure_below={str(top / "let"): FailMode.ALLOW},
    )

    async def protect() -> None:
        machine = Machine(top.parent / "state", settings)
        await machine.start()
        found = [await asyncio.to_thread(opened, top / name) for name in ("file", "left.iso", "let/file")]
        assert found == [False, True, True]
        assert machine.protection.figures()["asked"] == 2
        (top / "file").write_text("the stub itself opens what it likes")
        await machine.stop()
        assert await asyncio.to_thread(opened, top / "file")

    asyncio.run(protect())


def watched_when_it_is_mounted(top: Path) -> None:
    """A file system that comes later is watched from then on."""
    (top / "later").mkdir()
    settings = AccessSettings(watch=(str(top / "later"),), open_on_failure=FailMode.DENY)

    async def protect() -> None:
        machine = Machine(top.parent / "state", settings)
        await machine.start()
        (top / "file").write_text("hello")
        assert await asyncio.to_thread(opened, top / "file")
        await asyncio.to_thread(
            subprocess.run, ["mount", "-t", "tmpfs", "none", str(top / "later")], check=True
        )
        await until(lambda: bool(machine.protection.coverage.watched))
        (top / "later" / "file").write_text("hello")
        assert not await asyncio.to_thread(opened, top / "later" / "file")
        await machine.stop()

    asyncio.run(protect())


@pytest.mark.parametrize(("why", "said"), [("", "told to stop"), ("no sense", "no sense")])
async def test_the_svm_is_to_hear_of_the_start_and_of_the_end(tmp_path: Path, why: str, said: str) -> None:
    """With how it protects, and why it does no more; and it forgets what the SVM has kept."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    journal, [started] = machine.outbox.first(9)
    assert started.kind is EventKind.STUB_STARTED
    assert started.text.endswith("block-open, action block")
    machine.protection.events_kept(journal, started.number)
    assert machine.protection.figures()["told"] == 1
    if why:
        machine.protection._fail(why)
        await asyncio.sleep(0)
    await machine.stop()
    outbox = Outbox(tmp_path / "state")
    assert [(event.kind, event.text) for event in outbox.first(9)[1]] == [(EventKind.STUB_STOPPED, said)]
    outbox.close()


async def test_the_svm_is_to_hear_of_what_the_gate_answered(tmp_path: Path, file: Path) -> None:
    """It is on the disk when the process goes on."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    machine.protection._sorting.take([event_of(file)])
    await until(lambda: machine.protection.figures()["untold"] == 2)
    fallback = machine.outbox.first(9)[1][1]
    assert (fallback.kind, fallback.action, fallback.path) == (
        EventKind.FALLBACK, "allowed", bytes(file)
    )  # fmt: skip
    await machine.stop()


async def test_one_grace_serves_for_many_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last end when they are due; one timer is all that there ever is."""
    clock = Clock(monkeypatch)
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE, stale_grace_seconds=1000.0))
    lifted: list[None] = []
    monkeypatch.setattr(machine.protection.passing, "watch_all_again", lambda: lifted.append(None))
    timers = list[float]()
    real = asyncio.get_running_loop().call_at

    def call_at(when: float, call: Callable[..., object], *arguments: object, **more: Any) -> Any:
        if call == machine.protection._end_grace:
            timers.append(when)
        return real(when, call, *arguments, **more)

    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", call_at)
    for generation in range(8, 500):
        machine.line.generation = generation
        machine.protection.generation_changed(generation)
        clock.forward(1.0)
    assert (len(timers), lifted) == (1, [])
    clock.forward(600.0)  # past the first, not past the last
    await until(lambda: len(lifted) == 1)
    assert len(timers) == 2
    clock.forward(400.0)
    await until(lambda: len(lifted) == 2)
    assert len(timers) == 2
    await machine.stop()


async def test_revocations_without_an_end_make_one_task(tmp_path: Path) -> None:
    """And are trusted when the keeper has forgotten what it knew."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    protection = machine.protection
    before = len(asyncio.all_tasks())
    for number in range(1000):
        digest = number.to_bytes(32, "big")
        protection.keeper.revoked([digest])
        protection.revoked([digest])
    assert len(asyncio.all_tasks()) <= before + 2
    await until(lambda: not protection.memory._doubted)
    await machine.stop()


async def test_what_is_revoked_at_the_end_is_no_fault(tmp_path: Path) -> None:
    """The line is open for longer than what the kernel tells: events are said to the end."""
    machine = Machine(tmp_path / "state", AccessSettings(watch=NOWHERE))
    await machine.start()
    await machine.stop()
    tasks = len(asyncio.all_tasks())
    machine.protection.keeper.revoked([bytes(32)])
    machine.protection.revoked([bytes(32)])
    machine.protection._watch_all_again()
    assert len(asyncio.all_tasks()) == tasks
