"""A scan's turn: it looks at files and asks about them only while the SVM has given it a slot.

A slot goes with the link: when that is lost the scan pauses, and asks the next one for a slot anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from guest_stub.ends import FAILED, Left
from guest_stub.outcome import Outcome
from guest_stub.pausing import Pause
from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.values import LinkListener, ScanSlot, ScanState, ScanStatus, ScanTask
from guest_stub.tally import Totals

SAY_SECONDS = 5.0  # between two words on how a scan gets on
END_SECONDS = 2.0  # that the last one may take


class Links(Protocol):
    """The way to the SVM, over its restarts: line.Line, standing.StandingLine."""

    async def link(self) -> SvmLink:
        """A link that was not lost so far. Raises SvmUnreachable where none is to be had for good."""


class Turn:
    """Serves one event loop. For the scan it is the way to the SVM (asking.Links) as long as keep() runs.

    pause: where the scan's threads wait. totals: the scan's counts so far. expected_files: altogether, 0
    where that is not known. granted, waiting: set while the scan has a slot, and while it has none. away: why
    there is no SVM, "" while there is one.
    """

    def __init__(self, scan: bytes) -> None:
        """scan: what the scan is called by, 16 bytes. It has no slot yet, and pauses."""
        self.scan = scan
        self.pause = Pause()
        self.pause.begin()
        self.totals: Callable[[], Totals] = Totals
        self.expected_files = 0
        self.granted = asyncio.Event()
        self.waiting = asyncio.Event()
        self.waiting.set()
        self.away = ""
        self._changed = asyncio.Event()
        self._link: SvmLink | None = None
        self._gone = ""

    @property
    def current(self) -> SvmLink:
        """The link in use, which may just be lost. Once keep() has had one; for any thread."""
        assert self._link is not None, "a scan that was never attached"
        return self._link

    async def link(self) -> SvmLink:
        """A link on which the scan has a slot. Raises SvmUnreachable where none is to be had for good."""
        while not self._gone:
            await self.granted.wait()
            if self._link is not None and not self._link.lost.is_set():
                return self._link
            self._set(False)
        raise SvmUnreachable(self._gone)

    async def keep(self, line: Links) -> None:
        """Ask for a slot on each link in turn, and say how the scan gets on, until cancelled.

        Raises SvmUnreachable where no link is to be had for good.
        """
        try:
            while True:
                self._link = await line.link()
                self.away = ""
                self._set(False)
                await self._say(self._link)
        except SvmUnreachable as problem:
            self._gone = str(problem)
            self.granted.set()  # whoever waits learns it
            raise

    async def _say(self, link: SvmLink) -> None:
        """Say how the scan stands: at once, at each change, and now and then, until the link is lost."""
        while not link.lost.is_set():
            self._changed.clear()
            running = self.granted.is_set()
            state = ScanState.RUNNING if running else ScanState.WAITING
            await link.send_scan_status(self.status(state))
            with suppress(TimeoutError):
                async with asyncio.timeout(SAY_SECONDS if running else None):
                    await self._changed.wait()

    def status(self, state: ScanState, text: str = "") -> ScanStatus:
        """How the scan stands, in the SVM's words."""
        totals = self.totals()
        ends = totals.ends
        return ScanStatus(
            self.scan,
            state,
            files=totals.files - ends.get(Left.INTERRUPTED, 0),
            bytes=totals.bytes,
            malicious=ends.get(Outcome.MALICIOUS, 0),
            suspicious=ends.get(Outcome.SUSPICIOUS, 0),
            unanswered=sum(count for end, count in ends.items() if end in FAILED and end in Outcome),
            expected_files=self.expected_files,
            text=text,
        )

    async def end(self, status: ScanStatus) -> None:
        """Say how the scan ended; when keep() runs no more. Where no SVM is there nothing is said."""
        if self._link is not None and not self._link.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    await self._link.send_scan_status(status)

    def slot(self, granted: bool) -> None:
        """The SVM has given a slot, or taken it back."""
        self._set(granted)

    def lost(self, why: str) -> None:
        """The SVM is gone, and with it the slot."""
        self.away = why
        self._set(False)
        self._changed.set()

    def _set(self, granted: bool) -> None:
        if granted == self.granted.is_set() or self._gone:
            return
        if granted:
            self.waiting.clear()
            self.granted.set()
            self.pause.end()
        else:
            self.granted.clear()
            self.waiting.set()
            self.pause.begin()
        self._changed.set()


@asynccontextmanager
async def kept(turn: Turn, line: Links) -> AsyncIterator["asyncio.Task[None]"]:
    """Have keep() run; gives its task, which ends by itself only where no link is to be had for good."""
    task = asyncio.get_running_loop().create_task(turn.keep(line))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class ScanListener:
    """A LinkListener for a program that scans: its turn is told of slots, its keeper of the rest."""

    def __init__(self, turn: Turn, keeper: LinkListener) -> None:
        """Both stay the caller's."""
        self._turn = turn
        self._keeper = keeper

    def generation_changed(self, generation: int) -> None:
        """See LinkListener."""
        self._keeper.generation_changed(generation)

    def revoked(self, digests: list[bytes]) -> None:
        """See LinkListener."""
        self._keeper.revoked(digests)

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """Nothing to do: a scan sends no events."""

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """See LinkListener. Tasks are the daemon's business."""
        if isinstance(told, ScanSlot) and told.scan == self._turn.scan:
            self._turn.slot(told.granted)

    def lost(self, why: str) -> None:
        """See LinkListener."""
        self._turn.lost(why)
