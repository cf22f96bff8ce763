"""Tests of whole scans, through a real gRPC server without engines."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event, current_thread

import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from guest_stub import line, on_demand
from guest_stub.ends import Left
from guest_stub.on_demand import Manner, Scan
from guest_stub.outcome import Outcome
from guest_stub.pausing import Pause
from guest_stub.reading import PIECE_BYTES
from guest_stub.room import Room
from guest_stub.walk import Selection
from tests.support.guest_side_server import Behaviour, Received, serving
from tests.support.held_files import until
from tests.support.stub_scans import Guest, Told, counts, later


@asynccontextmanager
async def guest(tmp_path: Path, behaviour: Behaviour | None = None) -> AsyncIterator[Guest]:
    """A guest of a new server."""
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        yield Guest(server, tmp_path / "state")


def tree(top: Path, count: int = 20) -> Path:
    """A tree of files with different contents."""
    for number in range(count):
        path = top / f"d{number % 3}" / f"f{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % number)
    return top


def digest(path: Path) -> bytes:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).digest()


async def test_a_first_scan_sends_what_nobody_knows(tmp_path: Path) -> None:
    """Every file is read, asked about, sent, and counted once."""
    top = tree(tmp_path / "t")
    async with guest(tmp_path) as it:
        totals = await it.scan(top)
        assert counts(totals) == {"NOT_DETECTED": 20}
        assert (totals.later, totals.at_once, totals.from_decisions) == (20, 0, 0)
        assert totals.bytes == totals.bytes_read == totals.bytes_sent > 0
        assert {bytes(upload.data) for upload in it.server.uploads} == {b"content %d" % n for n in range(20)}
        assert it.report.ends == {str(path): Outcome.NOT_DETECTED for path in top.rglob("f*")}


async def test_a_second_scan_asks_and_reads_nothing(tmp_path: Path) -> None:
    """Kept decisions answer for files that nobody has changed; a changed one is read."""
    top = tree(tmp_path / "t")
    async with guest(tmp_path) as it:
        await it.scan(top)
        asked = len(it.server.check_requests)
        totals = await it.scan(top)
        assert (totals.from_decisions, totals.bytes_read, len(it.server.check_requests)) == (20, 0, asked)
        (top / "d0" / "f000").write_bytes(b"something else")
        totals = await it.scan(top)
        assert (totals.from_decisions, totals.bytes_read) == (19, 14)
        assert bytes(it.server.uploads[-1].data) == b"something else"


async def test_a_new_generation_asks_without_reading(tmp_path: Path) -> None:
    """The digests are known, so the files need not be hashed."""
    top = tree(tmp_path / "t")
    async with guest(tmp_path) as it:
        await it.scan(top)
        it.server.behaviour.generation = 8
        it.server.known = {digest(path): Outcome.NOT_DETECTED for path in top.rglob("f*")}
        totals = await it.scan(top)
        assert (totals.at_once, totals.known_digests, totals.bytes_read) == (20, 20, 0)
        totals = await it.scan(top)
        assert totals.from_decisions == 20


async def test_detections_are_reported_and_kept(tmp_path: Path) -> None:
    """Threat, engine, member and digest come from the SVM, and the next time from what was kept."""
    top = tree(tmp_path / "t", 3)
    bad = top / "d1" / "f001"
    async with guest(tmp_path) as it:
        it.server.known[digest(bad)] = Outcome.MALICIOUS
        for kept in (False, True):
            it.report = Told()
            totals = await it.scan(top)
            assert counts(totals) == {"NOT_DETECTED": 2, "MALICIOUS": 1}
            [found] = [file for file in it.report.files if file.end is Outcome.MALICIOUS]
            assert (found.path, found.threat, found.engine) == (str(bad), "Eicar-Test-Signature", "eicar")
            assert (found.member, found.sha256, found.kept) == ("a/b.com", digest(bad), kept)


async def test_files_that_were_just_written_are_not_kept(tmp_path: Path) -> None:
    """They may change within the tick of their clock, and are read again."""
    top = tree(tmp_path / "t", 5)
    async with guest(tmp_path) as it:
        it.manner = Manner(threads=1)
        await it.scan(top)
        totals = await it.scan(top)
        assert (totals.from_decisions, totals.at_once + totals.later) == (0, 5)


async def test_unanswered_files_are_asked_about_again(tmp_path: Path) -> None:
    """What has no verdict is never kept as if it had one; only its digest is."""
    top = tree(tmp_path / "t", 2)
    async with guest(tmp_path) as it:
        it.server.known = {digest(path): Outcome.ENCRYPTED for path in top.rglob("f*")}
        assert counts(await it.scan(top)) == {"ENCRYPTED": 2}
        it.server.known = {digest(path): Outcome.CLEAN for path in top.rglob("f*")}
        totals = await it.scan(top)
        assert counts(totals) == {"CLEAN": 2}
        assert (totals.known_digests, totals.bytes_read) == (2, 0)


async def test_every_entry_ends_once(tmp_path: Path) -> None:
    """A tree with one of each kind: the sum of all ends is what was seen."""
    top = tree(tmp_path / "t", 4)
    os.mkfifo(top / "fifo")
    (top / "link").symlink_to("d0")
    os.link(top / "d0" / "f000", top / "hard")
    (top / "skip.iso").write_text("x")
    (top / "big").write_bytes(bytes(1000))
    with (top / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    async with guest(tmp_path) as it:
        selection = Selection((), exclude=("*.iso",), sparse_limit=1 << 30)
        totals = await it.scan(top, selection=selection)
        assert counts(totals) == {
            "NOT_DETECTED": 5, "FIFO": 1, "SYMLINK": 1, "HARD_LINK": 1, "EXCLUDED": 1, "TOO_LARGE": 1,
        }  # fmt: skip
        assert totals.seen == 10


async def test_a_file_over_the_svms_limit_is_asked_about_by_digest(tmp_path: Path) -> None:
    """It may be known by an override; else it ends as TOO_LARGE, and its content is not sent."""
    top = tree(tmp_path / "t", 1)
    (top / "large").write_bytes(os.urandom(5000))
    async with guest(tmp_path) as it:
        it.server.behaviour.policy.max_file_bytes = 4000
        assert counts(await it.scan(top)) == {"NOT_DETECTED": 1, "TOO_LARGE": 1}
        it.server.known[digest(top / "large")] = Outcome.CLEAN
        totals = await it.scan(top)
        assert counts(totals) == {"NOT_DETECTED": 1, "CLEAN": 1}
        assert totals.bytes_sent == 0


async def test_a_file_that_changes_before_its_upload_is_looked_at_again(tmp_path: Path) -> None:
    """The SVM refuses content that is not the digest's; the file is hashed anew and answered."""
    top = tree(tmp_path / "t", 1)
    changed = top / "d0" / "f000"

    def on_check(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        if len(it.server.check_requests) == 1:
            changed.write_bytes(b"CONTENT 0")
        return it.server.sound_replies(request)

    async with guest(tmp_path, Behaviour(on_check=on_check)) as it:
        totals = await it.scan(top)
        assert counts(totals) == {"NOT_DETECTED": 1}
        assert it.report.files[-1].sha256 == hashlib.sha256(b"CONTENT 0").digest()


async def test_a_file_that_changes_before_every_upload_is_named(tmp_path: Path) -> None:
    """After a few looks it ends as CHANGED, and nothing is kept of it."""
    top = tree(tmp_path / "t", 1)
    changed = top / "d0" / "f000"

    def on_check(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        changed.write_bytes(b"CONTENT %d" % len(it.server.check_requests))
        return it.server.sound_replies(request)

    async with guest(tmp_path, Behaviour(on_check=on_check)) as it:
        assert counts(await it.scan(top)) == {"CHANGED": 1}
        assert len(it.server.check_requests) == 3


async def test_a_file_that_vanishes_before_its_upload_is_no_failure(tmp_path: Path) -> None:
    """What is not there any more needs no answer."""
    top = tree(tmp_path / "t", 1)

    def on_check(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        (top / "d0" / "f000").unlink(missing_ok=True)
        return it.server.sound_replies(request)

    async with guest(tmp_path, Behaviour(on_check=on_check)) as it:
        totals = await it.scan(top)
        assert counts(totals) == {"VANISHED": 1}
        assert totals.failed == 0


def linked(top: Path) -> list[Path]:
    """A file with three names; the walk meets them in their order."""
    top.mkdir()
    paths = [top / name for name in "abc"]
    paths[0].write_bytes(b"linked content")
    for path in paths[1:]:
        os.link(paths[0], path)
    return paths


async def test_a_file_with_several_names_is_read_and_sent_once(tmp_path: Path) -> None:
    """Its other names are counted as such, in a first scan and in a second one."""
    linked(tmp_path / "t")
    async with guest(tmp_path) as it:
        for from_decisions in (0, 1):
            totals = await it.scan(tmp_path / "t")
            assert counts(totals) == {"NOT_DETECTED": 1, "HARD_LINK": 2}
            assert (totals.bytes, totals.from_decisions) == (14, from_decisions)
        assert [bytes(upload.data) for upload in it.server.uploads] == [b"linked content"]


@pytest.mark.parametrize("gone", [1, 2])
async def test_a_name_that_goes_away_before_it_is_read_hides_no_file(tmp_path: Path, gone: int) -> None:
    """The file is looked at under the next of its names."""
    names = linked(tmp_path / "t")

    def removing() -> float:
        """The clock, which is asked in the hashing thread before it opens files."""
        for name in names[:gone]:
            name.unlink(missing_ok=True)
        return later()

    async with guest(tmp_path) as it:
        it.manner = Manner(threads=2, clock=removing)
        totals = await it.scan(tmp_path / "t")
        assert totals.ends[Outcome.NOT_DETECTED] == 1
        assert totals.ends[Left.VANISHED] + totals.ends.get(Left.HARD_LINK, 0) == 2
        assert it.report.ends[str(names[0])] is Left.VANISHED
        assert [bytes(upload.data) for upload in it.server.uploads] == [b"linked content"]


async def test_a_name_that_is_given_to_another_file_hides_none(tmp_path: Path) -> None:
    """Both contents are scanned: the one that has the name now, and the one that had it."""
    names = linked(tmp_path / "t")
    (tmp_path / "other").write_bytes(b"other content")

    def replacing() -> float:
        if (tmp_path / "other").exists():
            (tmp_path / "other").rename(names[0])
        return later()

    async with guest(tmp_path) as it:
        it.manner = Manner(threads=1, clock=replacing)
        assert counts(await it.scan(tmp_path / "t")) == {"NOT_DETECTED": 2, "HARD_LINK": 1}
        assert {bytes(upload.data) for upload in it.server.uploads} == {b"other content", b"linked content"}


async def test_a_name_that_goes_away_before_its_upload_hides_no_file(tmp_path: Path) -> None:
    """Where the SVM needs the content it gets it by another name."""
    names = linked(tmp_path / "t")

    def on_check(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        names[0].unlink(missing_ok=True)
        return it.server.sound_replies(request)

    async with guest(tmp_path, Behaviour(on_check=on_check)) as it:
        totals = await it.scan(tmp_path / "t")
        assert counts(totals) == {"VANISHED": 1, "NOT_DETECTED": 1, "HARD_LINK": 1}
        assert [bytes(upload.data) for upload in it.server.uploads if upload.data] == [b"linked content"]


async def test_names_that_wait_do_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that is stopped needs no grace for them, and all of them are interrupted."""
    monkeypatch.setattr(on_demand, "GRACE_SECONDS", 3600.0)
    names = linked(tmp_path / "t")
    scans: list[Scan] = []
    stopped = Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        scans[0].stop("ended by SIGTERM")
        stopped.set()

    def stopping() -> float:
        loop.call_soon_threadsafe(stop)
        stopped.wait()
        return later()

    async with guest(tmp_path) as it:
        it.manner = Manner(threads=1, clock=stopping)
        it.during = scans.append
        async with asyncio.timeout(30):
            totals = await it.scan(tmp_path / "t")
        assert counts(totals) == {"INTERRUPTED": len(names)}


async def test_stop_ends_with_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is counted and kept, the rest is interrupted; the next scan goes on from there."""
    monkeypatch.setattr(on_demand, "GRACE_SECONDS", 0.2)
    top = tree(tmp_path / "t", 30)
    answered = sorted(top.rglob("f*"))[:10]

    def on_upload(upload: Received) -> None:
        # The SVM is still at it, and says nothing.
        asyncio.get_running_loop().call_later(0.05, scans[0].stop, "ended by SIGINT")

    scans: list[Scan] = []
    async with guest(tmp_path, Behaviour(on_upload=on_upload)) as it:
        it.server.known = {digest(path): Outcome.NOT_DETECTED for path in answered}
        it.during = scans.append
        totals = await it.scan(top)
        assert it.incomplete == "ended by SIGINT"
        assert totals.ends[Outcome.NOT_DETECTED] == 10
        assert totals.ends[Left.INTERRUPTED] == totals.seen - 10 > 0
        it.server.behaviour.on_upload = None
        totals = await it.scan(top)
        assert counts(totals) == {"NOT_DETECTED": 30}
        assert (totals.from_decisions, totals.later) == (10, 20)


async def test_a_scan_can_be_stopped_before_it_runs(tmp_path: Path) -> None:
    """A signal that comes early is not lost."""
    async with guest(tmp_path) as it:
        it.during = lambda scan: scan.stop("ended by SIGTERM")
        totals = await it.scan(tree(tmp_path / "t"))
        assert it.incomplete == "ended by SIGTERM"
        assert totals.ended == totals.seen


async def test_an_svm_that_goes_away_for_good_ends_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were asked about end as NO_SVM, and the reason is told."""
    monkeypatch.setattr(line, "PATIENCE_SECONDS", 0.2)
    top = tree(tmp_path / "t")
    async with serving(tmp_path / "svm.sock", Behaviour(on_check=lambda _: [])) as server:
        it = Guest(server, tmp_path / "state")
        scanning = asyncio.get_running_loop().create_task(it.scan(top))
        await until(lambda: bool(server.check_requests))
    totals = await scanning
    assert counts(totals) == {"NO_SVM": 20}
    assert "no SVM answers any more" in it.incomplete


async def test_an_svm_that_restarts_does_not_end_the_scan(tmp_path: Path) -> None:
    """What was open is asked again."""
    top = tree(tmp_path / "t")
    async with serving(tmp_path / "svm.sock", Behaviour(on_check=lambda _: [])) as server:
        it = Guest(server, tmp_path / "state")
        scanning = asyncio.get_running_loop().create_task(it.scan(top))
        await until(lambda: bool(server.check_requests))
    async with serving(tmp_path / "svm.sock"):
        assert counts(await scanning) == {"NOT_DETECTED": 20}
    assert it.incomplete == ""


async def test_a_revocation_during_the_scan_is_heeded(tmp_path: Path) -> None:
    """What was kept of that content is dropped."""
    top = tree(tmp_path / "t", 2)

    def on_upload(upload: Received) -> verdict_pb2.Settled:
        revocation = guest_pb2.Revocation(sha256=[first])
        tell = it.server.tell(guest_pb2.AttachReply(revocation=revocation))
        telling.append(asyncio.get_running_loop().create_task(tell))
        return it.server.sound_answer(upload)

    telling: list[asyncio.Task[None]] = []
    first = digest(min(top.rglob("f*")))
    async with guest(tmp_path) as it:
        it.server.known[first] = Outcome.NOT_DETECTED
        await it.scan(top)
        assert (await it.scan(top)).from_decisions == 2
        (top / "d0" / "new").write_text("new")
        it.server.behaviour.on_upload = on_upload
        await it.scan(top)
        await asyncio.gather(*telling)
        totals = await it.scan(top)
        assert (totals.from_decisions, totals.at_once) == (2, 1)


async def test_a_rate_slows_the_reading(tmp_path: Path) -> None:
    """Bytes read and sent are held to the rate."""
    top = tmp_path / "t"
    top.mkdir()
    for number in range(4):
        (top / str(number)).write_bytes(os.urandom(50_000))
    async with guest(tmp_path) as it:
        it.manner = Manner(threads=2, rate=1e6, clock=later)
        began = asyncio.get_running_loop().time()
        assert counts(await it.scan(top)) == {"NOT_DETECTED": 4}
        assert asyncio.get_running_loop().time() - began >= 0.15


async def test_more_files_than_there_is_room_for(tmp_path: Path) -> None:
    """The walk waits for answers, and all files are scanned."""
    async with guest(tmp_path) as it:
        it.manner = Manner(threads=2, clock=later, room=lambda: Room(70, 1 << 20))
        assert counts(await it.scan(tree(tmp_path / "t", 300))) == {"NOT_DETECTED": 300}


async def test_a_fault_of_ours_ends_the_scan_with_that_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not leave the scan waiting for ever."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(on_demand, "look", fail)
    async with guest(tmp_path) as it:
        with pytest.raises(RuntimeError, match="a bug"):
            await it.scan(tree(tmp_path / "t"))


async def test_a_pause_holds_all_that_reads(tmp_path: Path) -> None:
    """From the moment that it begins nothing is read; then all of it is, once."""
    top, pause, paused = tree(tmp_path / "t", 30), Pause(), Event()

    def pausing() -> float:
        """The clock, which is asked in the hashing thread before it opens files."""
        if not paused.is_set():
            pause.begin()
            paused.set()
        return later()

    async with guest(tmp_path) as it:
        scans: list[Scan] = []
        it.manner, it.pause, it.during = Manner(threads=1, clock=pausing), pause, scans.append
        scanning = asyncio.get_running_loop().create_task(it.scan(top))
        await until(paused.is_set)
        totals = scans[0].tally.totals()
        assert (totals.seen, totals.bytes_read, scanning.done()) == (30, 0, False)
        pause.end()
        totals = await scanning
        assert counts(totals) == {"NOT_DETECTED": 30}
        assert totals.bytes_read == totals.bytes


class PauseInTheMidst(Pause):
    """Begins when the reading thread has come by so often: before each file and each piece of a large one."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def wait(self) -> None:
        """In a thread of the scan."""
        if current_thread().name.startswith("look"):
            self._times -= 1
            if self._times == 0:
                self.begin()
        super().wait()


async def test_a_pause_in_a_large_file_holds_within_a_piece(tmp_path: Path) -> None:
    """Not only before the next file."""
    (tmp_path / "large").write_bytes(b"x" * 20 * PIECE_BYTES)
    pause = PauseInTheMidst(times=5)
    async with guest(tmp_path) as it:
        scans: list[Scan] = []
        it.manner, it.pause, it.during = Manner(threads=1, clock=later), pause, scans.append
        scanning = asyncio.get_running_loop().create_task(it.scan(tmp_path / "large"))
        await until(lambda: pause.holds)
        assert scans[0].tally.totals().bytes_read == 3 * PIECE_BYTES
        pause.end()
        assert (await scanning).bytes_read == 20 * PIECE_BYTES


async def test_the_walk_pauses_too(tmp_path: Path) -> None:
    """A scan that has not had its slot yet has not looked at a directory."""
    top, pause = tree(tmp_path / "t"), Pause()
    pause.begin()
    async with guest(tmp_path) as it:
        scans: list[Scan] = []
        it.pause, it.during = pause, scans.append
        scanning = asyncio.get_running_loop().create_task(it.scan(top))
        await until(lambda: bool(scans))
        (top / "new").write_bytes(b"new")
        assert scans[0].tally.totals().directories == 0
        pause.end()
        assert counts(await scanning) == {"NOT_DETECTED": 21}


async def test_a_scan_that_pauses_can_be_stopped(tmp_path: Path) -> None:
    """Its threads end, wherever they wait."""
    top, pause = tree(tmp_path / "t"), Pause()
    pause.begin()
    async with guest(tmp_path) as it:
        scans: list[Scan] = []
        it.pause, it.during = pause, scans.append
        scanning = asyncio.get_running_loop().create_task(it.scan(top))
        await until(lambda: bool(scans))
        scans[0].stop("ended by SIGTERM")
        totals = await scanning
        assert (it.incomplete, totals.seen) == ("ended by SIGTERM", 0)


async def test_threads_begin_as_they_are_told(tmp_path: Path) -> None:
    """Those that read, and the one that walks."""
    began: list[str] = []

    def begin(what: str) -> Callable[[], None]:
        return lambda: began.append(f"{what} {current_thread().name.split('_')[0]}")

    async with guest(tmp_path) as it:
        it.manner = Manner(1, clock=later, begin_reading=begin("reads"), begin_walking=begin("walks"))
        await it.scan(tree(tmp_path / "t"))
        assert sorted(began) == ["reads look", "walks walk"]
