"""The Check stream: questions out, replies to the question that they belong to.

One task writes and one reads. A caller's cancellation never reaches the stream, which all callers share.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from grpc import aio
from lightagent.v1.guest_pb2 import CheckReply, CheckRequest

from guest_stub.outcome import Outcome
from guest_stub.svm_link.question import Question, Upload
from guest_stub.svm_link.values import Batch
from guest_stub.svm_link.wire import answer, first_reply, seconds

# The wire allows 64 open requests. The second number keeps one guest from filling an SVM with its defaults.
MAX_OPEN_QUESTIONS = 64
MAX_OPEN_DIGESTS = 8192

# After the budget the SVM itself ends what is open; only one that breaks its word takes this longer.
GRACE_SECONDS = 10.0

_MAX_BUDGET_SECONDS = 600.0

Call = aio.StreamStreamCall[CheckRequest, CheckReply]


@dataclass(slots=True)
class _Asked:
    """A question that is not closed: its deadline, and whether it counts against the room."""

    question: Question
    timer: asyncio.TimerHandle
    heard_before: int
    sent: bool = False


class CheckStream:
    """Questions under way on one call.

    upload: takes the content that the SVM asks for. silent: told when a question got no reply at all
    within its budget and GRACE_SECONDS, and nothing else came either: the SVM hangs.
    """

    def __init__(self, call: Call, upload: Callable[[Upload], None], silent: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._upload = upload
        self._silent = silent
        self._asked: dict[int, _Asked] = {}
        self._waiting: deque[int] = deque()  # asked, but there is no room yet
        self._open_questions = 0
        self._open_digests = 0
        self._last_id = 0
        self._heard = 0  # messages that came
        self._outbox: deque[CheckRequest] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._ended: str | None = None

    async def ask(self, batch: Batch) -> Question:
        """Return when the first reply to the batch is there, or its time is up, or the SVM is gone."""
        self._last_id += 1
        request_id = self._last_id
        question = Question(batch, self._upload, lambda _: self._closed(request_id))
        deadline = min(batch.budget, _MAX_BUDGET_SECONDS) + GRACE_SECONDS
        timer = self._loop.call_later(deadline, self._expire, request_id)
        self._asked[request_id] = _Asked(question, timer, self._heard)
        if self._ended is not None:
            question.fail(Outcome.NO_SVM, self._ended)
            return question
        self._waiting.append(request_id)
        self._admit()
        if not question.outcomes:
            await question.changed()
        return question

    async def write(self) -> None:
        """Send what is asked, for the life of the call; raises what the call raises."""
        while True:
            while self._outbox:
                await self._call.write(self._outbox.popleft())
            self._wake = self._loop.create_future()
            await self._wake

    async def read(self) -> None:
        """Hand replies to their questions until the SVM ends the call; raises what the call raises."""
        while isinstance(reply := await self._call.read(), CheckReply):
            self._heard += 1
            self._take(reply)

    def end(self, why: str) -> None:
        """End all questions as NO_SVM, and all that are asked from now on."""
        self._ended = why
        self._outbox.clear()
        for asked in list(self._asked.values()):
            asked.question.fail(Outcome.NO_SVM, why)

    def _take(self, reply: CheckReply) -> None:
        asked = self._asked.get(reply.request_id)
        if asked is None:  # closed meanwhile: its time was up
            return
        question = asked.question
        if reply.outcomes and not question.outcomes:
            question.first(first_reply(reply))
        for settled in reply.settled:
            said = answer(settled.outcome, settled.detail, reply.generation, seconds(settled.valid_for))
            question.settle(settled.index, said, settled.detail.lease)

    def _admit(self) -> None:
        """Send the questions that there is room for, in the order that they were asked."""
        while self._waiting:
            asked = self._asked.get(self._waiting[0])
            if asked is None:
                self._waiting.popleft()
                continue
            batch = asked.question.batch
            digests = self._open_digests + len(batch.digests)
            if self._open_questions >= MAX_OPEN_QUESTIONS:
                return
            if digests > MAX_OPEN_DIGESTS and self._open_questions:
                return
            asked.sent = True
            self._open_questions += 1
            self._open_digests = digests
            left = asked.timer.when() - self._loop.time() - GRACE_SECONDS
            self._send(self._waiting.popleft(), batch, left)

    def _send(self, request_id: int, batch: Batch, seconds_left: float) -> None:
        budget = Duration()
        budget.FromMilliseconds(max(1, int(seconds_left * 1000)))
        self._outbox.append(
            CheckRequest(
                request_id=request_id,
                purpose=int(batch.purpose),  # type: ignore[arg-type]
                sha256=batch.digests,
                budget=budget,
            )
        )
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _closed(self, request_id: int) -> None:
        asked = self._asked.pop(request_id)
        asked.timer.cancel()
        if asked.sent:
            self._open_questions -= 1
            self._open_digests -= len(asked.question.batch.digests)
            self._admit()

    def _expire(self, request_id: int) -> None:
        asked = self._asked[request_id]
        silent = asked.sent and not asked.question.outcomes and asked.heard_before == self._heard
        budget = asked.question.batch.budget
        asked.question.fail(Outcome.TIMED_OUT, f"no answer within the budget of {budget:g} s")
        if silent:
            self._silent(f"the SVM has not answered for {budget + GRACE_SECONDS:g} s")
