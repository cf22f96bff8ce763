"""Tests of sending content, against a server that can misbehave."""

import asyncio
import gc
import os
import weakref
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import guest_pb2

from guest_stub.outcome import Outcome
from guest_stub.reading import open_quietly
from guest_stub.svm_link.question import Question
from guest_stub.svm_link.upload import WRITE_SECONDS
from guest_stub.svm_link.values import FileContent, LinkAnswer
from tests.support.guest_side_server import VALID_FOR, Behaviour
from tests.support.held_files import Clock, HeldFiles, attached, ends, until

CHUNK = 256 << 10
NOT_DETECTED = LinkAnswer(Outcome.NOT_DETECTED, 7, VALID_FOR)


async def test_content_of_every_size_arrives(tmp_path: Path) -> None:
    """Empty, small, chunk-sized and large files arrive byte by byte, and each gets its verdict."""
    sizes = [0, 1, 4000, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7]
    files = HeldFiles(tmp_path, [os.urandom(size) for size in sizes])
    async with attached(tmp_path) as (link, server):
        answers = await ends(await link.check(files.batch()))
        assert set(answers.values()) == {NOT_DETECTED}
        assert {bytes(upload.header.sha256): len(upload.data) for upload in server.uploads} == dict(
            zip(files.digests, sizes, strict=True)
        )
        assert {upload.header.name for upload in server.uploads} == {
            path.name.encode() for path in files.paths
        }
        assert max(server.scan_messages) == CHUNK


async def test_small_files_are_packed(tmp_path: Path) -> None:
    """Hundreds of small files take a handful of messages, none over the policy's limit."""
    files = HeldFiles(tmp_path, [b"%d" % number * 500 for number in range(600)])
    behaviour = Behaviour()
    behaviour.policy.max_chunk_bytes = 64 << 10
    async with attached(tmp_path, behaviour) as (link, server):
        answers = await ends(await link.check(files.batch()))
        assert set(answers.values()) == {NOT_DETECTED}
        assert len(server.scan_messages) <= sum(files.sizes) // (64 << 10) + 5
        assert max(server.scan_messages) <= 64 << 10
        assert server.scan_streams == 1


async def test_answered_uploads_are_not_remembered(tmp_path: Path) -> None:
    """A guest that sends many contents in its life keeps memory for the last of them alone."""
    async with attached(tmp_path) as (link, _):
        asked: list[weakref.ref[Question]] = []
        for number in range(400):
            place = tmp_path / str(number)
            place.mkdir()
            question = await link.check(HeldFiles(place, [b"%d" % number]).batch())
            assert await ends(question) == {0: NOT_DETECTED}
            asked.append(weakref.ref(question))
            del question
        gc.collect()
        assert sum(each() is not None for each in asked) < 100


async def test_a_large_file_does_not_hold_up_small_ones(tmp_path: Path) -> None:
    """A small file gets its verdict while the SVM takes nothing of a large one."""
    small = HeldFiles(tmp_path, [b"small"])
    (tmp_path / "more").mkdir()
    large = HeldFiles(tmp_path / "more", [os.urandom(20 * CHUNK)])
    take = asyncio.Event()
    behaviour = Behaviour(take_content=take)
    async with attached(tmp_path, behaviour) as (link, server):
        waiting = await link.check(large.batch())
        await until(lambda: server.scan_streams == 1)
        behaviour.take_content = None
        assert await ends(await link.check(small.batch())) == {0: NOT_DETECTED}
        assert waiting.open == 1
        take.set()
        assert await ends(waiting) == {0: NOT_DETECTED}


async def test_a_file_that_changed_is_told_apart(tmp_path: Path) -> None:
    """Content that the SVM finds to be another's ends as CHANGED."""
    files = HeldFiles(tmp_path, [b"before", b"steady"])
    files.paths[0].write_bytes(b"after!")
    async with attached(tmp_path) as (link, _):
        answers = await ends(await link.check(files.batch()))
    assert answers[0].outcome is Outcome.CHANGED
    assert "look at the file again" in answers[0].reason
    assert answers[1] == NOT_DETECTED


async def test_a_file_that_went_away_is_told_apart(tmp_path: Path) -> None:
    """A file that is gone is given up, the SVM is told, and the others are sent."""
    files = HeldFiles(tmp_path, [b"gone", b"there"])
    files.paths[0].unlink()
    async with attached(tmp_path) as (link, server):
        answers = await ends(await link.check(files.batch()))
        assert [upload.aborted for upload in server.uploads] == [True, False]
    assert [answers[0].outcome, answers[1]] == [Outcome.CHANGED, NOT_DETECTED]


async def test_a_file_over_the_policys_limit_is_too_large(tmp_path: Path) -> None:
    """It is not read, its lease is given back, and it ends as TOO_LARGE."""
    files = HeldFiles(tmp_path, [b"x" * 101, b"x" * 100])
    behaviour = Behaviour()
    behaviour.policy.max_file_bytes = 100
    async with attached(tmp_path, behaviour) as (link, server):
        answers = await ends(await link.check(files.batch()))
        assert [upload.aborted for upload in server.uploads] == [True, False]
    assert [answers[0].outcome, answers[1]] == [Outcome.TOO_LARGE, NOT_DETECTED]


