"""Asks the SVM about files in batches, several at once; asks again where it had no room or went away."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from guest_stub.looking import Looked
from guest_stub.outcome import OPEN, Outcome
from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.question import Question
from guest_stub.svm_link.values import Batch, FileContent, LinkAnswer, Purpose

MAX_BATCH = 1024
GATHER_SECONDS = 0.02  # that a batch which is not full waits for more
BUDGET_SECONDS = 600.0  # the most that the wire allows
MAX_ASKS = 6  # for one file, where the SVM has no room or goes away
_FIRST_PAUSE_SECONDS = 0.25  # before asking again; doubles each time

_PLAIN = (Outcome.NOT_DETECTED, Outcome.CLEAN)
_ASK_AGAIN = frozenset({Outcome.OVERLOADED, Outcome.NO_SVM})


class Links(Protocol):
    """The way to the SVM. `line.Line` is it, and `turn.Turn`."""

    @property
    def current(self) -> SvmLink:
        """The link in use, which may just be lost. For any thread."""

    async def link(self) -> SvmLink:
        """A link that was not lost so far. Raises SvmUnreachable where none is to be had for good."""


class Answers(Protocol):
    """Who takes the answers, on the loop. Each file that was asked about comes back once."""

    def answered(self, files: Sequence[Looked], answer: LinkAnswer, at_once: bool) -> None:
        """One answer for all these files. at_once: in the SVM's first reply."""

    def svm_gone(self, why: str) -> None:
        """No SVM answers any more; the files end as NO_SVM. Called for each batch that meets it."""


class Asker:
    """Questions under way. Every method is called on the loop; tasks live in the group."""

    def __init__(
        self,
        line: Links,
        group: asyncio.TaskGroup,
        answers: Answers,
        content: Callable[[Looked], FileContent],
    ) -> None:
        """content: where the bytes of a file are, when the SVM needs them."""
        self._line = line
        self._group = group
        self._answers = answers
        self._content = content
        self._gathered: list[Looked] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, files: Sequence[Looked]) -> None:
        """Ask about files whose digest is known, soon."""
        self._gathered.extend(files)
        most = min(MAX_BATCH, self._line.current.policy.max_batch)
        while len(self._gathered) >= most:
            self._send(most)
        if self._gathered and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(GATHER_SECONDS, self._gathered_long_enough)

    def cancel(self) -> None:
        """Give up all questions; their files get no answer."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _gathered_long_enough(self) -> None:
        self._timer = None
        if self._gathered:
            self._send(len(self._gathered))

    def _send(self, count: int) -> None:
        files, self._gathered = self._gathered[:count], self._gathered[count:]
        task = self._group.create_task(self._ask(files))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, files: Sequence[Looked]) -> None:
        """Ask until each file has an answer that is worth having, or was asked about often enough."""
        for attempt in range(1, MAX_ASKS + 1):
            again = await self._ask_once(files, last=attempt == MAX_ASKS)
            if not again:
                return
            files = again
            await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))

    async def _ask_once(self, files: Sequence[Looked], last: bool) -> list[Looked]:
        """Ask, hand on the answers; return the files to ask about again."""
        try:
            link = await self._line.link()
        except SvmUnreachable as problem:
            self._answers.svm_gone(str(problem))
            self._answers.answered(files, LinkAnswer(Outcome.NO_SVM), at_once=False)
            return []
        again: list[Looked] = []
        most = link.policy.max_batch  # another SVM than the one that the files were gathered for, perhaps
        for start in range(0, len(files), most):
            again += await self._ask_link(link, files[start : start + most], last)
        return again

    async def _ask_link(self, link: SvmLink, files: Sequence[Looked], last: bool) -> list[Looked]:
        batch = Batch(
            [file.sha256 for file in files],
            Purpose.ON_DEMAND,
            BUDGET_SECONDS,
            lambda index: self._content(files[index]),
        )
        question = await link.check(batch)
        again = self._hand_on(self._first(files, question), at_once=True, last=last)
        async for ended in question.settled():
            alike = defaultdict[LinkAnswer, list[Looked]](list)
            for index, answer in ended:
                alike[answer].append(files[index])
            again += self._hand_on(alike, at_once=False, last=last)
        return again

    def _first(self, files: Sequence[Looked], question: Question) -> dict[LinkAnswer, list[Looked]]:
        """The files that the first reply answers, by their answer."""
        alike = defaultdict[LinkAnswer, list[Looked]](list)
        outcomes, told = question.outcomes, question.told
        for plain in _PLAIN:  # most files by far: no answer of their own is made for each
            ended = [
                file for index, file in enumerate(files) if outcomes[index] == plain and index not in told
            ]
            if ended:
                alike[LinkAnswer(plain, question.generation, question.valid_for)] = ended
        for index, outcome in enumerate(outcomes):
            if outcome not in OPEN and (outcome not in _PLAIN or index in told):
                alike[question.answer(index)].append(files[index])
        return alike

    def _hand_on(
        self, alike: Mapping[LinkAnswer, Sequence[Looked]], at_once: bool, last: bool
    ) -> list[Looked]:
        """Hand on the answers; return the files to ask about again."""
        again: list[Looked] = []
        for answer, files in alike.items():
            if answer.outcome in _ASK_AGAIN and not last:
                again += files
            else:
                self._answers.answered(files, answer, at_once)
        return again
