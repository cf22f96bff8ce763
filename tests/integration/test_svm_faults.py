"""A real `svm serve` while something under it fails: guests are answered, and nothing is half-written."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightagent.v1 import verdict_pb2

from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import EventKind, GuestEvent, HelloLabels
from tests.support import commands
from tests.support.apart import ROOT
from tests.support.commands import Ran
from tests.support.contents import EICAR
from tests.support.disks import Disk, failing_disk, small_disk
from tests.support.held_files import Listener
from tests.support.svm import DEADLINE, RawGuest, digest_of, until
from tests.support.svm_process import SvmProcess, svm_process

NOT_DETECTED, MALICIOUS = verdict_pb2.OUTCOME_NOT_DETECTED, verdict_pb2.OUTCOME_MALICIOUS
CLEAN, NEEDED = verdict_pb2.OUTCOME_CLEAN, verdict_pb2.OUTCOME_CONTENT_NEEDED
SMALL = "[cache]\nmap_mib = 8\n"
JOURNAL = b"j" * 16


async def judged(guest: RawGuest, content: bytes) -> int:
    """What becomes of a content that the guest asks about, and sends where that is wanted."""
    reply = await guest.ask(digest_of(content))
    if reply.outcomes[0] != NEEDED:
        return int(reply.outcomes[0])
    return int((await guest.send(reply.details[0].lease, content)).outcome)


async def overruled(directory: Path, content: bytes, *words: str) -> Ran:
    """Set an override, and see what the command says."""
    return await asked(
        directory, "verdicts", "set", digest_of(content).hex(), "--reason", "test", *(words or ("--allow",))
    )


async def asked(directory: Path, *words: str) -> Ran:
    """Run a command of an administrator."""
    return await asyncio.to_thread(commands.svm_program, *words, "--socket", directory / "admin.sock")


async def audited(directory: Path) -> int:
    """How many changes the audit knows."""
    return len((await asked(directory, "audit", "--json")).json)


@asynccontextmanager
async def attached(svm: SvmProcess) -> AsyncIterator[tuple[RawGuest, SvmLink, Listener]]:
    """A guest by hand, and one that reports events."""
    heard = Listener()
    async with (
        RawGuest.connect(svm) as guest,
        await SvmLink.open(svm.target, HelloLabels("test"), 30.0, heard) as link,
    ):
        yield guest, link, heard


async def goes_on_without_its_disk(svm: SvmProcess, guest: RawGuest) -> None:
    """Guests are answered, also about what is new; a change of an administrator is refused, whole."""
    assert await judged(guest, b"known") == NOT_DETECTED
    assert await judged(guest, b"new") == NOT_DETECTED
    assert await judged(guest, EICAR) == MALICIOUS
    assert await judged(guest, b"new") == NOT_DETECTED
    before = await audited(svm.directory)
    refused = await overruled(svm.directory, b"refused", "--block")
    assert refused.code == 2
    assert "state.lmdb cannot be written" in refused.err
    assert "nothing was written; free room on its disk" in refused.err
    assert await audited(svm.directory) == before
    assert await judged(guest, b"refused") == NOT_DETECTED
    await until(lambda: '"cache problem"' in svm.log, "the log says that the cache cannot be written")


async def test_a_full_disk_while_it_serves(tmp_path: Path) -> None:
    """Verdicts go on from memory; events wait with the guests until there is room, and none is lost."""
    with small_disk(tmp_path / "state", 24) as disk:
        with svm_process(tmp_path, SMALL, within=disk.within) as svm:
            async with attached(svm) as (guest, link, heard):
                assert await judged(guest, b"known") == NOT_DETECTED
                assert (await overruled(tmp_path, b"allowed")).code == 0
                disk.fill()
                await link.send_events(JOURNAL, [GuestEvent(1, EventKind.ACTION, 5.0, path=b"/x")])
                await goes_on_without_its_disk(svm, guest)
                await until(lambda: '"events problem"' in svm.log, "the log says so of events")
                assert heard.kept == []
                disk.free()
                await until(lambda: heard.kept == [(JOURNAL, 1)], "the event is kept once there is room")
                assert (await overruled(tmp_path, b"after")).code == 0
            svm.signal(signal.SIGKILL)
            svm.wait()
        disk.fill()
        with svm_process(tmp_path, SMALL, within=disk.within) as svm:  # it starts without any room
            async with RawGuest.connect(svm) as guest:
                outcomes = [await judged(guest, content) for content in (b"allowed", b"after", b"newer")]
                assert outcomes == [CLEAN, CLEAN, NOT_DETECTED]
            disk.free()
            told = await asked(tmp_path, "events", "--kind", "action", "--json")
            assert [event["said"]["number"] for event in told.json] == [1]


async def test_a_first_start_without_room_is_a_sentence(tmp_path: Path) -> None:
    """No signal of the kernel ends it, and with room it starts as if nothing had been."""
    with small_disk(tmp_path / "state", 24) as disk:
        disk.fill()
        with pytest.raises(RuntimeError, match="cannot be opened: No space left"):
            start(tmp_path, disk)
        disk.free()
        start(tmp_path, disk)


def start(directory: Path, disk: Disk) -> None:
    """Have an SVM start; raises RuntimeError with its log where it does not."""
    with svm_process(directory, SMALL, within=disk.within):
        pass


async def test_a_read_only_directory_at_the_start_is_a_sentence(tmp_path: Path) -> None:
    """Whether it has a state or not."""
    with small_disk(tmp_path / "state", 24) as disk:
        for _ in range(2):
            disk.run("mount", "-o", "remount,ro", str(tmp_path / "state"))
            with pytest.raises(RuntimeError, match=r"state\.lmdb cannot be opened: Read-only file system"):
                start(tmp_path, disk)
            disk.run("mount", "-o", "remount,rw", str(tmp_path / "state"))
            start(tmp_path, disk)


@pytest.mark.skipif(
    not Path("/dev/loop-control").exists(), reason="a disk that breaks down needs a loop device"
)
async def test_a_disk_that_becomes_read_only_while_it_serves(tmp_path: Path) -> None:
    """It goes on, stops in order, and finds all that was acknowledged when the disk is mended."""
    with failing_disk(tmp_path / "state", 32) as disk:
        with svm_process(tmp_path, SMALL, within=disk.within) as svm:
            async with RawGuest.connect(svm) as guest:
                assert await judged(guest, b"known") == NOT_DETECTED
                assert (await overruled(tmp_path, b"allowed")).code == 0
                disk.break_down()
                await goes_on_without_its_disk(svm, guest)
            svm.signal(signal.SIGTERM)
            assert await asyncio.to_thread(svm.wait) == 0
        disk.mend()
        with svm_process(tmp_path, SMALL, within=disk.within) as svm:
            assert '"events begin anew"' not in svm.log  # the cache, which is not synced, may be
            async with RawGuest.connect(svm) as guest:
                assert await judged(guest, b"allowed") == CLEAN
            assert await audited(tmp_path) == 1


async def test_a_state_that_is_as_large_as_it_may_be(tmp_path: Path) -> None:
    """A change is refused with a sentence, guests are answered, and what was acknowledged is in force."""
    program, done = ("tests.support.small_state", "256"), 0
    with svm_process(tmp_path, program=program) as svm:
        async with RawGuest.connect(svm) as guest:
            socket = tmp_path / "admin.sock"
            while True:
                words = ("verdicts", "set", digest_of(b"%d" % done).hex(), "--allow", "--reason", "x" * 500)
                ran = await asyncio.to_thread(commands.svm, *words, "--socket", socket)
                if ran.code:
                    break
                done += 1
            assert "state.lmdb cannot be written" in ran.err
            assert "nothing was written; it is as large as it may become" in ran.err
            assert await judged(guest, b"new") == NOT_DETECTED
            assert await judged(guest, b"%d" % (done - 1)) == CLEAN
            assert await judged(guest, b"%d" % done) == NOT_DETECTED
    with svm_process(tmp_path, program=program):
        assert 10 < await audited(tmp_path) == done


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """The file that says by how many seconds the SVM's clock on the wall is off."""
    (tmp_path / "clock").write_text("0")
    return tmp_path / "clock"


