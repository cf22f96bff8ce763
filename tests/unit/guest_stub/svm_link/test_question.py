"""Tests of a question: what is told when, and that each index ends once."""

import asyncio

import pytest

from guest_stub.outcome import Outcome
from guest_stub.svm_link.question import FirstReply, Question, Upload
from guest_stub.svm_link.values import Batch, FileContent, LinkAnswer, Purpose

NEEDED, PENDING = int(Outcome.CONTENT_NEEDED), int(Outcome.PENDING)
CONTENT_NEEDED = LinkAnswer(Outcome.CONTENT_NEEDED)
CLEAN = LinkAnswer(Outcome.CLEAN, 5, 60.0)
MALICIOUS = LinkAnswer(Outcome.MALICIOUS, 5, 60.0, "T", "yara")
ENGINE_ERROR = LinkAnswer(Outcome.ENGINE_ERROR, reason="the SVM's word")
CHANGED = LinkAnswer(Outcome.CHANGED)


def no_file() -> int:
    """Nobody opens anything here."""
    raise AssertionError


class Asked:
    """A question about `count` digests, with what it hands out."""

    def __init__(self, count: int) -> None:
        self.uploads: list[Upload] = []
        self.closed = 0
        batch = Batch(
            [bytes([index]) * 32 for index in range(count)],
            Purpose.ON_DEMAND,
            60.0,
            lambda index: FileContent(10, b"name%d" % index, no_file),
        )
        self.question = Question(batch, self.uploads.extend, self.close)

    def close(self, _: Question) -> None:
        """Count."""
        self.closed += 1

    def first(self, *outcomes: int, leases: dict[int, int] | None = None) -> Question:
        """Give the first reply."""
        self.question.first(FirstReply(list(outcomes), {}, leases or {}, 5, 60.0))
        return self.question


async def drained(question: Question) -> list[tuple[int, LinkAnswer]]:
    """What has settled; everything must have."""
    async with asyncio.timeout(30):
        return [end async for ended in question.settled() for end in ended]


async def test_known_digests_end_at_once() -> None:
    """A reply without open outcomes closes the question, and settled() gives nothing."""
    asked = Asked(3)
    question = asked.first(4, 3, 11)
    assert question.outcomes == [4, 3, 11]
    assert (asked.closed, question.open, question.told) == (1, 0, frozenset())
    assert question.answer(0) == LinkAnswer(Outcome.NOT_DETECTED, 5, 60.0)
    assert question.answer(2) == LinkAnswer(Outcome.TIMED_OUT)
    assert await drained(question) == []


def test_what_is_said_beside_an_outcome_is_told() -> None:
    """Indexes with a detail are named, and their answer has it."""
    asked = Asked(2)
    asked.question.first(FirstReply([4, 1], {1: MALICIOUS}, {}, 5, 60.0))
    assert asked.question.told == {1}
    assert asked.question.answer(1) == MALICIOUS


def test_numbers_that_are_not_known_are_engine_errors() -> None:
    """Zero, an unknown number and the stub's own numbers in a reply are errors of the sender."""
    question = Asked(4).first(0, 7, int(Outcome.NO_SVM), 4)
    assert question.outcomes == [12, 12, 12, 4]


@pytest.mark.parametrize("count", [1, 3])
def test_a_reply_of_the_wrong_length_answers_nothing(count: int) -> None:
    """Outcomes that do not fit the digests end all of them as ENGINE_ERROR."""
    asked = Asked(2)
    question = asked.first(*[4] * count)
    assert question.outcomes == [12, 12]
    assert f"{count} outcomes for 2 digests" in question.answer(0).reason
    assert asked.closed == 1


async def test_pending_ones_settle_later() -> None:
    """Each pending index ends once, in the order in which the SVM settles them."""
    asked = Asked(3)
    question = asked.first(PENDING, 4, PENDING)
    assert question.open == 2
    question.settle(2, CLEAN)
    question.settle(2, MALICIOUS)
    question.settle(1, MALICIOUS)
    question.settle(9, MALICIOUS)
    question.settle(0, LinkAnswer(Outcome.PENDING))
    assert asked.closed == 0
    question.settle(0, MALICIOUS)
    assert asked.closed == 1
    assert await drained(question) == [(2, CLEAN), (0, MALICIOUS)]


async def test_what_has_ended_meanwhile_comes_together() -> None:
    """A reader that is behind the SVM gets all ends at once."""
    question = Asked(4).first(PENDING, PENDING, 4, PENDING)
    settled = aiter(question.settled())
    question.settle(3, CLEAN)
    question.settle(0, MALICIOUS)
    assert await anext(settled) == [(3, CLEAN), (0, MALICIOUS)]
    question.settle(1, CLEAN)
    assert await anext(settled) == [(1, CLEAN)]
    assert [ended async for ended in settled] == []


