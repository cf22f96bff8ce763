"""What an open file is: hashed off the loop, asked about in batches, looked at again before it counts."""

import asyncio
import errno
import os
from concurrent.futures import Executor
from dataclasses import replace
from threading import Lock
from typing import NamedTuple, Protocol

from guest_stub.decision import FileId
from guest_stub.hashing import HashLimits, HashResult, hash_open
from guest_stub.on_access.recent import Recent
from guest_stub.on_access.turns import Turns
from guest_stub.outcome import DETECTIONS, OPEN, Outcome
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import Batch, FileContent, LinkAnswer, Purpose

MAX_LOOKS = 3  # at a file that changes meanwhile
MAX_BATCH = 256
USUAL_MAX_BYTES = 256 << 20  # where no SVM has said how much it takes
# Ends that say nothing of the content.
_NO_WORD = frozenset(
    {Outcome.NO_SVM, Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.ENGINE_ERROR, Outcome.CHANGED}
)
_NO_SVM = LinkAnswer(Outcome.NO_SVM, reason="no SVM answers")


class Links(Protocol):
    """The way to the SVM. `standing.StandingLine` is it."""

    @property
    def current(self) -> SvmLink | None:
        """The link in use, None while there is none."""

    async def after(self, lost: SvmLink) -> SvmLink | None:
        """The link that has taken the place of one that was lost by that; None where none has."""


class Bad(Protocol):
    """Which contents are known to be bad. `detected.Detected` is it."""

    def recall(self, sha256: bytes) -> LinkAnswer | None:
        """What an SVM said of a content that it detected."""

    def heard(self, sha256: bytes, answer: LinkAnswer) -> None:
        """What an SVM says of a content now."""


class Judged(NamedTuple):
    """What became of a file. sha256: b"" where it could not be read. file: what it was when it was read.

    still: whether it kept still until it was judged. Where it did not, this counts for who waits, and
    says nothing of the file at another time: it is not for keeping.
    """

    answer: LinkAnswer
    sha256: bytes
    file: FileId
    still: bool = True


