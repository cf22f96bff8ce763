"""Tests of one ordered scan: what it scans, and how it says that it ended."""

from pathlib import Path
from threading import Event

import pytest
from lightagent.v1 import guest_pb2

from guest_stub.ends import DirectoryLeft
from guest_stub.ordered import running
from guest_stub.tally import Totals
from guest_stub.walk import Selection
from tests.support.ordered import daemon, name, task


async def test_a_path_that_is_not_there_makes_it_incomplete(tmp_path: Path) -> None:
    """The others are scanned; how many more there are is said."""
    top = tmp_path / "top"
    paths = [f"{top}/f1", f"{top}/none", f"{top}/nor"]
    async with daemon(tmp_path, tasks=[task(1, *paths)]) as it:
        ended = await it.ended(1)
        assert (ended.state, ended.files) == (guest_pb2.SCAN_STATE_INCOMPLETE, 1)
        assert ended.text == f"{top}/none is not there; and 1 more paths were not scanned"


async def test_where_nothing_is_protected_nothing_was_scanned(tmp_path: Path) -> None:
    """Nobody is to take that for a guest in which nothing was found."""
    async with daemon(tmp_path, tasks=[task(1)], watched=False) as it:
        ended = await it.ended(1)
        assert ended.state == guest_pb2.SCAN_STATE_INCOMPLETE
        assert ended.text == "nothing is protected here: see guest-stub doctor"


async def test_an_order_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """It is not taken for one of everything."""
    async with daemon(tmp_path, tasks=[task(1, "relative")]) as it:
        ended = await it.ended(1)
        assert ended.state == guest_pb2.SCAN_STATE_INCOMPLETE
        assert ended.text == "the order is not one: at most 64 paths, all absolute"
        assert it.report.files == []


async def test_the_next_one_knows_how_many_files_there_are(tmp_path: Path) -> None:
    """As the last whole one counted them."""
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        assert (await it.ended(1)).expected_files == 0
        await it.order(task(2))
        ended = await it.ended(2)
        assert (ended.expected_files, ended.files) == (4, 4)


async def test_files_that_were_decided_on_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one scan learnt is on record for the next, and for who opens them."""
    monkeypatch.setattr("guest_stub.looking.SAME_TICK_NS", -(10**12))  # the files were written just now
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        await it.ended(1)
        asked = len(it.server.check_requests)
        await it.order(task(2))
        assert (await it.ended(2)).files == 4
        assert len(it.server.check_requests) == asked


async def test_a_path_that_does_not_answer_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it hold up the loop, on which opens are answered."""
    answers = Event()

    def look(*_: object) -> None:
        answers.wait()

    monkeypatch.setattr(running, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(running, "selection_of", look)
    try:
        async with daemon(tmp_path, tasks=[task(1)]) as it:
            ended = await it.ended(1)
            assert (ended.state, ended.text) == (
                guest_pb2.SCAN_STATE_INCOMPLETE, "a path does not answer within 0.05 s",
            )  # fmt: skip
    finally:
        answers.set()


async def test_a_fault_of_its_turn_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for a slot of which it will never hear."""

    async def keep(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("guest_stub.turn.Turn.keep", keep)
    async with daemon(tmp_path, tasks=[task(1)]) as it:
        ended = await it.ended(1)
        assert (ended.state, ended.text) == (
            guest_pb2.SCAN_STATE_INCOMPLETE, "the stub failed: RuntimeError('a bug')",
        )  # fmt: skip
        assert it.server.states(name(1)) == ["INCOMPLETE"]


def test_directories_that_could_not_be_read_are_told_of() -> None:
    """The scan is done, and somebody may want to know."""
    left = Totals(directories_left={DirectoryLeft.UNREADABLE: 2, DirectoryLeft.EXCLUDED: 3})
    assert running._ended(Selection(("/",)), [], left)[1] == "2 directories could not be read"
    assert running._ended(Selection(("/",)), [], Totals())[1] == ""
