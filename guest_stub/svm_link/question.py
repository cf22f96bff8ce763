"""One batch of digests on its way: the first outcomes at once, the others as they settle. No I/O.

The SVM says on Check what became of each digest. The stub itself finds out, when it is to send the
content, that a file has changed or cannot be read. Each index ends once, by whoever is first.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guest_stub.outcome import FROM_WIRE, OPEN, VERDICTS, Outcome
from guest_stub.svm_link.values import Batch, FileContent, LinkAnswer

_OPEN_NUMBERS = frozenset(int(outcome) for outcome in OPEN)
_CONTENT_NEEDED = LinkAnswer(Outcome.CONTENT_NEEDED)
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


@dataclass(slots=True, eq=False)
class Upload:
    """Content that the SVM asked for under a lease, for one index of a question.

    sends: how often it was begun to be sent.
    """

    question: "Question"
    index: int
    lease: int
    sha256: bytes
    content: FileContent
    sends: int = 0

    @property
    def wanted(self) -> bool:
        """False once the index has ended otherwise: what was not sent yet need not be."""
        return self.question.awaits(self)

    def end(self, answer: LinkAnswer) -> None:
        """The file is not what was hashed any more, or cannot be sent."""
        self.question.upload_ended(self, answer)


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
        self,
        batch: Batch,
        upload: Callable[[Sequence[Upload]], None],
        closed: Callable[["Question"], None],
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
        self._ended: list[tuple[int, LinkAnswer]] = []  # that the caller has not taken yet
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

    async def settled(self) -> AsyncIterator[Sequence[tuple[int, LinkAnswer]]]:
        """Yield (index, answer) of each index that was open, once; stop when none is open.

        What has ended since the last time comes together. Ends by itself, whatever the SVM does: 10 s
        after the batch's budget at the latest. Uploads that the SVM asks for go on meanwhile, whether or
        not somebody iterates. A file that is not what was hashed any more ends as CHANGED, one that cannot
        be read as UNREADABLE. For one reader.
        """
        while True:
            if self._ended:
                ended, self._ended = self._ended, []
                yield ended
            elif not self._open:
                return
            else:
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
            if index in self._open:
                self._upload([self._need(index, lease)])
            return
        self._owed.discard(index)
        self._end(index, _NO_LEASE if answer.outcome == Outcome.CONTENT_NEEDED else answer)
        self._close_when_done()

    def fail(self, outcome: Outcome, reason: str) -> None:
        """End all that is open: the SVM is gone, or the time is up."""
        if not self.outcomes:
            self._give_all(outcome, reason)
            return
        answer = LinkAnswer(outcome, reason=reason)
        for index in sorted(self._open):
            self._end(index, answer)
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

    def _keep_open(self, leases: dict[int, int]) -> None:
        indexes = [index for index, number in enumerate(self.outcomes) if number in _OPEN_NUMBERS]
        self._owed.update(indexes)
        self._open.update(indexes)
        uploads = []
        for index in indexes:
            if self.outcomes[index] == Outcome.CONTENT_NEEDED:
                if lease := leases.get(index, 0):
                    uploads.append(self._need(index, lease))
                else:
                    self.settle(index, _CONTENT_NEEDED)
        if uploads:
            self._upload(uploads)

    def _need(self, index: int, lease: int) -> Upload:
        content = self.batch.content(index)
        upload = Upload(self, index, lease, self.batch.digests[index], content)
        self._uploads[index] = upload
        return upload

    def _end(self, index: int, answer: LinkAnswer) -> None:
        if index not in self._open:
            return
        self._open.discard(index)
        self._uploads.pop(index, None)
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
