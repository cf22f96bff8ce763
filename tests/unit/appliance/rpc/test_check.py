"""The Check stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_limits import Limits
from appliance.domain.override import Override
from tests.support.contents import EICAR
from tests.support.svm import RawGuest, StreamEnded, digest_of, end_of, running_svm, until

GOOD = digest_of(b"good")


def request(**fields: object) -> guest_pb2.CheckRequest:
    """A request that is right but for `fields`."""
    right = {"request_id": 1, "purpose": verdict_pb2.PURPOSE_ON_DEMAND, "sha256": [GOOD]}
    return guest_pb2.CheckRequest(**{**right, **fields})  # type: ignore[arg-type]


async def test_an_unknown_digest_is_asked_for_and_then_known(tmp_path: Path) -> None:
    """The first who asks sends the content; from then on everybody gets the verdict at once."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as first, RawGuest.connect(svm) as second:
        reply = await first.ask(GOOD)
        assert list(reply.outcomes) == [verdict_pb2.OUTCOME_CONTENT_NEEDED]
        settled = await first.send(reply.details[0].lease, b"good")
        assert settled.outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        assert settled.generation == first.generation
        assert first.valid_for > 0
        known = await second.ask(GOOD)
        assert list(known.outcomes) == [verdict_pb2.OUTCOME_NOT_DETECTED]
        assert known.generation == second.generation


async def test_one_upload_answers_all_who_wait(tmp_path: Path) -> None:
    """While one guest sends, others wait, and one scan settles them all."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as first, RawGuest.connect(svm) as second:
        asked = await first.ask(digest_of(EICAR))
        waiting = await second.ask(digest_of(EICAR))
        assert list(waiting.outcomes) == [verdict_pb2.OUTCOME_PENDING]
        await first.send(asked.details[0].lease, EICAR)
        settled = await second.answer(waiting.request_id)
        assert settled.outcome == verdict_pb2.OUTCOME_MALICIOUS
        assert settled.detail.engine == "eicar"
        assert svm.parts.protection.counts["contents"] == 1


async def test_the_next_waiter_is_asked_when_the_uploader_goes(tmp_path: Path) -> None:
    """A guest that leaves with a lease passes it on to one that waits."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as second:
        async with RawGuest.connect(svm) as first:
            await first.ask(GOOD)
            waiting = await second.ask(GOOD)
            assert first.attach is not None
            first.attach.cancel()
        settled = await second.answer(waiting.request_id)
        assert settled.outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED
        answer = await second.send(settled.detail.lease, b"good")
        assert answer.outcome == verdict_pb2.OUTCOME_NOT_DETECTED


async def test_the_next_waiter_is_asked_when_the_uploader_stalls(tmp_path: Path) -> None:
    """A guest that holds a lease and sends nothing loses it to one that waits."""
    limits = Limits(upload_stall_seconds=1.0)
    async with (
        running_svm(tmp_path, limits) as svm,
        RawGuest.connect(svm) as first,
        RawGuest.connect(svm) as second,
    ):
        await first.ask(GOOD)
        waiting = await second.ask(GOOD)
        settled = await second.answer(waiting.request_id)
        assert settled.outcome == verdict_pb2.OUTCOME_CONTENT_NEEDED


