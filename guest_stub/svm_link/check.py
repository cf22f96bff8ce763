"""The Check stream: questions out, replies to the question that they belong to.

One task writes and one reads. A caller's cancellation never reaches the stream, which all callers share.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from google.protobuf.duration_pb2 import Duration
from grpc import aio
from lightagent.v1.guest_pb2 import CheckReply, CheckRequest

from guest_stub.outcome import Outcome
from guest_stub.svm_link.ending import Ending
from guest_stub.svm_link.question import Question, Upload
from guest_stub.svm_link.values import Batch
from guest_stub.svm_link.wire import first_reply, seconds, settled_answer

# The wire allows 64 open requests. The second number keeps one guest from filling an SVM with its defaults.
MAX_OPEN_QUESTIONS = 64
MAX_OPEN_DIGESTS = 8192

# After the budget the SVM itself ends what is open; only one that breaks its word takes this longer.
GRACE_SECONDS = 10.0

_MAX_BUDGET_SECONDS = 600.0
_SWEEP_SECONDS = 0.5

Call = aio.StreamStreamCall[CheckRequest, CheckReply]


class CheckStream:
    """Questions under way on one call.

    upload: takes the content that the SVM asks for. silent: told when a question got no reply at all
    within its budget and GRACE_SECONDS, and nothing else came either: the SVM hangs. ending: why the call
    ended; what read() and write() raise may not say that.
    """

    def __init__(
        self, call: Call, upload: Callable[[Sequence[Upload]], None], silent: Callable[[str], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self.ending = Ending(call)
        self._upload = upload
        self._silent = silent
        self._asked: dict[int, _Asked] = {}  # by request_id: what is not closed
        self._waiting: deque[_Asked] = deque()  # those that there is no room for yet
        self._open_questions = 0
        self._open_digests = 0
        self._last_id = 0
        self._heard = 0  # messages that came
        self._outbox: deque[CheckRequest] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._ended: str | None = None

    async def ask(self, batch: Batch) -> Question:
        """Return when the first reply to the batch is there, or its time is up, or the SVM is gone."""
        self._last_id += 1
        question = _Asked(batch, self._upload, self._close)
        question.request_id = self._last_id
        question.heard = self._heard
        question.deadline = self._loop.time() + min(batch.budget, _MAX_BUDGET_SECONDS)
        if self._ended is not None:
            question.fail(Outcome.NO_SVM, self._ended)
            return question
        self._asked[question.request_id] = question
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        self._waiting.append(question)
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
            question = self._asked.get(reply.request_id)
            if question is None:  # its time was up
                continue
            if not question.outcomes:
                question.first(first_reply(reply))
                continue
            valid_for = seconds(reply.valid_for)
            for settled in reply.settled:
                lease = settled.detail.lease if settled.HasField("detail") else 0
                question.settle(settled.index, settled_answer(settled, valid_for), lease)

    def end(self, why: str) -> None:
        """End all questions as NO_SVM, and all that are asked from now on."""
        self._ended = why
        self._waiting.clear()
        self._outbox.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for question in list(self._asked.values()):
            question.fail(Outcome.NO_SVM, why)

    def _admit(self) -> None:
        """Send the questions that there is room for, in the order that they were asked."""
        while self._waiting:
            question = self._waiting[0]
            if question.request_id in self._asked:  # else its time was up while it waited
                digests = self._open_digests + len(question.batch.digests)
                if self._open_questions >= MAX_OPEN_QUESTIONS:
                    return
                if digests > MAX_OPEN_DIGESTS and self._open_questions:
                    return
                self._open_questions += 1
                self._open_digests = digests
                self._send(question)
            self._waiting.popleft()

    def _send(self, question: "_Asked") -> None:
        left = max(0.001, question.deadline - self._loop.time())
        batch = question.batch
        question.sent = True
        self._outbox.append(
            CheckRequest(
                request_id=question.request_id,
                purpose=batch.purpose,  # type: ignore[arg-type]
                sha256=batch.digests,
                budget=Duration(seconds=int(left), nanos=int(left % 1 * 1e9)),
            )
        )
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _close(self, question: Question) -> None:
        """Nothing is open any more: there is room for another question."""
        assert isinstance(question, _Asked)
        self._asked.pop(question.request_id, None)
        if question.sent:
            self._open_questions -= 1
            self._open_digests -= len(question.batch.digests)
            if self._waiting:
                self._admit()

    def _sweep(self) -> None:
        """End the questions whose SVM has not kept to their budget."""
        late = self._loop.time() - GRACE_SECONDS
        for question in [asked for asked in self._asked.values() if asked.deadline < late]:
            budget = question.batch.budget
            silent = question.sent and not question.outcomes and question.heard == self._heard
            question.fail(Outcome.TIMED_OUT, f"no answer within the budget of {budget:g} s")
            if silent:
                self._silent(f"the SVM has not answered for {budget + GRACE_SECONDS:g} s")
        again = self._asked and self._ended is None
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep) if again else None


class _Asked(Question):
    """A question with what the stream keeps on it.

    deadline: on the loop's clock, without the grace. heard: messages that had come when it was asked.
    """

    request_id: int
    deadline: float
    heard: int
    sent: bool = False
