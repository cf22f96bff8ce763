"""Keeps decisions as a scan goes, in batches; drops those that the SVM revokes."""

import asyncio
from collections.abc import Callable, Iterable

from guest_stub.decisions import Decisions
from guest_stub.looking import Looked
from guest_stub.outcome import DETECTIONS
from guest_stub.records import Record, Seen, digest_only, encode, texts
from guest_stub.svm_link.values import LinkAnswer, ScanSlot, ScanTask

BATCH = 512
REST_SECONDS = 2.0  # the longest between two looks through all that is kept
SECONDS = 1.0  # the longest that a decision waits to be committed: what a killed scan loses


class Keeper:
    """A LinkListener that keeps answers. Serves one event loop.

    tell: told, in a thread, of the files whose verdicts are revoked, before these are dropped. While it is
    None, as in a scan, digests are kept: the daemon that uses the same store is to find the files.
    """

    def __init__(self, decisions: Decisions) -> None:
        """The decisions stay the caller's."""
        self._decisions = decisions
        self._waiting: list[tuple[bytes, bytes]] = []
        self._loose: dict[bytes, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._revoked: set[bytes] = set()
        self._closed = False
        self._revoking: asyncio.Task[None] | None = None
        self.tell: Callable[[list[Seen]], None] | None = None

    def keep(self, files: Iterable[Looked], answer: LinkAnswer, now: float) -> None:
        """Keep a verdict of files, for as long as it may be kept. now: seconds since the epoch."""
        told = (answer.threat, answer.engine, answer.member, answer.category)
        said = texts(*told) if answer.outcome in DETECTIONS else b""
        until, outcome = int(now + answer.valid_for), int(answer.outcome)
        self._keep(
            (file.key, encode(file.stamp, Record(answer.generation, until, outcome, file.sha256, said)))
            for file in files
            if file.key
        )
        if answer.outcome in DETECTIONS:
            self.flush()  # what is bad is on record at once: the SVM may be gone in the next moment

    def keep_digests(self, files: Iterable[Looked]) -> None:
        """Keep no more than the digests: the SVM gave no verdict."""
        self._keep((file.key, encode(file.stamp, digest_only(file.sha256))) for file in files if file.key)

    def keep_loose(self, files: Iterable[Looked]) -> None:
        """Note which content files had that may change unseen: to look for them if it is revoked."""
        self._loose.update(
            (file.key, encode(file.stamp, digest_only(file.sha256))) for file in files if file.key
        )
        self._commit_soon()

    def _keep(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        self._waiting.extend(entries)
        self._commit_soon()

    def _commit_soon(self) -> None:
        if len(self._waiting) + len(self._loose) >= BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self.flush)

    def flush(self) -> None:
        """Commit what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        self._decisions.keep(waiting)
        if self._loose:
            loose, self._loose = self._loose, {}
            self._decisions.keep_loose(loose.items())

    def generation_changed(self, generation: int) -> None:
        """Nothing to do: each record names its own, and each look-up the one in force."""

    def revoked(self, digests: list[bytes]) -> None:
        """Drop what was kept on these contents, off the loop; what comes meanwhile shares the next look.

        After close() nothing is dropped: an SVM says it again to each guest that attaches.
        """
        if self._closed:
            return
        self.flush()
        self._revoked.update(digests)
        if self._revoking is None:
            self._revoking = asyncio.get_running_loop().create_task(self._drop())

    async def _drop(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._revoked:
                digests, self._revoked = self._revoked, set()
                began = loop.time()
                await loop.run_in_executor(None, self._decisions.revoke, digests, self.tell)
                if self._revoked and not self._closed:  # half of the time at the most, whatever an SVM says
                    await asyncio.sleep(min(loop.time() - began, REST_SECONDS))
        finally:
            self._revoking = None

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """Nothing to do: a scan sends no events."""

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """Nothing to do: a scan hears of its slot by its turn."""

    def lost(self, why: str) -> None:
        """Nothing to do: whoever asks next learns it."""

    async def caught_up(self) -> None:
        """Return when nothing is kept any more that was revoked so far."""
        if self._revoking is not None:
            await asyncio.wait({self._revoking})

    async def close(self) -> None:
        """Commit what waits, and see revocations through."""
        self._closed = True
        self.flush()
        await self.caught_up()
