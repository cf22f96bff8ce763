"""Tests of what becomes of orders, through a real link and scans of real trees."""

import asyncio
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from guest_stub.ordered import orders as module
from guest_stub.ordered import running
from guest_stub.svm_link.values import ScanTask
from tests.support.held_files import until
from tests.support.ordered import daemon, name, task


async def test_what_is_ordered_is_done_and_said(tmp_path: Path) -> None:
    """Everything that is protected, but what is left out."""
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        ended = await it.ended(1)
        assert it.server.states(name(1)) == ["WAITING", "RUNNING", "DONE"]
        assert (ended.files, ended.unanswered, ended.text) == (4, 0, "")
        assert it.orders.counts == {"scans": 1, "scans_done": 1}
        assert sorted(it.report.ends) == [f"{it.top}/f{number}" for number in range(5)]


async def test_one_is_done_at_a_time(tmp_path: Path) -> None:
    """In the order that they came; of those that wait nothing is said, so that they hold no slot."""
    async with daemon(tmp_path, grants=False, tasks=[task(1), task(2), task(1)]) as it:
        await until(lambda: it.server.states(name(1)) == ["WAITING"])
        await it.server.grant(name(2))  # which it has no use for yet
        await it.server.grant(name(1))
        assert (await it.ended(1)).state == guest_pb2.SCAN_STATE_DONE
        await until(lambda: it.server.states(name(2)) == ["WAITING"])
        await it.server.grant(name(2))
        assert (await it.ended(2)).state == guest_pb2.SCAN_STATE_DONE
        first, second = (
            [at for at, each in enumerate(it.server.scans) if each.scan == name(number)] for number in (1, 2)
        )
        assert max(first) < min(second)
        assert it.orders.counts["scans"] == 2


async def test_an_end_that_was_not_heard_is_said_again(tmp_path: Path) -> None:
    """And nothing is scanned again."""
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        ended = await it.ended(1)
        it.server.scans.clear()
        it.server.end_attach()
        assert await it.ended(1) == ended
        assert it.server.states(name(1)) == ["DONE"]
        assert it.orders.counts["scans"] == 1


async def test_ends_are_forgotten_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SVM that orders a scan again which is long over has it anew."""
    monkeypatch.setattr(module, "MOST_ENDS", 1)
    async with daemon(tmp_path) as it:
        await it.order(task(1), task(2))
        await it.ended(2)
        it.server.scans.clear()
        await it.order(task(1))
        await it.ended(1)
        assert it.server.states(name(1)) == ["WAITING", "RUNNING", "DONE"]


@pytest.mark.parametrize("number", [1, 2])
async def test_what_is_called_off_ends(tmp_path: Path, number: int) -> None:
    """Whether it has its turn or waits for that; the other is done."""
    async with daemon(tmp_path, grants=False, tasks=[task(1), task(2)]) as it:
        await until(lambda: it.server.states(name(1)) == ["WAITING"])
        it.server.behaviour.grants = True
        await it.order(task(number, cancelled=True))
        ended = await it.ended(number)
        assert (ended.state, ended.text) == (guest_pb2.SCAN_STATE_CANCELLED, "it was called off")
        await it.server.grant(name(3 - number))
        assert (await it.ended(3 - number)).state == guest_pb2.SCAN_STATE_DONE


async def test_what_is_not_known_or_over_is_called_off_in_silence(tmp_path: Path) -> None:
    """There is nothing to say of it."""
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        await it.ended(1)
        await it.order(task(1, cancelled=True), task(3, cancelled=True), task(2))
        await it.ended(2)
        assert it.server.states(name(1))[-1] == "DONE"
        assert it.server.states(name(3)) == []


async def test_no_more_wait_than_there_are_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, with what to do."""
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    async with daemon(tmp_path, grants=False) as it:
        await it.order(task(1))
        await until(lambda: it.server.states(name(1)) == ["WAITING"])
        await it.order(task(2), task(3), task(4))
        ended = await it.ended(4)
        assert ended.state == guest_pb2.SCAN_STATE_INCOMPLETE
        assert "2 ordered scans wait in this guest already" in ended.text
        assert it.server.states(name(3)) == []


async def test_a_fault_of_ours_ends_one_scan_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    async with daemon(tmp_path) as it:
        with monkeypatch.context() as patch:
            patch.setattr(running, "selection_of", fail)
            await it.order(task(1))
            ended = await it.ended(1)
            assert (ended.state, ended.text) == (
                guest_pb2.SCAN_STATE_INCOMPLETE, "the stub failed: RuntimeError('a bug')",
            )  # fmt: skip
        await it.order(task(2))
        assert (await it.ended(2)).state == guest_pb2.SCAN_STATE_DONE


async def test_closing_breaks_a_scan_off(tmp_path: Path) -> None:
    """Nothing is said of it: the SVM orders it again of the next daemon."""
    async with daemon(tmp_path, grants=False, tasks=[task(1)]) as it:
        await until(lambda: it.server.states(name(1)) == ["WAITING"])
        await it.orders.close()
        assert it.server.states(name(1)) == ["WAITING"]


async def test_a_scan_outlives_its_svm(tmp_path: Path) -> None:
    """It pauses, and goes on with a slot of the next one."""
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        await it.ended(1)
        it.server.behaviour.on_check = lambda _: []
        (it.top / "new").write_bytes(b"new")
        await it.order(task(2))
        await until(lambda: bool(it.server.check_requests) and it.server.states(name(2))[-1:] == ["RUNNING"])
        it.server.behaviour.on_check, it.server.behaviour.grants = None, False
        it.server.end_attach()
        await until(lambda: it.server.states(name(2)) == ["WAITING", "RUNNING", "WAITING"])
        await it.server.grant(name(2))
        ended = await it.ended(2)
        assert (ended.state, ended.files) == (guest_pb2.SCAN_STATE_DONE, 5)
        assert it.orders.counts["scans"] == 2


async def test_words_that_cannot_be_said_are_bounded(tmp_path: Path) -> None:
    """However many orders an SVM sends of which it hears nothing."""
    async with daemon(tmp_path, grants=False) as it:
        await it.order(task(1))
        await until(lambda: it.server.states(name(1)) == ["WAITING"])
        before = len(asyncio.all_tasks())
        for number in range(2, 500):
            it.orders.scan_told(ScanTask(number.to_bytes(16, "big"), sound=False))
        assert len(it.orders._unsaid) <= module.MOST_UNSAID
        assert len(asyncio.all_tasks()) <= before + 1
