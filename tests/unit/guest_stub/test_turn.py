"""Tests of a scan's turn, on real links."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from guest_stub import line as lines
from guest_stub import turn as turns
from guest_stub.ends import End, Left
from guest_stub.line import Line
from guest_stub.outcome import Outcome
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.values import ScanSlot, ScanState, ScanTask
from guest_stub.tally import Totals
from guest_stub.turn import ScanListener, Turn, kept
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import LABELS, Listener, until

SCAN = bytes(range(16))


@asynccontextmanager
async def turning(
    directory: Path, grants: bool = False
) -> AsyncIterator[tuple[Turn, GuestSideServer, "asyncio.Task[None]"]]:
    """A turn that is kept on a line of its own, the server, and the task that keeps it."""
    turn = Turn(SCAN)
    async with (
        serving(directory / "svm.sock", Behaviour(grants=grants)) as server,
        await Line.open(server.target, LABELS, ScanListener(turn, Listener())) as line,
        kept(turn, line) as keeping,
    ):
        yield turn, server, keeping


async def test_it_waits_until_it_is_granted_a_slot(tmp_path: Path) -> None:
    """The scan's threads wait meanwhile, and who would ask has no link."""
    async with turning(tmp_path) as (turn, server, _):
        await until(lambda: server.states(SCAN) == ["WAITING"])
        asking = asyncio.get_running_loop().create_task(turn.link())
        assert (turn.pause.holds, turn.waiting.is_set(), turn.granted.is_set()) == (True, True, False)
        await server.grant(SCAN)
        assert await asking is turn.current
        assert (turn.pause.holds, turn.waiting.is_set(), turn.granted.is_set()) == (False, False, True)
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING"])


async def test_a_slot_that_is_taken_back_pauses_it(tmp_path: Path) -> None:
    """That is said, once; a word that it knows already changes nothing."""
    async with turning(tmp_path, grants=True) as (turn, server, _):
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING"])
        server.behaviour.grants = False
        await server.grant(SCAN, granted=False)
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING", "WAITING"])
        await server.grant(SCAN, granted=False)
        assert turn.pause.holds
        await server.grant(SCAN)
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING", "WAITING", "RUNNING"])
        assert [each.state for each in server.scans].count(guest_pb2.SCAN_STATE_WAITING) == 2


async def test_another_scans_slot_is_none(tmp_path: Path) -> None:
    """Nor is a task of the daemon's."""
    turn = Turn(SCAN)
    listener = ScanListener(turn, Listener())
    listener.scan_told(ScanSlot(bytes(16), granted=True))
    listener.scan_told(ScanTask(SCAN))
    assert not turn.granted.is_set()


async def test_a_lost_svm_takes_the_slot_with_it(tmp_path: Path) -> None:
    """The scan pauses, says why, and asks the next link for a slot."""
    async with turning(tmp_path, grants=True) as (turn, server, _):
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING"])
        server.behaviour.grants = False
        first = turn.current
        server.end_attach()
        await turn.waiting.wait()
        assert turn.pause.holds
        assert "attached anew" in turn.away
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING", "WAITING"])
        assert turn.away == ""
        await server.grant(SCAN)
        assert await turn.link() is not first


async def test_an_svm_that_is_gone_for_good_is_told_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who keeps the turn, and who waits for a link."""
    monkeypatch.setattr(lines, "PATIENCE_SECONDS", 0.2)
    turn = Turn(SCAN)
    async with serving(tmp_path / "svm.sock", Behaviour(grants=False)) as server:
        line = await Line.open(server.target, LABELS, ScanListener(turn, Listener()))
    async with line, kept(turn, line) as keeping:
        asking = asyncio.get_running_loop().create_task(turn.link())
        with pytest.raises(SvmUnreachable, match="nor did it come back"):
            await keeping
        with pytest.raises(SvmUnreachable, match="nor did it come back"):
            await asking


async def test_it_says_now_and_then_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs."""
    monkeypatch.setattr(turns, "SAY_SECONDS", 0.01)
    async with turning(tmp_path, grants=True) as (turn, server, _):
        turn.totals = lambda: Totals(ends={Outcome.NOT_DETECTED: len(server.scans)})
        await until(lambda: len(server.scans) > 5 and server.scans[-1].files > server.scans[2].files)


async def test_the_end_is_the_last_word(tmp_path: Path) -> None:
    """With the counts of the scan; those without a verdict are files, and what was interrupted is none."""
    async with turning(tmp_path, grants=True) as (turn, server, keeping):
        await turn.granted.wait()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        ends: dict[End, int] = {
            Outcome.NOT_DETECTED: 5, Outcome.MALICIOUS: 1, Outcome.SUSPICIOUS: 2, Outcome.TOO_LARGE: 3,
            Left.INTERRUPTED: 7, Left.SYMLINK: 9,
        }  # fmt: skip
        turn.totals = lambda: Totals(seen=27, ends=ends, bytes=1000)
        turn.expected_files = 40
        await turn.end(turn.status(ScanState.INCOMPLETE, "why"))
        await until(lambda: server.states(SCAN)[-1] == "INCOMPLETE")
        assert server.scans[-1] == guest_pb2.ScanStatus(
            scan=SCAN, state=guest_pb2.SCAN_STATE_INCOMPLETE, files=11, bytes=1000, malicious=1, suspicious=2,
            unanswered=3, expected_files=40, text="why",
        )  # fmt: skip


async def test_a_word_that_is_broken_off_leaves_the_link(tmp_path: Path) -> None:
    """Whoever gives up in the midst of saying something has not ended what others use."""
    async with turning(tmp_path, grants=True) as (turn, server, keeping):
        await turn.granted.wait()
        link = turn.current
        for _ in range(20):
            saying = asyncio.get_running_loop().create_task(
                link.send_scan_status(turn.status(ScanState.RUNNING))
            )
            await asyncio.sleep(0)
            saying.cancel()
        keeping.cancel()
        await link.send_scan_status(turn.status(ScanState.DONE))
        await until(lambda: server.states(SCAN)[-1] == "DONE")
        assert not link.lost.is_set()


async def test_what_else_the_svm_says_goes_to_the_keeper() -> None:
    """Generations and revocations; whether events are kept is nobody's business here."""
    keeper = Listener()
    listener = ScanListener(Turn(SCAN), keeper)
    listener.generation_changed(5)
    listener.revoked([SCAN])
    listener.events_kept(SCAN, 1)
    assert (keeper.generations, keeper.digests, keeper.kept) == ([5], [SCAN], [])