async def test_a_spent_budget_ends_a_question(tmp_path: Path) -> None:
    """What is open when the budget is spent ends as TIMED_OUT, with a reason."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(GOOD, budget=0.05)
        settled = await guest.answer(reply.request_id)
        assert settled.outcome == verdict_pb2.OUTCOME_TIMED_OUT
        assert "budget" in settled.detail.reason


async def test_a_digest_may_stand_twice(tmp_path: Path) -> None:
    """Both places of one digest in a request are answered."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(GOOD, GOOD)
        assert sorted(reply.outcomes) == [verdict_pb2.OUTCOME_CONTENT_NEEDED, verdict_pb2.OUTCOME_PENDING]
        await guest.send(reply.details[0].lease, b"good")
        for index in (0, 1):
            assert (await guest.answer(reply.request_id, index)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED


async def test_too_many_open_digests_are_answered_as_overloaded(tmp_path: Path) -> None:
    """Over the guest's bound a digest ends as OVERLOADED instead of waiting, and says why."""
    async with running_svm(tmp_path, Limits(open_digests=2)) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(*(digest_of(bytes([number])) for number in range(3)))
        assert reply.outcomes[2] == verdict_pb2.OUTCOME_OVERLOADED
        assert "too many" in reply.details[2].reason


async def test_open_digests_of_other_programs_are_not_the_daemons(tmp_path: Path) -> None:
    """Where other programs of a guest have as many open as they may, its daemon's questions are taken."""
    async with (
        running_svm(tmp_path, Limits(open_digests=2)) as svm,
        RawGuest.connect(svm, attach=False) as one,
    ):
        daemon, scan = (replace(one, metadata=(*one.metadata, ("session", name * 16))) for name in "ab")
        await daemon.say_hello(guest_pb2.GUEST_PROGRAM_DAEMON)
        await scan.say_hello()
        taken = await scan.ask(*(digest_of(bytes([number])) for number in range(3)))
        assert taken.outcomes[2] == verdict_pb2.OUTCOME_OVERLOADED
        assert list((await daemon.ask(digest_of(b"9"))).outcomes) == [verdict_pb2.OUTCOME_CONTENT_NEEDED]


@pytest.mark.parametrize(
    ("wrong", "status", "word"),
    [
        ({"sha256": [GOOD[:31]]}, grpc.StatusCode.INVALID_ARGUMENT, "31 bytes"),
        ({"sha256": [GOOD, b""]}, grpc.StatusCode.INVALID_ARGUMENT, "0 bytes"),
        ({"sha256": []}, grpc.StatusCode.INVALID_ARGUMENT, "0 digests"),
        ({"sha256": [GOOD] * 1025}, grpc.StatusCode.INVALID_ARGUMENT, "1 to 1024"),
        ({"purpose": 0}, grpc.StatusCode.INVALID_ARGUMENT, "purpose 0"),
        ({"purpose": 77}, grpc.StatusCode.INVALID_ARGUMENT, "purpose 77"),
        ({"request_id": 0}, grpc.StatusCode.INVALID_ARGUMENT, "request_id 0"),
        ({"sha256": [bytes(1 << 20)]}, grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
)
async def test_a_request_that_breaks_a_rule_ends_the_stream_with_a_sentence(
    tmp_path: Path, wrong: dict[str, object], status: grpc.StatusCode, word: str
) -> None:
    """The guest reads what is wrong, and another guest notices nothing."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as bad, RawGuest.connect(svm) as good:
        waiting = await good.ask(GOOD)
        with pytest.raises(StreamEnded) as ended:
            await bad.ask_raw(request(**wrong))
        assert ended.value.status is status
        assert word in ended.value.sentence
        await good.send(waiting.details[0].lease, b"good")
        assert (await good.answer(waiting.request_id)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED


async def test_a_request_number_in_use_is_refused(tmp_path: Path) -> None:
    """A second request with the number of an open one ends the stream."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        await guest.ask_raw(request())
        with pytest.raises(StreamEnded, match="request_id 1"):
            await guest.ask_raw(request())


async def test_too_many_open_requests_are_refused(tmp_path: Path) -> None:
    """Over the bound of open requests the stream ends with RESOURCE_EXHAUSTED."""
    async with running_svm(tmp_path, Limits(open_checks=1)) as svm, RawGuest.connect(svm) as guest:
        await guest.ask_raw(request())
        with pytest.raises(StreamEnded) as ended:
            await guest.ask_raw(request(request_id=2))
        assert ended.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_check_without_attach_is_refused(tmp_path: Path) -> None:
    """A guest must be attached to ask."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        with pytest.raises(StreamEnded) as ended:
            await guest.ask(GOOD)
        assert ended.value.status is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_guest_that_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    """The end of a stream gives up its questions and their leases."""
    async with (
        running_svm(tmp_path) as svm,
        RawGuest.connect(svm) as guest,
    ):
        await guest.ask(*(digest_of(bytes([number])) for number in range(9)))
        assert svm.parts.protection.flights.flights == 9
        assert guest.check is not None
        await guest.check.done_writing()
        await end_of(guest.check)
        assert svm.parts.protection.flights.flights == 0


async def test_a_budget_of_any_size_is_a_budget(tmp_path: Path) -> None:
    """A Duration that no clock can hold counts as the longest that is given."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        asked = request()
        asked.budget.seconds = 2**62
        reply = await guest.ask_raw(asked)
        assert list(reply.outcomes) == [verdict_pb2.OUTCOME_CONTENT_NEEDED]


async def test_no_answer_may_be_kept_beyond_the_end_of_an_override(tmp_path: Path) -> None:
    """At once or later: a guest that goes away takes no word of an administrator along that has ended."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(GOOD)
        assert guest.valid_for == 3600
        soon = Override(True, "for now", "me", 1, expires_at=int(time.time()) + 600)
        svm.parts.protection.override(GOOD, soon)
        await guest.answer(1)
        assert 0 < guest.valid_for <= 600
        await guest.ask(digest_of(EICAR))
        assert guest.valid_for == 3600
        await guest.ask(GOOD)
        assert 0 < guest.valid_for <= 600


def flood(guest: RawGuest, number: int) -> Any:
    """A new Check on which `number` questions are said in a row."""

    async def questions() -> AsyncIterator[guest_pb2.CheckRequest]:
        for request_id in range(1, number + 1):
            yield request(request_id=request_id)

    return guest.stub.Check(questions(), metadata=guest.metadata)


async def test_a_guest_that_floods_is_slowed_and_seen_and_another_is_answered(tmp_path: Path) -> None:
    """Its questions wait, one stream after another; a counter and a line tell; the other is answered."""
    told: list[tuple[str, str]] = []
    async with (
        running_svm(tmp_path, Limits(messages_per_second=10)) as svm,
        RawGuest.connect(svm) as bad,
        RawGuest.connect(svm) as good,
    ):
        sessions = svm.parts.sessions
        sessions.on_breach.append(lambda guest, kind, _why: told.append((guest.id, kind)))
        burst = flood(bad, 9)
        await end_of(burst)
        assert sessions.counts["slowed"] == 0
        stream = flood(bad, 20)
        assert len((await good.ask(digest_of(b"another"))).outcomes) == 1
        await until(lambda: sessions.counts["slowed"] >= 3, "the flood is slowed, and goes on")
        flooding = next(session for session in sessions.all() if session.share.told_slowed)
        assert told == [(flooding.guest.id, "slowed")]
        assert sessions.counts["breaches"] == 0
        stream.cancel()


async def test_what_becomes_known_while_a_request_is_opened_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have their turn meanwhile; a content that they had scanned by then is not scanned again."""
    digests = [digest_of(bytes([number])) for number in range(40)]
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        protection = svm.parts.protection
        ask = protection.ask
        allowed = Override(True, "known by now", "somebody", 1)

        def asked(*args: Any) -> int | None:
            """Ask, and have the last of the digests become known right after."""
            asyncio.get_running_loop().call_soon(protection.override, digests[-1], allowed)
            return ask(*args)

        monkeypatch.setattr(protection, "ask", asked)
        reply = await guest.ask(*digests)
        assert reply.outcomes[0] == verdict_pb2.OUTCOME_CONTENT_NEEDED
        assert reply.outcomes[-1] == verdict_pb2.OUTCOME_CLEAN
        assert protection.flights.flights == 39
