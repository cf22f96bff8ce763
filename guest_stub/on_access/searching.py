"""When a content turns out to be malicious: looks for the files that have it already.

What was on record of such a file names no path. So the SVM is asked what these contents are by now, and where
it calls them malicious, or so that the policy acts, the file systems are walked for the inodes: once for all
that comes together, without reading a file, with pauses. What is found is looked at as it is then, as what
was let through without an SVM is: also where it was changed since, since to be renamed is to be changed.
"""

import asyncio
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Final, Protocol

from guest_stub.journal import Entry
from guest_stub.manners import idle_disk
from guest_stub.on_access.in_use import processes_with
from guest_stub.on_access.moved import come_upon
from guest_stub.on_access.policy import AccessPolicy
from guest_stub.on_access.undoing import Asks
from guest_stub.outcome import DETECTIONS, Outcome
from guest_stub.records import Seen, device_of
from guest_stub.remediation.done import Action
from guest_stub.sought import Sought
from guest_stub.walk import Nobody, Places, Walk

PAUSE_SECONDS: Final = 0.5  # so that one walk serves for all that is revoked in a row
ASK_SECONDS: Final = 60.0  # that an answer may take
ASKED_AT_ONCE: Final = 256
RESTS: Final = 1.0  # after each batch of files, so many times as long as it took

# Without an answer for now: asked again when an SVM is back, or has room.
_FOR_LATER = frozenset({Outcome.NO_SVM, Outcome.OVERLOADED, Outcome.TIMED_OUT})
_REMOVES = frozenset({Action.QUARANTINE, Action.DELETE})


class Finds(Protocol):
    """Who is told. Called on the loop; must not raise."""

    def take(self, entry: Entry, name: int) -> bool:
        """Have a file looked at that was found; False where there is no room for it now."""

    def in_use(self, process: int, path: str) -> None:
        """A process has such a file open, or runs it."""

    def not_sought(self, why: str) -> None:
        """Files are not looked for."""


class Searching:
    """Serves one event loop. counts: files looked for, found, and walks that were begun for them."""

    def __init__(
        self, sought: Sought, asks: Asks, policy: AccessPolicy, places: Places, finds: Finds
    ) -> None:
        """Nothing is looked for yet."""
        self.counts = dict.fromkeys(("sought", "come_upon", "searches"), 0)
        self._sought = sought
        self._asks = asks
        self._policy = policy
        self._places = places
        self._finds = finds
        self._loop = asyncio.get_running_loop()
        self._lost = 0
        self._again = False
        self._stop = Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, files: Iterable[Seen]) -> None:
        """Keep for later files whose verdict does not count any more; in a thread, raises nothing.

        What was a detection is reported, and denied, already: it is of interest where it is to be removed.
        """
        removes = self._policy.action in _REMOVES
        self._sought.note(file for file in files if removes or file.outcome not in DETECTIONS)

    def begin(self) -> None:
        """Look for what is kept, if there is anything; an SVM should be there."""
        if self._sought.lost > self._lost:
            lost, self._lost = self._sought.lost - self._lost, self._sought.lost
            self._finds.not_sought(
                f"{lost} files may be malicious now, for which there is no room in the list of files to look "
                "for: see that the disk of the state directory has room, and run guest-stub scan"
            )
        if not self._sought.waiting:
            return
        self._again = True
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                await asyncio.sleep(PAUSE_SECONDS)
                await self._search()
        except OSError as problem:
            self._finds.not_sought(
                f"files that may be malicious now cannot be looked for ({problem}): "
                "see that the state directory can be written, and run guest-stub scan"
            )

    async def _search(self) -> None:
        files = await asyncio.to_thread(self._sought.take)
        malicious, left = await self._asked(files)
        if malicious:
            self.counts["sought"] += len(malicious)
            self.counts["searches"] += 1
            left += await self._looked_for(malicious)
        await asyncio.to_thread(self._sought.done, left)

    async def _asked(self, files: list[Seen]) -> tuple[list[Seen], list[Seen]]:
        """Return the files on whose content the policy acts by now, and those that nobody can say of yet."""
        outcomes: dict[bytes, Outcome] = {}
        digests = sorted({file.sha256 for file in files})
        for first in range(0, len(digests), ASKED_AT_ONCE):
            some = digests[first : first + ASKED_AT_ONCE]
            answers = await asyncio.gather(*(self._asks.ask(digest, ASK_SECONDS) for digest in some))
            outcomes.update(zip(some, (answer.outcome for answer in answers), strict=True))
        malicious = [file for file in files if self._policy.acts_on(outcomes[file.sha256])]
        return malicious, [file for file in files if outcomes[file.sha256] in _FOR_LATER]

    async def _looked_for(self, files: list[Seen]) -> list[Seen]:
        """Walk for these; those that were found and could not be taken."""
        wanted = {file.key: file for file in files}
        untaken: list[Seen] = []
        thread = ThreadPoolExecutor(1, "search", initializer=idle_disk)
        try:
            for process, path in await self._loop.run_in_executor(thread, processes_with, files):
                self._finds.in_use(process, path)
            roots = tuple(self._places.roots())
            await self._loop.run_in_executor(thread, self._walk, roots, wanted, untaken)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
        return untaken

    def _walk(self, roots: tuple[str, ...], wanted: dict[bytes, Seen], untaken: list[Seen]) -> None:
        """Look for files by what stands for them, until all are found; in a thread of its own."""
        selection = self._places.selection(_of_devices(roots, wanted))
        began = time.monotonic()
        for batch in Walk(selection, Nobody(), self._stop.is_set).batches():
            found = [(come_upon(file), wanted.pop(file.key)) for file in batch if file.key in wanted]
            if found:
                self._loop.call_soon_threadsafe(self._tell, found, untaken)
            if not wanted or self._stop.wait(RESTS * (time.monotonic() - began)):
                return
            began = time.monotonic()

    def _tell(self, found: list[tuple[Entry, Seen]], untaken: list[Seen]) -> None:
        for entry, file in found:
            if self._finds.take(entry, hash(file.key + file.stamp)):
                self.counts["come_upon"] += 1
            else:
                untaken.append(file)

    async def close(self) -> None:
        """End what is under way; it begins anew with the next run."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _of_devices(roots: Iterable[str], wanted: Iterable[bytes]) -> tuple[str, ...]:
    """The roots on whose file systems the keys are; all, where one's device is no root's.

    Btrfs and overlay give files other device numbers than their mount points have.
    """
    there: dict[str, int] = {}
    for root in roots:
        with suppress(OSError):
            there[root] = os.stat(root).st_dev & 0xFFFFFFFF
    devices = set(map(device_of, wanted))
    if devices - set(there.values()):
        return tuple(there)
    return tuple(root for root, device in there.items() if device in devices)