async def test_check_may_ask_for_the_content_again(tmp_path: Path) -> None:
    """Asked again under another lease, the content is sent again."""
    files = HeldFiles(tmp_path, [b"content"])
    behaviour = Behaviour(on_upload=lambda _: None)
    async with attached(tmp_path, behaviour) as (link, server):
        question = await link.check(files.batch())
        await until(lambda: bool(server.uploads))
        behaviour.on_upload = server.sound_answer
        request_id = server.check_requests[0].request_id
        reply = guest_pb2.CheckReply(request_id=request_id)
        lease = server.lease(request_id, 0)
        reply.settled.add(index=0, outcome=20).detail.lease = lease
        await server.say(reply)
        assert await ends(question) == {0: NOT_DETECTED}
        assert [upload.header.lease for upload in server.uploads][-1] == lease
        assert files.asked_for == [0, 0]


async def test_an_upload_stream_that_breaks_is_followed_by_another(tmp_path: Path) -> None:
    """What nobody answered is sent again, large files from their beginning; what was answered is not."""
    files = HeldFiles(tmp_path, [b"one", b"two", os.urandom(30 * CHUNK)])
    behaviour = Behaviour(abort_scan=(grpc.StatusCode.DEADLINE_EXCEEDED, "stalled"))
    async with attached(tmp_path, behaviour) as (link, server):
        question = await link.check(files.batch())
        await until(lambda: server.scan_streams_ended > 0)
        behaviour.abort_scan = None
        assert await ends(question) == dict.fromkeys(range(3), NOT_DETECTED)
        large = [upload.data for upload in server.uploads if upload.header.sha256 == files.digests[2]]
        assert large[-1] == files.paths[2].read_bytes()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Outcome.OVERLOADED),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Outcome.TIMED_OUT),
        (grpc.StatusCode.INVALID_ARGUMENT, Outcome.ENGINE_ERROR),
    ],
)
async def test_uploads_whose_streams_break_again_and_again_are_given_up(
    tmp_path: Path, code: grpc.StatusCode, outcome: Outcome
) -> None:
    """After some tries they end by the stream's status. Later uploads go through."""
    files = HeldFiles(tmp_path, [b"one", b"two"])
    behaviour = Behaviour(abort_scan=(code, "no more"))
    async with attached(tmp_path, behaviour) as (link, server):
        answers = await ends(await link.check(files.batch()))
        assert {answer.outcome for answer in answers.values()} == {outcome}
        assert "no more" in answers[0].reason
        assert server.scan_streams_ended == 3
        behaviour.abort_scan = None
        assert set((await ends(await link.check(files.batch()))).values()) == {NOT_DETECTED}


async def test_a_verdict_on_check_stops_a_large_upload(tmp_path: Path) -> None:
    """Where another guest's upload settles the digest, the rest of ours is not sent."""
    files = HeldFiles(tmp_path, [os.urandom(40 * CHUNK)])
    take = asyncio.Event()
    async with attached(tmp_path, Behaviour(take_content=take)) as (link, server):
        question = await link.check(files.batch())
        await until(lambda: server.scan_streams == 1)
        reply = guest_pb2.CheckReply(request_id=server.check_requests[0].request_id, generation=7)
        reply.settled.add(index=0, outcome=1)
        await server.say(reply)
        assert (await ends(question))[0].outcome is Outcome.MALICIOUS
        take.set()
        await until(lambda: bool(server.uploads) and server.uploads[0].aborted)
        assert sum(server.scan_messages) < files.sizes[0]


async def test_an_svm_that_takes_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that stands still for a minute is given up with its stream, and sent on a new one."""
    files = HeldFiles(tmp_path, [os.urandom(40 * CHUNK)])
    behaviour = Behaviour(take_content=asyncio.Event())
    async with attached(tmp_path, behaviour) as (link, server):
        stuck = await link.check(files.batch(budget=600.0))
        clock = Clock(monkeypatch)
        await until(lambda: server.scan_streams == 1)
        behaviour.take_content = None
        await until(lambda: clock.forward(1.0) > WRITE_SECONDS and server.scan_streams_ended == 1)
        assert await ends(stuck) == {0: NOT_DETECTED}
        assert server.scan_streams == 2


async def test_reading_does_not_happen_on_the_loop(tmp_path: Path) -> None:
    """A file that takes long to open holds up neither questions nor other streams."""
    files = HeldFiles(tmp_path, [b"slow"])
    os.mkfifo(tmp_path / "gate")

    def open_slowly() -> int:
        (tmp_path / "gate").read_bytes()  # waits until the test writes
        return open_quietly(str(files.paths[0]))

    batch = files.batch()
    slow = type(batch)(
        batch.digests, batch.purpose, batch.budget, lambda _: FileContent(4, b"slow", open_slowly)
    )
    async with attached(tmp_path) as (link, server):
        question = await link.check(slow)
        server.known = {files.digests[0]: 4}
        assert (await link.check(files.batch())).outcomes == [4]
        await asyncio.to_thread((tmp_path / "gate").write_bytes, b"go")
        assert await ends(question) == {0: NOT_DETECTED}
