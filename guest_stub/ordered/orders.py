"""What was ordered: taken as the SVM says it, done one after another, and forgotten when the daemon ends."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from guest_stub.console import printable
from guest_stub.ordered.running import CALLED_OFF, OrderedScan, Tools
from guest_stub.svm_link.values import ScanSlot, ScanState, ScanStatus, ScanTask

MOST_WAITING: Final = 16  # an SVM has four of one guest at once
MOST_UNSAID: Final = 32  # words to the SVM that wait; what has no room is heard when it orders again
MOST_ENDS: Final = 12  # that are remembered, for an SVM that did not hear of one
SAY_SECONDS: Final = (
    10.0  # that the word on an end may take; then the SVM orders the scan again, and hears it
)
log = logging.getLogger("guest-stub")


class Orders:
    """A LinkListener. Serves one event loop.

    counts: scans that were begun, and those that went through to their end.
    """

    def __init__(self, tools: Tools) -> None:
        """The tools stay the caller's."""
        self.counts = dict.fromkeys(("scans", "scans_done"), 0)
        self._tools = tools
        self._waiting: dict[bytes, ScanTask] = {}  # in the order that they came
        self._running: OrderedScan | None = None
        self._ends: dict[bytes, ScanStatus] = {}
        self._wake = asyncio.Event()
        self._unsaid: dict[bytes, ScanStatus] = {}  # one a scan: the last word counts
        self._saying: asyncio.Task[None] | None = None
        self._doing: asyncio.Task[None] | None = None

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """See LinkListener."""
        running = self._running if self._running is not None and self._running.scan == told.scan else None
        if isinstance(told, ScanSlot):
            if running is not None:
                running.turn.slot(told.granted)
        elif told.cancelled:
            self._call_off(told.scan, running)
        elif told.scan in self._ends:  # the SVM did not hear of it
            self._say(self._ends[told.scan])
        elif running is None and told.scan not in self._waiting:
            self._take(told)

    def _take(self, task: ScanTask) -> None:
        if len(self._waiting) >= MOST_WAITING:
            why = f"{MOST_WAITING} ordered scans wait in this guest already: order it when they are over"
            self._say(ScanStatus(task.scan, ScanState.INCOMPLETE, text=why))
            return
        self._waiting[task.scan] = task
        self._wake.set()

    def _call_off(self, scan: bytes, running: OrderedScan | None) -> None:
        if running is not None:
            running.call_off()
        elif self._waiting.pop(scan, None) is not None:
            self._over(ScanStatus(scan, ScanState.CANCELLED, text=CALLED_OFF))

    def begin(self) -> None:
        """Do what is ordered, until close()."""
        self._doing = asyncio.get_running_loop().create_task(self._do_all())

    async def _do_all(self) -> None:
        while True:
            while self._waiting:
                await self._do(self._waiting.pop(next(iter(self._waiting))))
            self._wake.clear()
            await self._wake.wait()

    async def _do(self, task: ScanTask) -> None:
        self._running = OrderedScan(task, self._tools)
        self.counts["scans"] += 1
        where = ", ".join(printable(path.decode("utf-8", "surrogateescape")) for path in task.paths[:3])
        log.info("a scan was ordered of %s", where or "all that is protected")
        try:
            status = await self._running.run()
        except Exception as bug:
            log.exception("an ordered scan failed")
            status = self._running.turn.status(ScanState.INCOMPLETE, f"the stub failed: {bug!r}")
        finally:
            self._running = None
        self._over(status)

    def _over(self, status: ScanStatus) -> None:
        self.counts["scans_done"] += status.state is ScanState.DONE
        self._ends[status.scan] = status
        while len(self._ends) > MOST_ENDS:
            del self._ends[next(iter(self._ends))]
        log.info(
            "an ordered scan has ended: %s, %d files, %d malicious, %d suspicious, %d without a verdict%s",
            status.state.name.lower(), status.files, status.malicious, status.suspicious, status.unanswered,
            status.text and f": {printable(status.text)}",
        )  # fmt: skip
        self._say(status)

    def _say(self, status: ScanStatus) -> None:
        if len(self._unsaid) < MOST_UNSAID or status.scan in self._unsaid:
            self._unsaid[status.scan] = status
        if self._saying is None:
            self._saying = asyncio.get_running_loop().create_task(self._say_all())

    async def _say_all(self) -> None:
        try:
            while self._unsaid:
                status = self._unsaid.pop(next(iter(self._unsaid)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAY_SECONDS):
                        await (await self._tools.line.link()).send_scan_status(status)
        finally:
            self._saying = None

    def generation_changed(self, generation: int) -> None:
        """See LinkListener: each look-up names the one in force."""

    def revoked(self, digests: list[bytes]) -> None:
        """See LinkListener: the keeper drops them."""

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """See LinkListener: a scan sends no events."""

    def lost(self, why: str) -> None:
        """See LinkListener."""
        if self._running is not None:
            self._running.turn.lost(why)

    async def close(self) -> None:
        """Break off what is being done, and say no more."""
        tasks = [task for task in (self._saying, self._doing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
