"""The Scan stream."""

import asyncio
from pathlib import Path

import grpc
import pytest
import xxhash
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_limits import Limits
from appliance.rpc import wire
from tests.support.contents import EICAR
from tests.support.svm import RawGuest, StreamEnded, Svm, chunk, digest_of, running_svm, say, until

CONTENT = b"some content\n" * 100


async def lease_for(guest: RawGuest, content: bytes) -> int:
    """Ask about the content; the lease to send it under."""
    reply = await guest.ask(digest_of(content))
    return reply.details[0].lease


def stored(svm: Svm, digest: bytes) -> bool:
    """Whether the SVM keeps a verdict of the digest."""
    return svm.parts.store.lookup(16, [digest]) != [None]


async def test_several_uploads_share_a_message(tmp_path: Path) -> None:
    """Small files go in one message, and each gets an answer of its own."""
    contents = [b"a", b"", EICAR]
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(*map(digest_of, contents))
        parts = []
        for detail, content in zip(reply.details, contents, strict=True):
            parts.append(guest.header(detail.lease, content))
            parts.extend([chunk(content)] if content else [])
        await guest.upload(parts)
        answers = [(await guest.answer(reply.request_id, index)).outcome for index in range(3)]
        assert answers == [
            verdict_pb2.OUTCOME_NOT_DETECTED,
            verdict_pb2.OUTCOME_NOT_DETECTED,
            verdict_pb2.OUTCOME_MALICIOUS,
        ]


async def test_content_that_is_not_the_digests_stores_nothing(tmp_path: Path) -> None:
    """A header that claims another digest ends as CHANGED: neither digest gets a verdict."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        lease = await lease_for(guest, CONTENT)
        forged = EICAR + bytes(len(CONTENT) - len(EICAR))
        answer = await guest.scan(lease, [guest.header(lease, CONTENT), chunk(forged)])
        assert answer.outcome == verdict_pb2.OUTCOME_CHANGED
        assert "look at it again" in answer.detail.reason
        assert not stored(svm, digest_of(CONTENT))
        assert not stored(svm, digest_of(forged))


async def test_a_forger_does_not_spoil_it_for_others(tmp_path: Path) -> None:
    """After a forged upload the next waiter is asked, and its honest content gives the verdict."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as bad, RawGuest.connect(svm) as good:
        lease = await lease_for(bad, CONTENT)
        waiting = await good.ask(digest_of(CONTENT))
        await bad.upload([bad.header(lease, CONTENT), chunk(bytes(len(CONTENT)))])
        settled = await good.answer(waiting.request_id)
        assert settled.outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED
        answer = await good.send(settled.detail.lease, CONTENT)
        assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED


async def test_a_claimed_size_binds_only_the_claimant(tmp_path: Path) -> None:
    """A guest that says a file is too large is told so; others are asked for the content."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as bad, RawGuest.connect(svm) as good:
        lease = await lease_for(bad, CONTENT)
        waiting = await good.ask(digest_of(CONTENT))
        answer = await bad.scan(lease, [bad.header(lease, CONTENT, size=1 << 40)])
        assert answer.outcome == verdict_pb2.OUTCOME_TOO_LARGE
        assert (await good.answer(waiting.request_id)).outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED


@pytest.mark.parametrize(
    ("case", "word"),
    [
        ("chunk first", "without a header"),
        ("more than said", "are due"),
        ("empty chunk", "a chunk of 0 bytes"),
        ("header in a header", "a header while"),
        ("empty part", "neither header"),
        ("bad checksum", "checksum"),
        ("short digest", "a digest of 5 bytes"),
        ("too much at once", "in one message"),
    ],
)
async def test_a_broken_order_ends_the_stream_with_a_sentence(tmp_path: Path, case: str, word: str) -> None:
    """A breach of the wire's order ends the call as INVALID_ARGUMENT and keeps nothing."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        lease = await lease_for(guest, CONTENT)
        header = guest.header(lease, CONTENT)
        half = chunk(CONTENT[:600])
        checksum = guest_pb2.ScanChunk(data=CONTENT, xxh3=xxhash.xxh3_64_intdigest(b"other"))
        parts = {
            "chunk first": [half],
            "more than said": [header, chunk(CONTENT + b"!")],
            "empty chunk": [header, chunk(b"")],
            "header in a header": [header, half, header],
            "empty part": [guest_pb2.ScanPart()],
            "bad checksum": [header, guest_pb2.ScanPart(chunk=checksum)],
            "short digest": [guest.header(lease, CONTENT, sha256=b"short")],
            "too much at once": [header, chunk(bytes(wire.MAX_CHUNK_BYTES + 1))],
        }[case]
        with pytest.raises(StreamEnded, match=word) as ended:
            await guest.upload(parts)
        assert ended.value.status is grpc.StatusCode.INVALID_ARGUMENT
        assert not stored(svm, digest_of(CONTENT))


