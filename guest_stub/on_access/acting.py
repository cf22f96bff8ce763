"""What is done about a detection: in a thread of its own, which neither the loop nor the reader waits for.

The thread opens files, also such that are watched: the reader answers at once what this process opens. It
needs the interpreter for that, which the import of an extension module holds while it opens a file; so
prepare() imports what the quarantine needs, before anything is watched.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol

from guest_stub.on_access.answering import path_of
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.remediation.actions import carry_out
from guest_stub.remediation.cipher import load_cipher
from guest_stub.remediation.done import Action, Done, Refused
from guest_stub.remediation.facts import MAX_THREAT
from guest_stub.remediation.facts import Judged as Facts
from guest_stub.remediation.quarantine import Quarantine

MOST_WAITING = 256  # files, each with a descriptor; one more is noted, to be met again when there is room
EXPIRE_SECONDS = 86_400.0  # between looks for what is too old
CLOSE_SECONDS = 5.0  # that what is under way may take; it is safe to be killed


class Reports(Protocol):
    """Who is told. Called on the loop; must not raise."""

    def done(self, judged: Judged, done: Done) -> None:
        """Something was done, or could not be done, with a file that was detected."""

    def left(self, path: str, why: str) -> None:
        """Nothing was done with a file that was detected."""

    def tidied(self, sentence: str) -> None:
        """A person should know this of the quarantine."""


class Acting:
    """Serves one event loop.

    counts: files that something was done with. prepared: whether files may be sealed and restored.
    """

    def __init__(self, action: Action, quarantine: Quarantine, reports: Reports) -> None:
        """The quarantine stays the caller's. later: has an open file looked at again when there is room();
        False where it cannot.
        """
        self.later: Callable[[int, Judged], bool] = lambda _fd, _judged: False
        self.counts = dict.fromkeys(("acted_on",), 0)
        self.executor = ThreadPoolExecutor(1, "act")  # for all that the quarantine is asked to do
        self.prepared = False
        self._action = action
        self._quarantine = quarantine
        self._reports = reports
        self._busy: set[tuple[int, int]] = set()  # device and inode
        self._work: set[asyncio.Future[Done]] = set()
        self._tending: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Import what may be needed; call it before anything is watched."""
        if self._action is Action.QUARANTINE or self._quarantine.in_use():
            load_cipher()
            self.prepared = True

    def begin(self) -> None:
        """Tidy the quarantine up, now, and look each day for what is too old."""
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    async def _tend(self) -> None:
        loop, look = asyncio.get_running_loop(), self._quarantine.tidy
        while True:
            try:
                for sentence in await loop.run_in_executor(self.executor, look):
                    self._reports.tidied(sentence)
            except OSError as problem:
                self._reports.tidied(f"the quarantine cannot be looked through: {problem.strerror}")
            except Refused as problem:
                self._reports.tidied(str(problem))
            look = self._quarantine.expire
            await asyncio.sleep(EXPIRE_SECONDS)

    def act(self, fd: int, judged: Judged) -> None:
        """Do with an open file what the policy says, soon; the descriptor stays the caller's."""
        if not self.acts:
            return
        name = judged.file.dev, judged.file.ino
        if name in self._busy:
            return
        path = path_of(fd)
        if len(self._busy) >= MOST_WAITING:
            if not self.later(fd, judged):
                why = f"{MOST_WAITING} files wait for that already, and the journal has no room for it"
                self._reports.left(path, why)
            return
        try:
            held = HeldFile(fd)
        except OSError as error:
            self._reports.left(path, f"it could not be held: {error.strerror}")
            return
        threat = judged.answer.threat[:MAX_THREAT]
        facts = Facts(judged.file, judged.sha256, threat, os.fsencode(path))
        self._busy.add(name)
        # In the next turn of the loop: whoever opened the file is answered by then.
        asyncio.get_running_loop().call_soon(self._start, held, judged, facts)

    @property
    def acts(self) -> bool:
        """Whether anything is to be done with files."""
        return self._action not in (Action.BLOCK, Action.REPORT)

    async def room(self) -> None:
        """Return when there is room for some more: for who can wait."""
        while len(self._work) > MOST_WAITING // 2:
            await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)

    def _start(self, held: HeldFile, judged: Judged, facts: Facts) -> None:
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(
                self.executor, carry_out, self._action, held.fd, facts, self._quarantine
            )
        except RuntimeError:  # the stub ends
            held.close()
            return
        self._work.add(work)
        work.add_done_callback(partial(self._ended, held, judged))

    def _ended(self, held: HeldFile, judged: Judged, work: "asyncio.Future[Done]") -> None:
        self._work.discard(work)
        self._busy.discard((judged.file.dev, judged.file.ino))
        path = path_of(held.fd)
        held.close()
        if work.cancelled():
            return
        error = work.exception()
        if error is None:
            self.counts["acted_on"] += 1
            self._reports.done(judged, work.result())
        else:
            self._reports.left(path, f"the stub failed: {error!r}")

    async def close(self) -> None:
        """See through what is under way, begin nothing more."""
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        self.executor.shutdown(wait=False, cancel_futures=True)
        if self._work:
            await asyncio.wait(self._work, timeout=CLOSE_SECONDS)
