"""Tests of finding out what an open file is, against a real link."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from lightagent.v1 import verdict_pb2

from guest_stub.decision import FileId
from guest_stub.detected import Detected
from guest_stub.hashing import HashLimits, HashResult
from guest_stub.on_access.judging import MAX_BATCH, MAX_LOOKS, HeldFile, Judge, Judged
from guest_stub.on_access.recent import Recent
from guest_stub.outcome import Outcome
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import LinkAnswer, Purpose
from tests.support.descriptors import open_descriptors
from tests.support.guest_side_server import Behaviour, GuestSideServer, Received
from tests.support.held_files import attached, digest_of, until
from tests.support.on_access_parts import Links, identity

SECONDS = 30.0
UNKNOWN = FileId(0, 0, 0, 0, 0)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Who reads."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
async def server(tmp_path: Path, links: Links) -> AsyncIterator[GuestSideServer]:
    """An SVM, attached to."""
    async with attached(tmp_path) as (link, running):
        links.current = link
        yield running
        links.current = None


@pytest.fixture
def links() -> Links:
    """No SVM, unless a test asks for one."""
    return Links()


@pytest.fixture
def judge(links: Links, threads: ThreadPoolExecutor) -> Judge:
    """What is tested."""
    return Judge(links, threads, Purpose.ON_ACCESS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_bytes(b"hello")
    return tmp_path / "file"


@contextmanager
def held(path: Path, kind: type[HeldFile] = HeldFile) -> Iterator[HeldFile]:
    """A file that is held, by its own descriptor alone."""
    fd = os.open(path, os.O_RDONLY)
    holding = kind(fd)
    os.close(fd)
    with closing(holding):
        yield holding


async def judged(judge: Judge, path: Path, sha256: bytes = b"", seconds: float = SECONDS) -> Judged:
    """What becomes of a file as it is."""
    with held(path) as holding:
        return await judge.judge(holding, identity(path), sha256, seconds)


async def test_a_content_that_was_asked_about_just_now_is_not_asked_about_again(
    server: GuestSideServer, links: Links, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """Another file that has it is hashed, and gets what the SVM said; one that differs is asked about."""
    link = links.current
    assert link is not None
    judge = Judge(
        links, threads, Purpose.ON_ACCESS, Recent(lambda: link.generation, lambda sha256: sha256 == b"")
    )
    for name, content in (("first", b"same"), ("second", b"same"), ("third", b"else")):
        (tmp_path / name).write_bytes(content)
        what = await judged(judge, tmp_path / name)
        assert (what.answer.outcome, what.sha256) == (Outcome.NOT_DETECTED, hashlib.sha256(content).digest())
        assert what.file == identity(tmp_path / name)
    assert [list(request.sha256) for request in server.check_requests] == [
        [hashlib.sha256(b"same").digest()],
        [hashlib.sha256(b"else").digest()],
    ]


async def test_an_unknown_file_is_hashed_and_sent(server: GuestSideServer, judge: Judge, file: Path) -> None:
    """The SVM gets its content, and its verdict comes back with digest and identity."""
    what = await judged(judge, file)
    assert what.answer.outcome is Outcome.NOT_DETECTED
    assert what.sha256 == hashlib.sha256(b"hello").digest()
    assert what.file == identity(file)
    assert [bytes(upload.data) for upload in server.uploads] == [b"hello"]
    assert server.check_requests[0].purpose == verdict_pb2.PURPOSE_ON_ACCESS


async def test_a_digest_that_is_known_is_asked_about_without_reading(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """What was kept of a file spares reading it."""
    server.known = {digest_of(1): Outcome.MALICIOUS}
    what = await judged(judge, file, digest_of(1))
    assert (what.answer.outcome, what.answer.threat) == (Outcome.MALICIOUS, "Eicar-Test-Signature")
    assert what.sha256 == digest_of(1)
    assert server.uploads == []


async def test_without_an_svm_it_says_so_at_once(judge: Judge, file: Path) -> None:
    """The budget is not waited for, and there is a reason for people."""
    start = time.monotonic()
    what = await judged(judge, file)
    assert what.answer.outcome is Outcome.NO_SVM
    assert what.answer.reason == "no SVM answers"
    assert what.sha256 == hashlib.sha256(b"hello").digest()
    assert time.monotonic() - start < SECONDS / 2


async def test_an_svm_that_goes_away_is_no_svm(
    server: GuestSideServer, links: Links, judge: Judge, file: Path
) -> None:
    """For who asks while it goes, and for who asks a link that is lost."""
    server.behaviour.on_check = lambda _: []
    asking = asyncio.get_running_loop().create_task(judged(judge, file))
    await until(lambda: bool(server.check_requests))
    server.end_attach()
    assert (await asking).answer.outcome is Outcome.NO_SVM
    assert (await judged(judge, file)).answer.outcome is Outcome.NO_SVM


async def test_what_is_asked_in_one_turn_goes_as_one_question(server: GuestSideServer, judge: Judge) -> None:
    """Of several files at once there is one message."""
    paths = [server.path.with_name(str(number)) for number in range(10)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x")
        server.known[digest_of(number)] = Outcome.CLEAN if number else Outcome.MALICIOUS
    what = await asyncio.gather(
        *(judged(judge, path, digest_of(number)) for number, path in enumerate(paths))
    )
    assert [each.answer.outcome for each in what] == [Outcome.MALICIOUS] + [Outcome.CLEAN] * 9
    assert [len(request.sha256) for request in server.check_requests] == [10]


async def test_many_go_as_several(server: GuestSideServer, judge: Judge, file: Path) -> None:
    """No question is larger than it may be, and each gets its own answer."""
    count = MAX_BATCH + 50
    outcomes = [Outcome.CLEAN if number % 3 else Outcome.NOT_DETECTED for number in range(count)]
    server.known = {digest_of(number): int(outcome) for number, outcome in enumerate(outcomes)}
    what = await asyncio.gather(*(judged(judge, file, digest_of(number)) for number in range(count)))
    assert [each.answer.outcome for each in what] == outcomes
    assert sorted(len(request.sha256) for request in server.check_requests) == [50, MAX_BATCH]


async def test_an_svm_that_takes_small_batches_gets_small_ones(
    tmp_path: Path, links: Links, judge: Judge, file: Path
) -> None:
    """Its policy says how many digests it takes."""
    behaviour = Behaviour()
    behaviour.policy.max_batch = 2
    async with attached(tmp_path, behaviour) as (links.current, server):
        server.known = {digest_of(number): int(Outcome.CLEAN) for number in range(5)}
        what = await asyncio.gather(*(judged(judge, file, digest_of(number)) for number in range(5)))
    assert [each.answer.outcome for each in what] == [Outcome.CLEAN] * 5


class Changing(HeldFile):
    """A file to which somebody writes right after it was read, for the first `times` times."""

    times = 1

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.looks = 0

    def hashed(self, limits: HashLimits) -> HashResult:
        """See HeldFile."""
        result = super().hashed(limits)
        self.looks += 1
        if self.looks <= self.times:
            with open(f"/proc/self/fd/{self.fd}", "ab") as file:
                file.write(b"!")
        return result


class NeverStill(Changing):
    """It never keeps still."""

    times = 1000


async def test_a_file_that_changes_is_looked_at_again(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """What counts is what it is when it keeps still."""
    server.known = {hashlib.sha256(b"hello").digest(): Outcome.CLEAN}
    with held(file, Changing) as holding:
        what = await judge.judge(holding, identity(file), b"", SECONDS)
    assert what.answer.outcome is Outcome.NOT_DETECTED
    assert what.sha256 == hashlib.sha256(b"hello!").digest()
    assert what.file == identity(file)


async def test_a_digest_of_before_does_not_count_for_a_file_that_changes(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """What was kept is of the file as it was when it was opened."""
    server.known = {digest_of(1): Outcome.CLEAN}
    before = identity(file)
    with file.open("ab") as writing:
        writing.write(b"!")
    with held(file) as holding:
        what = await judge.judge(holding, before, digest_of(1), SECONDS)
    assert what.answer.outcome is Outcome.NOT_DETECTED
    assert what.sha256 == hashlib.sha256(b"hello!").digest()


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[Detected]:
    """The content of `file` is known to be bad."""
    with closing(Detected(tmp_path)) as known:
        known.heard(hashlib.sha256(b"hello").digest(), LinkAnswer(Outcome.MALICIOUS, threat="Eicar"))
        yield known


async def test_what_was_detected_stays_so_without_an_svm(
    links: Links, threads: ThreadPoolExecutor, file: Path, bad: Detected
) -> None:
    """Whichever file has the content, and however its times move; another content has no verdict."""
    judge = Judge(links, threads, Purpose.ON_ACCESS, None, bad)
    for kind in (HeldFile, Moving, MovingMeanwhile):
        with held(file, kind) as holding:
            what = await judge.judge(holding, identity(file), b"", SECONDS)
        assert (what.answer.outcome, what.answer.threat) == (Outcome.MALICIOUS, "Eicar")
    with file.open("ab") as writing:
        writing.write(b"!")
    assert (await judged(judge, file)).answer.outcome is Outcome.NO_SVM


async def test_whoever_waits_can_be_told_while_the_svm_is_asked(
    server: GuestSideServer, links: Links, threads: ThreadPoolExecutor, file: Path, bad: Detected
) -> None:
    """An SVM that hangs: the time of who waits may be over before that of the question."""
    server.behaviour.on_check = lambda _: []
    judge = Judge(links, threads, Purpose.ON_ACCESS, None, bad)
    with held(file) as holding:
        asking = asyncio.get_running_loop().create_task(judge.judge(holding, identity(file), b"", 1.0))
        await until(lambda: holding.known is not None)
        assert holding.known is not None
        assert holding.known.answer.outcome is Outcome.MALICIOUS
        assert (await asking).answer.outcome is Outcome.MALICIOUS


@pytest.mark.parametrize("outcome", [Outcome.CLEAN, Outcome.NOT_DETECTED])
async def test_an_svm_takes_back_what_was_detected(
    server: GuestSideServer,
    links: Links,
    threads: ThreadPoolExecutor,
    file: Path,
    bad: Detected,
    outcome: Outcome,
) -> None:
    """And what it detects is known from then on."""
    digest = hashlib.sha256(b"hello").digest()
    judge = Judge(links, threads, Purpose.ON_ACCESS, None, bad)
    server.known = {digest: outcome}
    with held(file) as holding:
        assert (await judge.judge(holding, identity(file), b"", SECONDS)).answer.outcome is outcome
        assert (bad.recall(digest), holding.known) == (None, None)
    server.known = {digest: Outcome.MALICIOUS}
    await judged(judge, file)
    assert bad.recall(digest) is not None


class Moving(HeldFile):
    """A file whose times somebody moves whenever it was read."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.looks = 0

    def hashed(self, limits: HashLimits) -> HashResult:
        """See HeldFile."""
        result = super().hashed(limits)
        self.looks += 1
        os.fchmod(self.fd, 0o600 + self.looks)
        return result


