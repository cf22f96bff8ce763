"""Tests of the Check stream, against a server that can misbehave."""

import asyncio
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from guest_stub.outcome import Outcome
from guest_stub.svm_link.check import GRACE_SECONDS, MAX_OPEN_DIGESTS, MAX_OPEN_QUESTIONS
from guest_stub.svm_link.values import LinkAnswer
from tests.support.guest_side_server import Behaviour, numbers
from tests.support.held_files import Clock, attached, batch_of, digest_of, ends, until


async def test_known_digests_are_answered_in_order(tmp_path: Path) -> None:
    """A batch of known digests comes back as a list of numbers in its order, details apart."""
    async with attached(tmp_path) as (link, server):
        batch = batch_of(1024)
        server.known = {digest: 1 + index % 4 for index, digest in enumerate(batch.digests)}
        question = await link.check(batch)
        assert question.outcomes == [1 + index % 4 for index in range(1024)]
        assert question.told == {index for index in range(1024) if index % 4 == 0}
        assert question.answer(4) == LinkAnswer(
            Outcome.MALICIOUS, 7, 3600.0, "Eicar-Test-Signature", "eicar", "a/b.com"
        )
        assert question.answer(5) == LinkAnswer(Outcome.SUSPICIOUS, 7, 3600.0)
        assert [settled async for settled in question.settled()] == []
        [request] = server.check_requests
        assert (request.purpose, list(request.sha256)) == (2, list(batch.digests))
        assert 55 <= request.budget.seconds <= 60


async def test_batches_may_be_answered_in_any_order(tmp_path: Path) -> None:
    """Each reply reaches the question that it belongs to."""
    held: list[guest_pb2.CheckRequest] = []
    behaviour = Behaviour()
    async with attached(tmp_path, behaviour) as (link, server):

        def answer_backwards(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
            held.append(request)
            if len(held) < 3:
                return []
            return [reply for request in reversed(held) for reply in server.sound_replies(request)]

        behaviour.on_check = answer_backwards
        server.known = {digest_of(number): 2 + number for number in range(3)}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.check(batch_of(1, first=number))) for number in range(3)]
        assert [task.result().outcomes for task in tasks] == [[2], [3], [4]]


async def test_pending_digests_settle_later(tmp_path: Path) -> None:
    """What another guest sends settles by later replies, at once or in parts."""
    behaviour = Behaviour(
        on_check=lambda request: [
            guest_pb2.CheckReply(request_id=request.request_id, outcomes=numbers(21, 3, 21), generation=7)
        ]
    )
    async with attached(tmp_path, behaviour) as (link, server):
        question = await link.check(batch_of(3))
        assert (question.outcomes, question.open) == ([21, 3, 21], 2)
        reply = guest_pb2.CheckReply(request_id=server.check_requests[0].request_id, generation=8)
        reply.settled.add(index=2, outcome=1, generation=8).detail.threat = "T"
        await server.say(reply)
        del reply.settled[:]
        reply.settled.add(index=0, outcome=10).detail.reason = "over 256 MiB"
        await server.say(reply)
        answers = await ends(question)
    assert answers[2] == LinkAnswer(Outcome.MALICIOUS, 8, threat="T")
    assert answers[0] == LinkAnswer(Outcome.TOO_LARGE, reason="over 256 MiB")