class HeldFile:
    """An open file that several threads use: none of them ever meets another file under its number.

    fd: for the loop alone, which closes it. known: what it is as far as one knows, while an SVM is asked
    about a content that was detected before.
    """

    def __init__(self, fd: int) -> None:
        """Hold a duplicate; `fd` stays the caller's. Raises OSError."""
        self.fd = os.dup(fd)
        self.known: Judged | None = None
        self._lock = Lock()

    def dup(self) -> int:
        """Return a descriptor of the caller's own. Raises OSError where the file was let go of."""
        with self._lock:
            if self.fd < 0:
                raise OSError(errno.EBADF, "nobody waits for this file any more")
            return os.dup(self.fd)

    def hashed(self, limits: HashLimits) -> HashResult:
        """Hash it; for a thread."""
        try:
            fd = self.dup()
        except OSError as error:
            return HashResult(None, b"", Outcome.UNREADABLE, error.strerror or str(error))
        try:
            return hash_open(fd, replace(limits, stop=lambda: self.fd < 0))
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of it, the first time; a thread that still hashes it ends."""
        with self._lock:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1


class _Question(NamedTuple):
    sha256: bytes
    content: FileContent
    seconds: float
    answered: asyncio.Future[LinkAnswer]


class _Look(NamedTuple):
    """sha256: of the file as it is, b"" where it has to be read. before: of what the last look has read."""

    file: FileId
    sha256: bytes
    before: bytes


class Judge:
    """Serves one event loop. hashing: the threads that read."""

    def __init__(
        self,
        links: Links,
        hashing: Executor,
        purpose: Purpose,
        recent: Recent | None = None,
        bad: Bad | None = None,
    ) -> None:
        """purpose: why it is asked. recent: what need not be asked again; None has all asked. bad: what
        stays detected while the SVM cannot say what it is.
        """
        self._recent = recent
        self._bad = bad
        self._links = links
        self._turns = Turns(hashing)
        self._purpose = purpose
        self._gathered: list[_Question] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def judge(self, held: HeldFile, file: FileId, sha256: bytes, seconds: float) -> Judged:
        """Return what a file is, within `seconds`. Raises nothing but cancellation.

        held: stays the caller's. sha256: of the file as it is, b"" where it is not known.

        Who owns a file can move its times as he likes, so these decide no more than whether it is read again.
        What was seen to be bad counts in any case; what is harmless counts where the file kept still, or was
        the same when it was read twice.
        """
        before = b""
        try:
            async with asyncio.timeout(seconds):
                for _ in range(MAX_LOOKS):
                    judged = await self._look(held, _Look(file, sha256, before), seconds)
                    now, outcome = FileId.of(os.fstat(held.fd)), judged.answer.outcome
                    still = judged.still and now == judged.file
                    same = bool(before) and judged.sha256 == before
                    if outcome in DETECTIONS or (outcome is not Outcome.CHANGED and (still or same)):
                        return judged._replace(still=still)
                    file, sha256, before = now, b"", judged.sha256
                return Judged(LinkAnswer(Outcome.CHANGED, reason="changes again and again"), b"", file, False)
        except TimeoutError:
            late = Judged(LinkAnswer(Outcome.TIMED_OUT, reason="no verdict in time"), sha256, file)
            return held.known or late
        except OSError as error:
            return Judged(LinkAnswer(Outcome.UNREADABLE, reason=error.strerror or str(error)), b"", file)

    async def ask(self, sha256: bytes, seconds: float) -> LinkAnswer:
        """What the SVM knows of a content that it cannot be shown. Raises nothing but cancellation."""
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(sha256, FileContent(0, b"", _nothing), seconds)
        except TimeoutError:
            return LinkAnswer(Outcome.TIMED_OUT, reason="no verdict in time")

    async def _look(self, held: HeldFile, look: _Look, seconds: float) -> Judged:
        file, sha256, moved = look.file, look.sha256, False
        if not sha256:
            link = self._links.current
            limits = HashLimits(USUAL_MAX_BYTES if link is None else link.policy.max_file_bytes)
            owner = os.fstat(held.fd).st_uid
            hashed = await self._turns.read(file.size, owner, lambda: held.hashed(limits))
            file, sha256, moved = hashed.file or file, hashed.sha256, bool(hashed.sha256 and hashed.problem)
            if hashed.problem is not None and not moved:
                return Judged(LinkAnswer(hashed.problem, reason=hashed.reason), b"", file)
        read = Judged(_NO_SVM, sha256, file, not moved)
        answer = None if self._recent is None else self._recent.recall(sha256)
        if answer is None and moved and sha256 != look.before:
            # What was read may be of two contents: whether it is known to be bad, and no more, is asked.
            answer = await self._asked(held, read, FileContent(0, b"", _nothing), seconds)
            if answer.outcome not in DETECTIONS:
                answer = LinkAnswer(Outcome.CHANGED, reason="changed while it was read")
        elif answer is None:
            answer = await self._asked(held, read, FileContent(file.size, b"", held.dup), seconds)
            if self._recent is not None:
                self._recent.keep(sha256, answer)
        return read._replace(answer=answer)

    async def _asked(
        self, held: HeldFile, judged: Judged, content: FileContent, seconds: float
    ) -> LinkAnswer:
        """What the SVM says; where it has no verdict, what was detected before is detected still.

        judged: what was read. Whoever waits is told by `held` what is known of it meanwhile.
        """
        known = None if self._bad is None else self._bad.recall(judged.sha256)
        held.known = None if known is None else judged._replace(answer=known)
        answer = await self._ask(judged.sha256, content, seconds)
        if known is not None and answer.outcome in _NO_WORD:
            return known
        held.known = None
        if self._bad is not None:
            self._bad.heard(judged.sha256, answer)
        return answer

    async def _ask(self, sha256: bytes, content: FileContent, seconds: float) -> LinkAnswer:
        loop = asyncio.get_running_loop()
        asked = _Question(sha256, content, seconds, loop.create_future())
        self._gathered.append(asked)
        if len(self._gathered) == 1:
            loop.call_soon(self._send)  # with all that is ready in this turn of the loop
        return await asked.answered

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        link = self._links.current
        most = MAX_BATCH if link is None else min(MAX_BATCH, link.policy.max_batch)
        for first in range(0, len(gathered), most):
            some = gathered[first : first + most]
            if link is None:
                _answer_all(some, _NO_SVM)
                continue
            task = asyncio.get_running_loop().create_task(self._question(link, some))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _question(self, link: SvmLink, some: list[_Question]) -> None:
        """Ask, and again on the link that takes the place of this one meanwhile."""
        try:
            following: SvmLink | None = link
            while following is not None and (some := [each for each in some if not each.answered.done()]):
                link = following
                await self._ask_on(link, some)
                following = await self._links.after(link) if link.lost.is_set() else None
        finally:
            _answer_all(some, _NO_SVM)  # whom an error left, or a link that no other followed

    async def _ask_on(self, link: SvmLink, some: list[_Question]) -> None:
        budget = max(asked.seconds for asked in some)
        batch = Batch(
            [each.sha256 for each in some], self._purpose, budget, lambda index: some[index].content
        )
        question = await link.check(batch)
        for index, asked in enumerate(some):
            if question.outcomes[index] not in OPEN:
                _resolve_by(link, asked, question.answer(index))
        async for ended in question.settled():
            for index, answer in ended:
                _resolve_by(link, some[index], answer)


def _nothing() -> int:
    raise FileNotFoundError(errno.ENOENT, "its content is not here")


def _answer_all(some: list[_Question], answer: LinkAnswer) -> None:
    for asked in some:
        _resolve(asked, answer)


def _resolve_by(link: SvmLink, asked: _Question, answer: LinkAnswer) -> None:
    """What a link says counts, but its own end where another follows it."""
    if not (link.followed and answer.outcome is Outcome.NO_SVM):
        _resolve(asked, answer)


def _resolve(asked: _Question, answer: LinkAnswer) -> None:
    if not asked.answered.done():
        asked.answered.set_result(answer)