async def test_an_upload_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    """A stalled upload ends with DEADLINE_EXCEEDED, gives its room back, and the next waiter is asked."""
    limits = Limits(upload_stall_seconds=1.0)
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as first,
        RawGuest.connect(svm) as second,
    ):
        lease = await lease_for(first, CONTENT)
        waiting = await second.ask(digest_of(CONTENT))
        with pytest.raises(StreamEnded) as ended:
            await first.upload([first.header(lease, CONTENT), chunk(CONTENT[:10])], more=True)
        assert ended.value.status is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await second.answer(waiting.request_id)).outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED
        assert svm.parts.spool.used_bytes == 0


async def test_an_upload_that_stops_half_way_passes_the_lease_on(tmp_path: Path) -> None:
    """A stream that ends in the middle of a file gives up the upload, and the next waiter is asked."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as first, RawGuest.connect(svm) as second:
        lease = await lease_for(first, CONTENT)
        waiting = await second.ask(digest_of(CONTENT))
        call = first.stub.Scan(metadata=first.metadata)
        await call.write(guest_pb2.ScanRequest(parts=[first.header(lease, CONTENT), chunk(CONTENT[:10])]))
        await call.done_writing()
        assert (await second.answer(waiting.request_id)).outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED


async def test_an_aborted_upload_is_ended_and_the_next_goes_on(tmp_path: Path) -> None:
    """ScanAbort ends the open upload; the stream takes the next one."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(digest_of(CONTENT), digest_of(EICAR))
        lease, next_lease = (detail.lease for detail in reply.details)
        parts = [
            guest.header(lease, CONTENT),
            chunk(CONTENT[:10]),
            guest_pb2.ScanPart(abort=guest_pb2.ScanAbort()),
            *guest.parts_of(next_lease, EICAR),
        ]
        assert (await guest.scan(lease, parts)).outcome == verdict_pb2.OUTCOME_CHANGED
        assert (await guest.answer(reply.request_id, 1)).outcome == verdict_pb2.OUTCOME_MALICIOUS