async def test_unknown_and_zero_outcomes_are_errors(tmp_path: Path) -> None:
    """An SVM that sends zero or an unknown number has not said that a file is clean."""

    def nonsense(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        first = guest_pb2.CheckReply(request_id=request.request_id, generation=7)
        first.outcomes.extend(numbers(0, 77, 21, 21, 4))
        later = guest_pb2.CheckReply(request_id=request.request_id, generation=7)
        later.settled.add(index=2)
        later.settled.add(index=3, outcome=77)
        later.settled.add(index=4, outcome=1)
        later.settled.add(index=99, outcome=1)
        return [first, guest_pb2.CheckReply(request_id=12345, outcomes=first.outcomes), later]

    async with attached(tmp_path, Behaviour(on_check=nonsense)) as (link, _):
        answers = await ends(await link.check(batch_of(5)))
    assert [answers[index].outcome.name for index in range(5)] == ["ENGINE_ERROR"] * 4 + ["NOT_DETECTED"]


async def test_no_more_questions_are_open_than_the_wire_allows(tmp_path: Path) -> None:
    """The question over the limit is sent when one of those before it is answered."""
    behaviour = Behaviour(on_check=lambda _: [])
    async with attached(tmp_path, behaviour) as (link, server):
        server.known = {digest_of(number): 4 for number in range(MAX_OPEN_QUESTIONS + 2)}
        async with asyncio.TaskGroup() as group:
            for number in range(MAX_OPEN_QUESTIONS + 2):
                group.create_task(link.check(batch_of(1, first=number)))
            await until(lambda: len(server.check_requests) >= MAX_OPEN_QUESTIONS)
            assert len(server.check_requests) == MAX_OPEN_QUESTIONS
            behaviour.on_check = server.sound_replies
            for request in list(server.check_requests):
                await server.say(*server.sound_replies(request))
        assert len(server.check_requests) == MAX_OPEN_QUESTIONS + 2


async def test_no_more_digests_are_open_than_an_svm_takes(tmp_path: Path) -> None:
    """Large batches wait for those before them, in their order."""
    behaviour = Behaviour(on_check=lambda _: [])
    async with attached(tmp_path, behaviour) as (link, server):
        full = MAX_OPEN_DIGESTS // 1024
        server.known = {digest_of(number): 4 for number in range(1024)}
        async with asyncio.TaskGroup() as group:
            for _ in range(full + 1):
                group.create_task(link.check(batch_of(1024)))
            group.create_task(link.check(batch_of(1)))
            await until(lambda: len(server.check_requests) >= full)
            assert len(server.check_requests) == full
            behaviour.on_check = server.sound_replies
            for request in list(server.check_requests):
                await server.say(*server.sound_replies(request))
        assert [len(request.sha256) for request in server.check_requests] == [1024] * (full + 1) + [1]


async def test_a_caller_that_gives_up_disturbs_nobody(tmp_path: Path) -> None:
    """Cancelling one question leaves the stream and the other questions as they were."""
    behaviour = Behaviour(on_check=lambda _: [])
    async with attached(tmp_path, behaviour) as (link, server):
        server.known = {digest_of(0): 4}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(link.check(batch_of(1)), 0.05)
        behaviour.on_check = server.sound_replies
        assert (await link.check(batch_of(1))).outcomes == [4]
        assert not link.lost.is_set()


async def test_an_svm_that_answers_late_is_timed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is open after the budget and its grace ends as TIMED_OUT; the SVM's late word changes nothing."""
    behaviour = Behaviour(
        on_check=lambda request: [
            guest_pb2.CheckReply(request_id=request.request_id, outcomes=numbers(21, 4))
        ]
    )
    async with attached(tmp_path, behaviour) as (link, server):
        question = await link.check(batch_of(2, budget=5.0))
        Clock(monkeypatch).forward(5.0 + GRACE_SECONDS)
        answers = await ends(question)
        assert answers[0].outcome is Outcome.TIMED_OUT
        assert "5 s" in answers[0].reason
        assert not link.lost.is_set()
        late = guest_pb2.CheckReply(request_id=server.check_requests[0].request_id)
        late.settled.add(index=0, outcome=1)
        await server.say(late)
        assert (await link.check(batch_of(2))).outcomes == [21, 4]


async def test_an_svm_that_hangs_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any word within budget and grace, the question is timed out and the SVM given up."""
    async with attached(tmp_path, Behaviour(on_check=lambda _: [])) as (link, server):
        async with asyncio.TaskGroup() as group:
            short = group.create_task(link.check(batch_of(1, budget=5.0)))
            long = group.create_task(link.check(batch_of(1, budget=100.0)))
            await until(lambda: len(server.check_requests) == 2)
            Clock(monkeypatch).forward(5.0 + GRACE_SECONDS)
        assert short.result().outcomes == [Outcome.TIMED_OUT]
        assert long.result().outcomes == [Outcome.NO_SVM]
        assert link.lost.is_set()
        assert link.why_lost == "the SVM has not answered for 15 s"


async def test_a_batch_of_another_size_is_the_callers_mistake(tmp_path: Path) -> None:
    """An empty batch and one over the policy's limit raise, and ask nothing."""
    async with attached(tmp_path) as (link, server):
        for count in (0, 1025):
            with pytest.raises(ValueError, match=f"{count} digests in a batch: give 1 to 1024"):
                await link.check(batch_of(count))
        assert server.check_requests == []
