"""Tells the SVM what happened here: each event is on the disk before it is sent, and until it is kept there.

One batch is under way at a time, the next is sent when the SVM has said that the one before is kept. What it
has not said that of is sent again when there is a new link, or after a while; the SVM knows it by its number.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final, Protocol

from guest_stub.console import printable
from guest_stub.on_access.merging import Happening, Merging
from guest_stub.outbox import Outbox
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import EventKind, GuestEvent

# Of the largest events so many make less than the wire's 256 KiB, and an SVM takes 50 a second.
MOST_AT_ONCE: Final = 32
A_SECOND: Final = 32.0
GATHER_SECONDS: Final = 0.1  # that others have to share a batch
PATIENCE_SECONDS: Final = 60.0  # for an SVM to keep a batch before it is sent again; doubles each time
LONGEST_PATIENCE_SECONDS: Final = 1800.0
CLOSE_SECONDS: Final = 1.0  # for the last events; what is not kept by then is sent by the next run
MOST_REFUSALS: Final = 3  # of one batch, by an SVM that calls it a breach of the wire
log = logging.getLogger("guest-stub")


class Links(Protocol):
    """The way to the SVM. `standing.StandingLine` is it."""

    @property
    def current(self) -> SvmLink | None:
        """The link in use, None while there is none."""


class Telling:
    """Serves one event loop. counts: events that the SVM has kept, and such that it refuses to."""

    def __init__(self, outbox: Outbox, links: Links) -> None:
        """The outbox stays the caller's."""
        self.counts = dict.fromkeys(("told", "refused"), 0)
        self._outbox = outbox
        self._links = links
        self._merging = Merging(self._keep, lambda: outbox.is_half_full)
        self._problem = ""
        self._news = asyncio.Event()  # an event, a link, or its loss, or that something is kept
        self._all_told = asyncio.Event()  # or there is nobody to tell
        self._kept = (b"", 0)  # by the SVM's latest word: of which journal, up to which number
        self._task: asyncio.Task[None] | None = None

    @property
    def figures(self) -> dict[str, int]:
        """What was done so far, and what waits."""
        lost = self._outbox.lost + self.counts["refused"]
        return {"told": self.counts["told"], "untold": len(self._outbox), "never_told": lost}

    def tell(self, happening: Happening) -> None:
        """Have the SVM told of something. Raises nothing, waits for nothing."""
        self._merging.take(happening)

    def begin(self, how: str) -> None:
        """Protection has begun. how: in words."""
        self.tell(Happening(EventKind.STUB_STARTED, text=how))
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_say_fault)

    def linked(self) -> None:
        """There is a new link: what comes is of a new journal, what waits is sent again."""
        self._outbox.renew()
        self._news.set()

    def lost(self) -> None:
        """The link is gone."""
        self._all_told.set()
        self._news.set()

    def kept(self, journal: bytes, up_to: int) -> None:
        """The SVM has events of a journal up to a number."""
        self.counts["told"] += self._outbox.kept(journal, up_to)
        self._kept = journal, up_to
        self._say_problem()
        if not len(self._outbox):
            self._all_told.set()
        self._news.set()

    async def close(self, why: str) -> None:
        """Protection has ended, for a reason: tell of it, now or by the next run."""
        self._merging.close()
        self.tell(Happening(EventKind.STUB_STOPPED, text=why))
        self._merging.close()
        if self._task is None:
            return
        self._all_told.clear()
        if self._links.current is not None and len(self._outbox):
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._all_told.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _keep(self, event: GuestEvent) -> None:
        self._outbox.add(event)
        self._say_problem()
        self._news.set()

    def _say_problem(self) -> None:
        """Say, once, that the disk takes nothing, and that it does again."""
        problem = self._outbox.problem
        if problem and not self._problem:
            log.error("events for the SVM are kept in memory alone: they cannot be written: %s", problem)
        elif self._problem and not problem:
            log.info("events for the SVM are written again")
        self._problem = problem

    async def _run(self) -> None:
        """Send what waits, until cancelled."""
        patience, most, refusals = PATIENCE_SECONDS, MOST_AT_ONCE, 0
        while True:
            link = await self._something_to_send()
            journal, events = self._outbox.first(most)
            await link.send_events(journal, events)
            if await self._is_kept(link, (journal, events[-1].number), patience):
                patience, most, refusals = PATIENCE_SECONDS, MOST_AT_ONCE, 0
                await asyncio.sleep(len(events) / A_SECOND)
            elif not link.lost.is_set():
                patience = min(2 * patience, LONGEST_PATIENCE_SECONDS)
            elif link.refused and (refusals := refusals + 1) >= MOST_REFUSALS:
                refusals = 0
                if most == 1:
                    self._leave_out(journal, events[0])
                most = 1  # one of these is what it refuses: which, is found out one by one

    async def _something_to_send(self) -> SvmLink:
        """Return a link when there is one, and something waits."""
        while True:
            self._news.clear()
            link = self._links.current
            if link is not None and not link.lost.is_set() and len(self._outbox):
                return link
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def _is_kept(self, link: SvmLink, wanted: tuple[bytes, int], seconds: float) -> bool:
        """Return when the SVM has kept a batch; False when it is gone, or time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not link.lost.is_set():
                    if self._kept[0] == wanted[0] and self._kept[1] >= wanted[1]:
                        return True
                    self._news.clear()
                    await self._news.wait()
        return False

    def _leave_out(self, journal: bytes, event: GuestEvent) -> None:
        """No SVM is to be lost over an event. None that the outbox gives is known to be refused."""
        log.error("an event was left out, since the SVM refuses it: %s", printable(repr(event)))
        self._outbox.kept(journal, event.number)
        self.counts["refused"] += 1


def _say_fault(task: "asyncio.Task[None]") -> None:
    """A fault of this stub's: nothing is told any more, and that is not to be silent."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("events are not sent to the SVM any more", exc_info=error)