class MovingMeanwhile(HeldFile):
    """A file whose times somebody moves while it is read."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.looks = 0

    def hashed(self, limits: HashLimits) -> HashResult:
        """See HeldFile."""
        self.looks += 1
        mode = 0o600 + self.looks
        return super().hashed(replace(limits, throttle=lambda _: os.fchmod(self.fd, mode)))


@pytest.mark.parametrize("kind", [Moving, MovingMeanwhile])
async def test_what_is_bad_counts_whatever_its_times_do(
    server: GuestSideServer, judge: Judge, file: Path, kind: type[Moving | MovingMeanwhile]
) -> None:
    """At the first look, known to the SVM or not; it is not for keeping."""
    server.known = {hashlib.sha256(b"hello").digest(): Outcome.MALICIOUS}
    with held(file, kind) as holding:
        what = await judge.judge(holding, identity(file), b"", SECONDS)
        assert isinstance(holding, kind)
        assert holding.looks == 1
    assert (what.answer.outcome, what.sha256) == (Outcome.MALICIOUS, hashlib.sha256(b"hello").digest())
    assert not what.still


@pytest.mark.parametrize("kind", [Moving, MovingMeanwhile])
async def test_what_is_harmless_counts_where_it_was_the_same_twice(
    server: GuestSideServer, judge: Judge, file: Path, kind: type[Moving | MovingMeanwhile]
) -> None:
    """It is read again, and shown to an SVM that does not know it; it is not for keeping."""
    with held(file, kind) as holding:
        what = await judge.judge(holding, identity(file), b"", SECONDS)
        assert isinstance(holding, kind)
        assert holding.looks == 2
    assert (what.answer.outcome, what.sha256) == (Outcome.NOT_DETECTED, hashlib.sha256(b"hello").digest())
    assert not what.still
    assert b"hello" in [bytes(upload.data) for upload in server.uploads]


async def test_what_is_on_record_as_bad_counts_when_its_times_move(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """It was bad when it was opened, though the file is another by the time of the answer."""
    server.known = {digest_of(1): Outcome.MALICIOUS}
    before = identity(file)
    with held(file) as holding:
        os.fchmod(holding.fd, 0o600)
        what = await judge.judge(holding, before, digest_of(1), SECONDS)
    assert (what.answer.outcome, what.still) == (Outcome.MALICIOUS, False)


async def test_a_file_that_never_keeps_still_is_given_up(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """After so many looks it ends as CHANGED, which is no verdict and has no digest."""
    with held(file, NeverStill) as holding:
        what = await judge.judge(holding, identity(file), b"", SECONDS)
        assert isinstance(holding, NeverStill)
        assert holding.looks == MAX_LOOKS
    assert (what.answer.outcome, what.sha256) == (Outcome.CHANGED, b"")
    assert what.answer.reason


async def test_what_the_svm_calls_changed_is_looked_at_again(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """It got other bytes than were hashed."""
    said = iter([Outcome.CHANGED, Outcome.CHANGED])

    def settle(upload: Received) -> verdict_pb2.Settled:
        outcome = next(said, None)
        if outcome is None:
            return server.sound_answer(upload)
        return verdict_pb2.Settled(outcome=verdict_pb2.OUTCOME_CHANGED)

    server.behaviour.on_upload = settle
    assert (await judged(judge, file)).answer.outcome is Outcome.NOT_DETECTED
    assert len(server.uploads) == MAX_LOOKS


async def test_nobody_waits_longer_than_his_budget(server: GuestSideServer, judge: Judge, file: Path) -> None:
    """An SVM that says nothing ends as TIMED_OUT."""
    server.behaviour.on_check = lambda _: []
    what = await judged(judge, file, seconds=0.05)
    assert what.answer.outcome is Outcome.TIMED_OUT
    assert what.answer.reason


async def test_a_reading_thread_that_is_stuck_ends_as_timed_out(
    server: GuestSideServer, judge: Judge, threads: ThreadPoolExecutor, file: Path
) -> None:
    """And when it goes on, the file is let go of, whatever has its number by then."""
    stuck = threading.Event()
    for _ in range(2):
        threads.submit(stuck.wait)
    before = open_descriptors()
    what = await judged(judge, file, seconds=0.05)
    assert what.answer.outcome is Outcome.TIMED_OUT
    stuck.set()
    await asyncio.get_running_loop().run_in_executor(threads, int)
    assert open_descriptors() <= before
    assert (await judged(judge, file)).answer.outcome is Outcome.NOT_DETECTED


async def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, links: Links, judge: Judge, file: Path
) -> None:
    """The SVM says how much it takes."""
    behaviour = Behaviour()
    behaviour.policy.max_file_bytes = 4
    async with attached(tmp_path, behaviour) as (links.current, server):
        what = await judged(judge, file)
        assert (what.answer.outcome, what.sha256) == (Outcome.TOO_LARGE, b"")
        assert server.check_requests == []


async def test_what_cannot_be_read_is_no_verdict(server: GuestSideServer, judge: Judge) -> None:
    """A file that was let go of, and one that is no file."""
    with held(server.path.parent) as directory:
        what = await judge.judge(directory, UNKNOWN, b"", SECONDS)
        assert what.answer.outcome is Outcome.CHANGED
    what = await judge.judge(directory, UNKNOWN, b"", SECONDS)
    assert what.answer.outcome is Outcome.UNREADABLE
    assert what.answer.reason


async def test_a_caller_that_is_cancelled_takes_nobody_with_him(
    server: GuestSideServer, judge: Judge, file: Path
) -> None:
    """Others of the same question get their answers, and the next question too."""
    loop = asyncio.get_running_loop()
    server.known = {digest_of(number): int(Outcome.CLEAN) for number in range(3)}
    first = loop.create_task(judged(judge, file, digest_of(0)))
    second = loop.create_task(judged(judge, file, digest_of(1)))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).answer.outcome is Outcome.CLEAN
    assert first.cancelled()
    assert (await judged(judge, file, digest_of(2))).answer.outcome is Outcome.CLEAN


async def test_an_upload_never_sends_another_file(server: GuestSideServer, judge: Judge, file: Path) -> None:
    """The SVM asks for content when nobody waits any more, and the descriptor's number is another file's."""
    server.behaviour.on_check = lambda _: []
    secret = file.with_name("secret")
    secret.write_bytes(b"other")
    with held(file) as holding:
        number = holding.fd
        what = await judge.judge(holding, identity(file), b"", 0.1)
        assert what.answer.outcome is Outcome.TIMED_OUT
    with given_number(secret, number):
        server.behaviour.on_check = None
        await server.say(*server.sound_replies(server.check_requests[0]))
        assert (await judged(judge, file)).answer.outcome is Outcome.NOT_DETECTED
    assert {bytes(upload.data) for upload in server.uploads} <= {b"", b"hello"}


@contextmanager
def given_number(path: Path, number: int) -> Iterator[None]:
    """Another file, open under the number that one had."""
    fd = os.open(path, os.O_RDONLY)
    if fd != number:
        os.dup2(fd, number)
        os.close(fd)
    yield
    os.close(number)


async def test_it_leaves_no_descriptor(server: GuestSideServer, judge: Judge, file: Path) -> None:
    """After answers of every kind."""
    await judged(judge, file)  # what the link opens for good
    before = open_descriptors()
    server.known = {digest_of(1): Outcome.MALICIOUS}
    await judged(judge, file, digest_of(1))
    await judged(judge, file)
    with held(file, NeverStill) as holding:
        await judge.judge(holding, identity(file), b"", SECONDS)
    server.behaviour.on_check = lambda _: []
    await judged(judge, file, seconds=0.05)
    await until(lambda: open_descriptors() == before)


def test_a_held_file_outlives_who_gave_it(file: Path) -> None:
    """It is a duplicate; the caller's stays the caller's."""
    fd = os.open(file, os.O_RDONLY)
    holding = HeldFile(fd)
    os.close(fd)
    assert os.pread(holding.fd, 10, 0) == b"hello"
    holding.close()


def test_who_comes_too_late_gets_no_file(file: Path) -> None:
    """Though another file has the number by now."""
    with held(file) as holding:
        number = holding.fd
    with given_number(file, number):
        with pytest.raises(OSError, match="nobody waits for this file any more"):
            holding.dup()
        result = holding.hashed(HashLimits(1 << 20))
        assert (result.file, result.problem) == (None, Outcome.UNREADABLE)


def test_threads_that_take_it_while_it_is_let_go_of_get_it_or_nothing(tmp_path: Path) -> None:
    """Never the file that has its number next."""
    files = [tmp_path / "a", tmp_path / "b"]
    for each in files:
        each.touch()
    inodes = [each.stat().st_ino for each in files]
    for number in range(200):
        fd = os.open(files[number % 2], os.O_RDONLY)
        holding = HeldFile(fd)
        with ThreadPoolExecutor(2) as threads:
            taking = [threads.submit(taken, holding) for _ in range(2)]
            holding.close()
            other = os.open(files[1 - number % 2], os.O_RDONLY)
        assert {each.result() for each in taking} <= {inodes[number % 2], 0}
        os.close(other)
        os.close(fd)


def taken(holding: HeldFile) -> int:
    """The inode of what is given, 0 for nothing."""
    try:
        fd = holding.dup()
    except OSError:
        return 0
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def test_a_thread_that_hashes_ends_when_the_file_is_let_go_of(tmp_path: Path) -> None:
    """Nobody waits for it any more, and others wait for the thread."""
    with (tmp_path / "large").open("wb") as large:
        large.truncate(1 << 40)  # hours of zeros
    with held(tmp_path / "large") as holding, ThreadPoolExecutor(1) as threads:
        hashing = threads.submit(holding.hashed, HashLimits(1 << 41))
        holding.close()
        result = hashing.result(SECONDS)
    assert (result.problem, result.sha256) == (Outcome.UNREADABLE, b"")


class Followed:
    """Links of which the second takes the place of the first."""

    def __init__(self, current: SvmLink, successor: SvmLink | None) -> None:
        self.current: SvmLink | None = current
        self.successor = successor
        self.known = asyncio.Event()  # whether there is a successor

    async def after(self, lost: SvmLink) -> SvmLink | None:
        """The second, for the first."""
        await self.known.wait()
        self.current = self.successor
        return self.successor if lost.followed else None


@pytest.mark.parametrize("is_there", [True, False])
async def test_what_is_asked_while_another_link_takes_over_is_asked_there(
    tmp_path: Path, threads: ThreadPoolExecutor, file: Path, is_there: bool
) -> None:
    """Whoever waits for an open hears nothing of it; where there is no other in the end, no SVM answers."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    silent = Behaviour(on_check=lambda _: [])
    async with (
        attached(tmp_path / "a", silent) as (first, former),
        attached(tmp_path / "b") as (second, latter),
    ):
        latter.known = {hashlib.sha256(b"hello").digest(): 3}
        links = Followed(first, second if is_there else None)
        judge = Judge(links, threads, Purpose.ON_ACCESS)
        judging = asyncio.get_running_loop().create_task(judged(judge, file))
        await until(lambda: len(former.check_requests) == 1)
        first.followed = True
        former.end_attach()
        await first.lost.wait()
        links.known.set()
        what = await judging
    assert what.answer.outcome is (Outcome.CLEAN if is_there else Outcome.NO_SVM)
