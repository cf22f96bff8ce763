"""One batch of digests on its way: the first outcomes at once, the others as they settle. No I/O.

Words of two streams meet here: Check says what became of a digest, Scan what became of an upload
for it. Each index ends once, by whichever word is the more telling.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NamedTuple

from guest_stub.outcome import FROM_WIRE, OPEN, VERDICTS, Outcome
from guest_stub.svm_link.values import Batch, FileContent, LinkAnswer

_OPEN_NUMBERS = frozenset(int(outcome) for outcome in OPEN)
_NO_LEASE = LinkAnswer(Outcome.ENGINE_ERROR, reason="the SVM asked for content and named no lease")


class FirstReply(NamedTuple):
    """The SVM's first word on a batch.

    outcomes: one wire number for each digest. told: what is said beside an outcome, by index.
    leases: of those that are CONTENT_NEEDED, by index. valid_for: seconds.
    """

    outcomes: list[int]
    told: dict[int, LinkAnswer]
    leases: dict[int, int]
    generation: int
    valid_for: float


@dataclass(frozen=True, slots=True)
class Upload:
    """Content that the SVM asked for under a lease, for one index of a question."""

    question: "Question"
    index: int
    lease: int
    sha256: bytes
    content: FileContent

    @property
    def wanted(self) -> bool:
        """False once the index has ended otherwise: what was not sent yet need not be."""
        return self.question.awaits(self)

    def end(self, answer: LinkAnswer) -> None:
        """The upload ended with an answer for the digest, or with the file not being it any more."""
        self.question.upload_ended(self, answer)

    def refused(self, answer: LinkAnswer) -> None:
        """The upload failed; the Check stream still says what becomes of the digest, else `answer` stands."""
        self.question.upload_refused(self, answer)


class Question:
    """The SVM's reply to one batch; each index ends exactly once, in `outcomes` or in `settled()`.

    outcomes: one number for each digest, in the batch's order, as a plain list: a wire outcome that
        is known here (never 0), or NO_SVM or TIMED_OUT. Those in outcome.OPEN are still open and end in
        `settled()`; all others are ends. The list stays as it was at the first reply.
    generation, valid_for: of the first reply; hold for each verdict in `outcomes` (seconds).

    The methods below settled() are the link's. upload: takes what the SVM asks for. closed: called
    once, when nothing is open any more.
    """

    def __init__(
        self, batch: Batch, upload: Callable[[Upload], None], closed: Callable[["Question"], None]
    ) -> None:
        self.batch = batch
        self.outcomes: list[int] = []
        self.generation = 0
        self.valid_for = 0.0
        self._upload = upload
        self._closed: Callable[[Question], None] | None = closed
        self._told: dict[int, LinkAnswer] = {}
        self._owed: set[int] = set()  # the SVM has not ended these yet
        self._open: set[int] = set()  # the caller has not been told the end of these yet
        self._uploads: dict[int, Upload] = {}
        self._fallback: dict[int, LinkAnswer] = {}  # stands if nothing better comes
        self._ended: deque[tuple[int, LinkAnswer]] = deque()
        self._wake: asyncio.Future[None] | None = None

    @property
    def open(self) -> int:
        """How many indexes have not ended yet."""
        return len(self._open)

    @property
    def told(self) -> frozenset[int]:
        """Indexes of `outcomes` beside which more is said than the outcome: ask answer() for those."""
        return frozenset(self._told)

    def answer(self, index: int) -> LinkAnswer:
        """The end of an index that was not open in the first reply, with what was said beside it."""
        told = self._told.get(index)
        if told is not None:
            return told
        outcome = Outcome(self.outcomes[index])
        if outcome in VERDICTS:
            return LinkAnswer(outcome, self.generation, self.valid_for)
        return LinkAnswer(outcome)

    async def settled(self) -> AsyncIterator[tuple[int, LinkAnswer]]:
        """Yield (index, answer) of each index that was open, once, as each ends; stop when none is open.

        Ends by itself, whatever the SVM does: 10 s after the batch's budget at the latest. Uploads
        that the SVM asks for go on meanwhile, whether or not somebody iterates. A file that is not
        what was hashed any more ends as CHANGED, one that cannot be read as UNREADABLE. For one reader.
        """
        while True:
            while self._ended:
                yield self._ended.popleft()
            if not self._open:
                return
            await self.changed()

    async def changed(self) -> None:
        """Wait for the first reply, or for the next end."""
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def first(self, reply: FirstReply) -> None:
        """Take the first reply; a second one is ignored."""
        if self.outcomes:
            return
        outcomes = reply.outcomes
        kinds = set(outcomes)
        if len(outcomes) != len(self.batch.digests):
            self._give_all(
                Outcome.ENGINE_ERROR,
                f"the SVM gave {len(outcomes)} outcomes for {len(self.batch.digests)} digests",
            )
            return
        if not kinds <= FROM_WIRE:
            outcomes = [number if number in FROM_WIRE else Outcome.ENGINE_ERROR for number in outcomes]
        self.generation, self.valid_for, self._told = reply.generation, reply.valid_for, reply.told
        self.outcomes = outcomes
        if not kinds.isdisjoint(_OPEN_NUMBERS):
            self._keep_open(reply.leases)
        self._close_when_done()
        self._notify()

    def settle(self, index: int, answer: LinkAnswer, lease: int = 0) -> None:
        """Take the Check stream's word on an index; one that is not owed is ignored."""
        if index not in self._owed:
            return
        if answer.outcome == Outcome.PENDING:
            return
        if answer.outcome == Outcome.CONTENT_NEEDED and lease:
            self._need(index, lease)
            return
        self._owed.discard(index)
        if answer.outcome == Outcome.CONTENT_NEEDED:
            self._end(index, _NO_LEASE)
        elif index in self._uploads and answer.outcome not in VERDICTS:
            self._fallback[index] = answer  # the upload's own end says more, and is on its way
        else:
            self._end(index, answer)
        self._close_when_done()

    def fail(self, outcome: Outcome, reason: str) -> None:
        """End all that is open: the SVM is gone, or the time is up."""
        if not self.outcomes:
            self._give_all(outcome, reason)
            return
        if outcome is Outcome.NO_SVM:  # what went wrong with an upload then is only what came of it
            self._fallback.clear()
        for index in sorted(self._open):
            self._end(index, self._fallback.get(index) or LinkAnswer(outcome, reason=reason))
        self._owed.clear()
        self._close_when_done()

    def awaits(self, upload: Upload) -> bool:
        """Whether this upload can still bring its index to an end."""
        return self._uploads.get(upload.index) is upload

    def upload_ended(self, upload: Upload, answer: LinkAnswer) -> None:
        """See Upload.end."""
        if self.awaits(upload):
            self._end(upload.index, answer)
            self._close_when_done()

    def upload_refused(self, upload: Upload, answer: LinkAnswer) -> None:
        """See Upload.refused."""
        if not self.awaits(upload):
            return
        del self._uploads[upload.index]
        known = self._fallback.setdefault(upload.index, answer)
        if upload.index not in self._owed:
            self._end(upload.index, known)
            self._close_when_done()

    def _keep_open(self, leases: dict[int, int]) -> None:
        indexes = [index for index, number in enumerate(self.outcomes) if number in _OPEN_NUMBERS]
        self._owed.update(indexes)
        self._open.update(indexes)
        for index in indexes:
            if self.outcomes[index] == Outcome.CONTENT_NEEDED:
                wanted = LinkAnswer(Outcome.CONTENT_NEEDED)
                self.settle(index, wanted, leases.get(index, 0))

    def _need(self, index: int, lease: int) -> None:
        if index not in self._open:
            return
        content = self.batch.content(index)
        upload = Upload(self, index, lease, self.batch.digests[index], content)
        self._uploads[index] = upload
        self._upload(upload)

    def _end(self, index: int, answer: LinkAnswer) -> None:
        if index not in self._open:
            return
        self._open.discard(index)
        self._uploads.pop(index, None)
        self._fallback.pop(index, None)
        self._ended.append((index, answer))
        self._notify()

    def _give_all(self, outcome: Outcome, reason: str) -> None:
        self.outcomes = [int(outcome)] * len(self.batch.digests)
        answer = LinkAnswer(outcome, reason=reason)
        self._told = dict.fromkeys(range(len(self.outcomes)), answer)
        self._close_when_done()
        self._notify()

    def _close_when_done(self) -> None:
        if self._owed or self._open or self._closed is None:
            return
        closed, self._closed = self._closed, None
        closed(self)

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)
