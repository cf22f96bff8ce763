"""The line to the SVM for the life of a daemon: opened again for as long as it takes, never in a stampede."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import SystemRandom

from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.target import Target
from guest_stub.svm_link.values import HelloLabels, LinkListener, ScanSlot, ScanTask

OPEN_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.2  # before trying again; doubles each time
LONGEST_PAUSE_SECONDS = 30.0
_chance = SystemRandom().random
log = logging.getLogger("guest-stub")


class StandingLine:
    """One link after the other. Serves one event loop; it is its own LinkListener, for `listeners`.

    generation: the SVM's, as it was said last; 0 until then. why: there is no link, "" while there is one.
    refused: since the SVM does not take what this guest proves itself by.
    """

    def __init__(
        self, target: Target | Callable[[], Target], labels: HelloLabels, listeners: Sequence[LinkListener]
    ) -> None:
        """Nothing is opened yet. target: asked for with each link where it may change."""
        self.refused = False
        self.generation = 0
        self.why = "no SVM has answered yet"
        self.on_link: list[Callable[[], None]] = []  # told of each new one
        self._target = target if callable(target) else lambda: target
        self._labels = labels
        self._listeners = listeners
        self._link: SvmLink | None = None
        self._there = asyncio.Event()
        self._wanted = asyncio.Event()  # another link
        self._replaced = asyncio.Event()  # or it is known that it was not

    @property
    def current(self) -> SvmLink | None:
        """The link in use, None while there is none."""
        return self._link

    async def link(self) -> SvmLink:
        """The link in use, as soon as there is one that was not lost so far."""
        while self._link is None or self._link.lost.is_set():
            self._there.clear()
            await self._there.wait()
        return self._link

    async def run(self) -> None:
        """Keep a link open until cancelled."""
        attempts = 0
        while True:
            self._wanted.clear()
            try:
                link = await SvmLink.open(self._target(), self._labels, OPEN_SECONDS, self)
            except SvmUnreachable as problem:
                self.why, self.refused = str(problem), problem.is_of_certificate
                attempts = await self._paused(attempts)
                continue
            attempts, self.refused = 0, False
            await self._use(link)
            # Hundreds of guests lose their SVM in the same moment: they come back one by one.
            await asyncio.sleep(pause_before(2, _chance))

    def anew(self) -> None:
        """Have another link opened in place of the one in use, by what this guest is known by now."""
        self.refused = False
        self._wanted.set()

    async def after(self, lost: SvmLink) -> SvmLink | None:
        """The link that has taken the place of one that was lost by that; None where none has.

        Waits where that is being found out.
        """
        if not lost.followed:
            return None
        await self._replaced.wait()
        link = self._link
        return None if link is lost or link is None or link.lost.is_set() else link

    async def _paused(self, attempts: int) -> int:
        """Wait before the next attempt, but not where this guest has enrolled anew; how many there were."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_before(attempts, _chance)):
                await self._wanted.wait()
                return 0
        return attempts + 1

    async def _use(self, link: SvmLink) -> None:
        """Tell of a link, and of those that take its place, and wait until the last is lost."""
        try:
            self._begin(link)
            while await self._is_wanted_anew(link):
                former, link = link, await self._opened_anew(link)
                if former is not link:
                    self._link = link
                    self.lost("another link has taken its place")
                    self._replaced.set()
                    self._begin(link)
                    await former.close()
        finally:
            self._link = None
            self._replaced.set()
            await link.close()

    def _begin(self, link: SvmLink) -> None:
        self._link, self.why = link, ""
        self._there.set()
        self.generation_changed(link.generation)
        for told in self.on_link:
            _tell(told)

    async def _is_wanted_anew(self, link: SvmLink) -> bool:
        """Wait until another is wanted; False when it is lost before."""
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(event.wait()) for event in (link.lost, self._wanted)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        return not link.lost.is_set()

    async def _opened_anew(self, link: SvmLink) -> SvmLink:
        """Another link, or the one in use where none is to be had.

        The SVM ends the one as it takes the other. That loss is no news: what is asked on the one is asked
        again on the other (see after()).
        """
        self._wanted.clear()
        self._replaced.clear()
        link.followed = True
        try:
            return await SvmLink.open(self._target(), self._labels, OPEN_SECONDS, self)
        except SvmUnreachable as problem:
            link.followed = False
            self._replaced.set()
            if link.lost.is_set():
                self._link = None
                self.lost(str(problem))
            return link

    def generation_changed(self, generation: int) -> None:
        """See LinkListener."""
        self.generation = generation
        for listener in self._listeners:
            _tell(listener.generation_changed, generation)

    def revoked(self, digests: list[bytes]) -> None:
        """See LinkListener."""
        for listener in self._listeners:
            _tell(listener.revoked, digests)

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """See LinkListener."""
        for listener in self._listeners:
            _tell(listener.events_kept, journal, up_to)

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """See LinkListener."""
        for listener in self._listeners:
            _tell(listener.scan_told, told)

    def lost(self, why: str) -> None:
        """See LinkListener."""
        self.why = why
        for listener in self._listeners:
            _tell(listener.lost, why)


def _tell(listener: Callable[..., None], *news: object) -> None:
    """A fault of one that is told is said, and neither the others nor the link end by it."""
    try:
        listener(*news)
    except Exception:
        log.exception("a fault of this stub, which goes on; report it, please")


def pause_before(attempts: int, chance: Callable[[], float]) -> float:
    """How many seconds to wait after so many attempts that failed. chance: from 0 up to 1."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts, 16))
    return longest * (0.5 + chance() / 2)