async def test_a_lease_of_somebody_else_counts_for_nobody(tmp_path: Path) -> None:
    """Content under another guest's lease is read and thrown away; the stream goes on."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as first, RawGuest.connect(svm) as second:
        lease = await lease_for(first, CONTENT)
        own = await lease_for(second, EICAR)
        parts = [*second.parts_of(lease, CONTENT), *second.parts_of(own, EICAR)]
        assert (await second.scan(own, parts)).outcome == verdict_pb2.OUTCOME_MALICIOUS
        assert svm.parts.sessions.counts["uploads_refused"] == 1
        assert not stored(svm, digest_of(CONTENT))


async def test_a_full_spool_holds_one_guest_back_and_not_the_other(tmp_path: Path) -> None:
    """A guest that fills its share waits for its own room; another's upload goes through meanwhile."""
    limits = Limits(max_file_mib=1, guest_spool_mib=1, spool_mib=4, upload_stall_seconds=2)
    big = bytes(1 << 20)
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as greedy,
        RawGuest.connect(svm) as modest,
    ):
        reply = await greedy.ask(digest_of(big), digest_of(b"next"))
        call = greedy.stub.Scan(metadata=greedy.metadata)
        await call.write(guest_pb2.ScanRequest(parts=[greedy.header(reply.details[0].lease, big)]))
        lease = await lease_for(modest, CONTENT)
        assert (await modest.send(lease, CONTENT)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        # The first upload stalls and is cut off; then there is room for the second.
        answer = await greedy.send(reply.details[1].lease, b"next")
        assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED


async def test_too_many_scan_streams_are_refused(tmp_path: Path) -> None:
    """A guest has a fixed number of Scan streams."""
    async with running_svm(tmp_path, Limits(scan_streams=1)) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(digest_of(CONTENT), digest_of(b"next"))
        first = guest.stub.Scan(metadata=guest.metadata)
        await first.write(
            guest_pb2.ScanRequest(parts=[guest.header(reply.details[0].lease, CONTENT), chunk(CONTENT)])
        )
        await guest.answer(reply.request_id, 0)
        with pytest.raises(StreamEnded) as ended:
            await guest.send(reply.details[1].lease, b"next")
        assert ended.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_message_of_very_many_parts_is_refused(tmp_path: Path) -> None:
    """One message cannot keep the SVM busy for seconds."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        parts = [guest.header(12345, b"") for _ in range(2049)]
        with pytest.raises(StreamEnded, match="at most 2048"):
            await guest.upload(parts)


async def test_an_abort_without_an_upload_is_refused(tmp_path: Path) -> None:
    """There is nothing to give up."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        with pytest.raises(StreamEnded, match="without an open upload"):
            await guest.upload([guest_pb2.ScanPart(abort=guest_pb2.ScanAbort())])


@pytest.mark.parametrize("pause", [0.1, 1000.0])
async def test_slow_uploads_do_not_hold_the_spool_while_others_wait(tmp_path: Path, pause: float) -> None:
    """Guests that take all room and trickle, or send nothing at all, lose it to one that waits."""
    limits = Limits(max_file_mib=2, guest_spool_mib=2, spool_mib=5, upload_stall_seconds=20)
    wanted = bytes(700 << 10)
    large = [bytes([number]) * (2 << 20) for number in range(2)]
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as one,
        RawGuest.connect(svm) as two,
        RawGuest.connect(svm) as modest,
    ):
        calls = []
        for guest, content in zip((one, two), large, strict=True):
            call = guest.stub.Scan(metadata=guest.metadata)
            header = guest.header(await lease_for(guest, content), content)
            await call.write(guest_pb2.ScanRequest(parts=[header]))
            calls.append((call, content))
        await until(lambda: svm.parts.spool.used_bytes == 4 << 20, "the spool is full")
        lease = await lease_for(modest, wanted)

        async def trickle() -> None:
            while True:
                for call, content in calls:
                    await say(call, guest_pb2.ScanRequest(parts=[chunk(content[:1])]))
                await asyncio.sleep(pause)

        trickling = asyncio.get_running_loop().create_task(trickle())
        answer = await modest.send(lease, wanted)
        trickling.cancel()
        assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED


async def test_small_contents_do_not_wait_behind_large_claims(tmp_path: Path) -> None:
    """Claims that take all room by their headers, and wait for more, leave a part for small contents."""
    limits = Limits(max_file_mib=3, guest_spool_mib=4, spool_mib=4, scan_streams=4)
    claims = [bytes([number]) * 100 for number in range(4)]
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as greedy,
        RawGuest.connect(svm) as modest,
    ):
        reply = await greedy.ask(*map(digest_of, claims))
        calls = []
        for detail, content in zip(reply.details, claims, strict=True):
            call = greedy.stub.Scan(metadata=greedy.metadata)
            header = greedy.header(detail.lease, content, size=3 << 20)
            await call.write(guest_pb2.ScanRequest(parts=[header]))
            calls.append(call)
        spool = svm.parts.spool
        await until(lambda: (spool.used_bytes, spool.waiting) == (3 << 20, 3), "the claims wait")
        answer = await modest.send(await lease_for(modest, CONTENT), CONTENT)
        assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        assert spool.waiting == 3


async def test_uploads_that_nobody_asked_for_are_slowed(tmp_path: Path) -> None:
    """A message full of headers under no lease counts as many, and others are served meanwhile."""
    limits = Limits(messages_per_second=10)
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as bad,
        RawGuest.connect(svm) as good,
    ):
        counts = svm.parts.sessions.counts
        call = bad.stub.Scan(metadata=bad.metadata)
        flood = guest_pb2.ScanRequest(parts=[bad.header(12345, b"") for _ in range(wire.MAX_PARTS)])
        await call.write(flood)
        await until(lambda: counts["slowed"] == 1, "the guest is slowed")
        await call.write(flood)
        answer = await good.send(await lease_for(good, CONTENT), CONTENT)
        assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        assert counts["uploads_refused"] == wire.MAX_PARTS
        call.cancel()