async def test_settled_waits_for_what_is_open() -> None:
    """A reader that is ahead of the SVM is woken by each end."""
    question = Asked(2).first(PENDING, PENDING)
    reader = asyncio.get_running_loop().create_task(drained(question))
    await asyncio.sleep(0)
    question.settle(1, CLEAN)
    await asyncio.sleep(0)
    question.settle(0, CLEAN)
    assert await reader == [(1, CLEAN), (0, CLEAN)]


async def test_content_that_is_needed_is_handed_out() -> None:
    """An upload carries lease, digest and content, and is wanted until the index ends."""
    asked = Asked(2)
    question = asked.first(NEEDED, 4, leases={0: 70})
    [upload] = asked.uploads
    assert (upload.index, upload.lease, upload.sha256) == (0, 70, bytes(32))
    assert upload.content.name == b"name0"
    assert upload.wanted
    question.settle(0, CLEAN)
    assert not upload.wanted
    assert await drained(question) == [(0, CLEAN)]
    assert asked.closed == 1


async def test_what_the_stub_found_out_itself_ends_at_once() -> None:
    """A file that changed ends without the SVM; the question closes with the SVM's own word."""
    asked = Asked(1)
    question = asked.first(NEEDED, leases={0: 70})
    asked.uploads[0].end(CHANGED)
    assert await drained(question) == [(0, CHANGED)]
    assert asked.closed == 0
    question.settle(0, ENGINE_ERROR)
    assert asked.closed == 1
    assert await drained(question) == []


async def test_content_without_a_lease_is_an_error_of_the_sender() -> None:
    """CONTENT_NEEDED without a lease ends as ENGINE_ERROR."""
    asked = Asked(1)
    question = asked.first(NEEDED)
    assert asked.uploads == []
    [(_, answer)] = await drained(question)
    assert answer.outcome is Outcome.ENGINE_ERROR
    assert asked.closed == 1


async def test_a_verdict_of_another_guests_upload_counts_at_once() -> None:
    """Where Check gives a verdict while our upload waits, the upload is not wanted any more."""
    asked = Asked(1)
    question = asked.first(NEEDED, leases={0: 70})
    question.settle(0, MALICIOUS)
    assert not asked.uploads[0].wanted
    asked.uploads[0].end(CHANGED)
    assert await drained(question) == [(0, MALICIOUS)]
    assert asked.closed == 1


async def test_a_lease_that_comes_again_is_a_new_upload() -> None:
    """Asked for the content again, the first upload counts no more."""
    asked = Asked(1)
    question = asked.first(PENDING)
    question.settle(0, CONTENT_NEEDED, lease=70)
    question.settle(0, CONTENT_NEEDED, lease=71)
    first, second = asked.uploads
    assert (first.wanted, second.wanted, second.lease) == (False, True, 71)
    first.end(CHANGED)
    question.settle(0, CLEAN)
    assert not second.wanted
    assert await drained(question) == [(0, CLEAN)]


async def test_an_index_that_has_ended_asks_for_no_content() -> None:
    """A lease for a digest whose file has changed is left to expire."""
    asked = Asked(1)
    question = asked.first(NEEDED, leases={0: 70})
    asked.uploads[0].end(CHANGED)
    question.settle(0, CONTENT_NEEDED, lease=71)
    assert len(asked.uploads) == 1
    assert await drained(question) == [(0, CHANGED)]


async def test_failing_before_the_first_reply_ends_all() -> None:
    """Without any reply each digest ends by the reason given."""
    asked = Asked(2)
    asked.question.fail(Outcome.NO_SVM, "gone")
    assert asked.question.outcomes == [100, 100]
    assert asked.question.answer(1) == LinkAnswer(Outcome.NO_SVM, reason="gone")
    assert (asked.closed, await drained(asked.question)) == (1, [])


async def test_failing_later_ends_what_is_open() -> None:
    """What is open ends by the reason given."""
    asked = Asked(3)
    question = asked.first(NEEDED, PENDING, 4, leases={0: 70})
    question.fail(Outcome.TIMED_OUT, "too late")
    assert question.outcomes == [NEEDED, PENDING, 4]
    late = LinkAnswer(Outcome.TIMED_OUT, reason="too late")
    assert await drained(question) == [(0, late), (1, late)]
    assert asked.closed == 1
    question.fail(Outcome.NO_SVM, "again")
    assert asked.closed == 1


def test_a_second_first_reply_is_ignored() -> None:
    """Outcomes stay as the first reply gave them."""
    asked = Asked(1)
    asked.first(4)
    assert asked.first(1).outcomes == [4]
