"""Tests of when the daemon has its certificate renewed, and what it does about the result."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.identity import renewing as module
from guest_stub.identity.child import Command, run
from guest_stub.identity.renewing import Renewing, pause_before
from guest_stub.identity.store import IdentityStore
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.target import Svm
from tests.support.enrolment_side_server import enrolled, tls_serving
from tests.support.held_files import LABELS, until
from tests.unit.guest_stub.identity.test_kept import SOUND

chances = st.floats(0, 1, exclude_max=True)


class Links:
    """A way to the SVM."""

    def __init__(self) -> None:
        self.current: object | None = self
        self.opened = 0

    def anew(self) -> None:
        """Count."""
        self.opened += 1


def due(directory: Path, seconds_ago: float = 1.0) -> IdentityStore:
    """A store with an identity that is to be renewed since then."""
    store, now = IdentityStore(directory / "state"), time.time()
    with store.open() as opened:
        opened.keep(replace(SOUND, begins=now - 3600, ends=now + 3600, renew_at=now - seconds_ago))
    return store


def program(directory: Path, text: str) -> Command:
    """A program in place of `guest-stub renew`: it notes that it ran, and does what is given."""
    noted = f"open({str(directory / 'ran')!r}, 'a').write('x')\n"
    return Command([sys.executable, "-c", f"import json, sys, time\n{noted}{text}"])


def renews(store: IdentityStore) -> str:
    """What renews: it is not due again for a day."""
    file = str(store.directory / "identity.json")
    return (
        f"said = json.load(open({file!r}))\nsaid['renew_at'] += 86400\n"
        f"json.dump(said, open({file!r}, 'w'))\nprint('renewed')"
    )


@asynccontextmanager
async def running(renewing: Renewing) -> AsyncIterator[None]:
    """It, for the length of a test."""
    task = asyncio.get_running_loop().create_task(renewing.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def runs(directory: Path) -> int:
    """How often the program ran."""
    return (directory / "ran").stat().st_size if (directory / "ran").exists() else 0


async def test_what_is_due_is_renewed_and_another_link_opened(tmp_path: Path) -> None:
    """Once."""
    store, links = due(tmp_path), Links()
    async with running(Renewing(store, links, program(tmp_path, renews(store)))):
        await until(lambda: links.opened == 1)
    assert runs(tmp_path) == 1
    known = store.read()
    assert known is not None
    assert known.renew_at > time.time()


async def test_one_that_fails_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the program's own words; no other link is opened."""
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    failing = "print('more\\nguest-stub: tcp:h:1: the SVM stops', file=sys.stderr)\nsys.exit(2)"
    links = Links()
    async with running(Renewing(due(tmp_path), links, program(tmp_path, failing))):
        await until(lambda: runs(tmp_path) >= 2)
    assert "the certificate of this guest was not renewed: tcp:h:1: the SVM stops" in caplog.messages
    assert links.opened == 0


async def test_without_an_svm_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is, as soon as there is one."""
    monkeypatch.setattr(module, "NO_SVM_SECONDS", 0.01)
    store, links = due(tmp_path), Links()
    links.current = None
    renewing = Renewing(store, links, program(tmp_path, renews(store)))
    looked = 0
    due_in = renewing._due_in

    def counted() -> tuple[float, float]:
        nonlocal looked
        looked += 1
        return due_in()

    monkeypatch.setattr(renewing, "_due_in", counted)
    async with running(renewing):
        await until(lambda: looked > 3)
        assert runs(tmp_path) == 0
        links.current = links
        await until(lambda: links.opened == 1)


@pytest.mark.parametrize("state", ["none", "early", "damaged"])
async def test_what_is_not_due_is_left_alone(tmp_path: Path, state: str) -> None:
    """Nor is a guest disturbed that is not enrolled, or whose file is damaged: doctor says so."""
    store = due(tmp_path, -1000.0) if state == "early" else IdentityStore(tmp_path / "state")
    if state == "damaged":
        due(tmp_path)
        (store.directory / "identity.json").write_text("{")
    seconds, _ = Renewing(store, Links(), Command(["/nowhere"]))._due_in()
    assert seconds > 900 if state == "early" else seconds == module.LOOK_SECONDS


async def test_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And does not hold up the end of the daemon."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    store = due(tmp_path)
    async with running(Renewing(store, Links(), program(tmp_path, "time.sleep(1000)"))):
        await until(lambda: any("took more than 0.2 s" in line for line in caplog.messages))
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1000.0)
    async with running(Renewing(store, Links(), program(tmp_path, "time.sleep(1000)"))):
        await until(lambda: runs(tmp_path) == 2)


async def test_it_begins_as_well_while_grpc_is_at_work(tmp_path: Path) -> None:
    """Each time: what a library does at a fork is none of this program's."""
    store = IdentityStore(tmp_path)
    command = Command(["true"])
    async with tls_serving() as side:
        enrolled(side, store)
        async with await SvmLink.open(Svm(side.target, store.proof), LABELS, 30.0):
            assert {await run(command, 60.0) for _ in range(150)} == {""}


async def test_a_program_that_is_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It ends nothing."""
    async with running(Renewing(due(tmp_path), Links(), Command(["/nowhere/guest-stub"]))):
        await until(lambda: any("No such file or directory" in line for line in caplog.messages))


async def test_what_it_says_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A program gone mad fills no log."""
    mad = "sys.stderr.write('y' * 60000)\nsys.exit(1)"
    async with running(Renewing(due(tmp_path), Links(), program(tmp_path, mad))):
        await until(lambda: any("was not renewed: yyy" in line for line in caplog.messages))
    assert max(map(len, caplog.messages)) < 3000


@given(st.integers(0, 10_000), st.floats(-1e9, 1e9), chances)
def test_a_pause_is_neither_short_nor_long(failures: int, left: float, chance: float) -> None:
    """Shortly before the end, and after it, it is never longer than a tenth of what is left, or a minute."""
    pause = pause_before(failures, left, lambda: chance)
    assert 30 <= pause <= 6 * 3600
    assert pause <= max(left / 10, 60)


def test_pauses_double() -> None:
    """Up to six hours."""
    pauses = [pause_before(failures, 1e9, lambda: 0.5) for failures in range(12)]
    assert pauses[:3] == [45, 90, 180]
    assert pauses[-1] == 4.5 * 3600
