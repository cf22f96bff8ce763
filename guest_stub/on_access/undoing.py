"""Restores what turned out to be clean: a verdict was revoked, and who is asked again says so.

When a verdict is revoked, its file comes back if the SVM now calls it clean or finds nothing in it. What
was revoked while no SVM was there is asked about when one is: then only what somebody vouches for comes
back, since that SVM may know less than the one which found something.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Protocol

from guest_stub.outcome import Outcome
from guest_stub.remediation.done import Refused
from guest_stub.remediation.facts import Entry
from guest_stub.remediation.quarantine import Quarantine, Restored
from guest_stub.svm_link.values import LinkAnswer

MOST_REVOKED = 65_536  # that wait to be asked about; of more, all that is held is asked about as after a link
SECONDS = 60.0  # that an answer may take
VOUCHED = frozenset({Outcome.CLEAN})
HARMLESS = frozenset({Outcome.CLEAN, Outcome.NOT_DETECTED})


class Asks(Protocol):
    """Who asks the SVM. `judging.Judge` is it."""

    async def ask(self, sha256: bytes, seconds: float) -> LinkAnswer:
        """What is known of a content that cannot be shown."""


class Reports(Protocol):
    """Who is told. Called on the loop; must not raise."""

    def restored(self, restored: Restored) -> None:
        """A file came back, or could not."""

    def tidied(self, sentence: str) -> None:
        """Nothing can come back, as the sentence says."""


class Undoing:
    """Serves one event loop. counts: files that came back."""

    def __init__(self, quarantine: Quarantine, executor: Executor, asks: Asks, reports: Reports) -> None:
        """executor: a thread; the quarantine and it stay the caller's."""
        self.counts = dict.fromkeys(("restored",), 0)
        self._quarantine = quarantine
        self._executor = executor
        self._asks = asks
        self._reports = reports
        self._revoked: set[bytes] = set()
        self._everything = False  # that is held is to be asked about
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def revoked(self, digests: Iterable[bytes]) -> None:
        """Verdicts on these contents are no more what they were."""
        self._revoked.update(digests)
        if len(self._revoked) > MOST_REVOKED:
            self._revoked.clear()
            self._everything = True
        self._begin()

    def linked(self) -> None:
        """An SVM is there, after there was none."""
        self._everything = True
        self._begin()

    def _begin(self) -> None:
        """One look at a time, however often something is revoked; what comes meanwhile shares the next."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._revoked or self._everything:
                await self._undo()
        except (Refused, OSError) as problem:
            said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
            self._reports.tidied(f"what turns out to be clean cannot be restored: {said}")
        finally:
            self._task = None

    async def _undo(self) -> None:
        revoked, self._revoked = self._revoked, set()
        everything, self._everything = self._everything, False
        held = await asyncio.get_running_loop().run_in_executor(self._executor, self._digests)
        await self._ask((sha256 for sha256 in held if sha256 in revoked), HARMLESS)
        if everything:
            await self._ask((sha256 for sha256 in held if sha256 not in revoked), VOUCHED)

    async def _ask(self, digests: Iterable[bytes], enough: frozenset[Outcome]) -> None:
        loop = asyncio.get_running_loop()
        for sha256 in digests:
            answer = await self._asks.ask(sha256, SECONDS)
            if answer.outcome not in enough:
                continue
            for restored in await loop.run_in_executor(self._executor, self._quarantine.release, sha256):
                self.counts["restored"] += not restored.problem
                self._reports.restored(restored)

    def _digests(self) -> list[bytes]:
        """What is in the quarantine; for a thread."""
        if not self._quarantine.in_use():
            return []
        entries = self._quarantine.entries()
        return sorted({entry.judged.sha256 for entry in entries if isinstance(entry, Entry)})

    async def close(self) -> None:
        """Ask no more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