async def test_a_clock_that_goes_back_an_hour(tmp_path: Path, clock: Path) -> None:
    """Guests are answered as before, events keep their order, and an override ends by the clock."""
    path = f"{ROOT / 'tests/support/shifted_clock'}:{ROOT}:{ROOT / 'protos'}"
    within = ("env", f"PYTHONPATH={path}", f"CLOCK_SHIFT_FILE={clock}")
    with svm_process(tmp_path, within=within) as svm:
        async with RawGuest.connect(svm) as guest:
            assert await judged(guest, b"known") == NOT_DETECTED
            assert (await overruled(tmp_path, b"first", "--allow", "--expires", "30m")).code == 0
            set_clock(clock, -3600)
            assert await judged(guest, b"known") == NOT_DETECTED
            assert await judged(guest, EICAR) == MALICIOUS
            assert (await overruled(tmp_path, b"second")).code == 0
            await until_told(tmp_path, "override", [digest_of(b"first").hex(), digest_of(b"second").hex()])
        svm.signal(signal.SIGKILL)
        svm.wait()
    with svm_process(tmp_path, within=within) as svm:
        assert "set aside" not in svm.log
        async with RawGuest.connect(svm) as guest:
            known = [await judged(guest, content) for content in (b"first", b"second", b"known", EICAR)]
            assert known == [CLEAN, CLEAN, NOT_DETECTED, MALICIOUS]
            set_clock(clock, 3600)
            async with asyncio.timeout(DEADLINE):
                while await judged(guest, b"first") == CLEAN:
                    pass
            assert await judged(guest, b"second") == CLEAN


def set_clock(clock: Path, seconds: int) -> None:
    """Set it in one step: the SVM may look at any time."""
    clock.with_suffix(".new").write_text(str(seconds))
    os.replace(clock.with_suffix(".new"), clock)


async def until_told(directory: Path, kind: str, digests: list[str]) -> None:
    """Return when the events of a kind tell of these digests, in this order."""
    told: list[str] = []
    async with asyncio.timeout(DEADLINE):
        while told != digests:
            ran = await asked(directory, "events", "--kind", kind, "--json")
            told = [event["digest"] for event in ran.json]
