"""Tests of how a scan waits for its slot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from guest_stub.cli import patience as patiences
from guest_stub.cli.patience import Patience
from guest_stub.turn import Turn
from tests.support.held_files import until

SCAN = bytes(16)
BUSY = "waiting for a slot: the host is busy"


@asynccontextmanager
async def minding(
    monkeypatch: pytest.MonkeyPatch, seconds: float, before: float = 0.0
) -> AsyncIterator[tuple[Turn, Patience, list[str], "asyncio.Task[str]"]]:
    """A turn without a slot, its patience, what it noted, and its end."""
    monkeypatch.setattr(patiences, "SAY_SECONDS", before)
    turn, notes = Turn(SCAN), list[str]()
    patience = Patience(turn, seconds, notes.append)
    task = asyncio.get_running_loop().create_task(patience.run_out())
    try:
        yield turn, patience, notes, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_wait_is_said_once_until_there_is_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them."""
    async with minding(monkeypatch, 1000) as (turn, patience, notes, _):
        await until(lambda: patience.shown == BUSY)
        turn.slot(granted=True)
        await until(lambda: patience.shown == "")
        turn.slot(granted=False)
        await until(lambda: patience.shown == BUSY)
        assert notes == [BUSY, BUSY]


async def test_a_slot_that_comes_at_once_is_worth_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it mostly does."""
    async with minding(monkeypatch, 1000, before=1000) as (turn, patience, notes, task):
        turn.slot(granted=True)
        for _ in range(10):
            await asyncio.sleep(0)
        assert (patience.shown, notes, task.done()) == ("", [], False)


async def test_patience_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before a word was said; it tells for how long it was and what to do."""
    async with minding(monkeypatch, 0.01, before=1000) as (_, patience, notes, task):
        assert await task == (
            "no slot for a scan within 0.01 s, since the host is busy: "
            "try again later, or wait longer with --patience"
        )
        assert (patience.shown, notes) == ("", [])


async def test_an_svm_that_is_gone_is_no_busy_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said is why."""
    async with minding(monkeypatch, 1000) as (turn, patience, _, _task):
        turn.lost("it \x1b stopped")
        await until(lambda: patience.shown == "waiting for the SVM, which is gone: it \\x1b stopped")
