"""Hears which reputations changed, from a service that tells: within seconds what is kept is put right.

One request at a time waits at the service, on behalf of the first of those who take part; when that one
withdraws, it ends, and the next is on behalf of another. How far was heard is kept, so a restart misses
nothing. Where the service keeps no changes as old as that, nothing that was learnt from it counts any more.

How often it is asked is `pacing`'s affair. A service that has no changes, or takes the key for none, is asked
again after an hour, or when the provider says so (`ask_again`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from appliance.domain.policy import Mode
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Asking
from appliance.ksn.obstacle import Obstacle
from appliance.ksn.pacing import Pace, Poll
from appliance.ksn.reputation import Changes, Flip, Trouble
from appliance.ksn.statement import changes_since

WAIT_SECONDS: Final = 50  # at the service for a change; proxies cut what is silent for a minute
EARLY_SECONDS: Final = 5.0  # a service that answers before that with nothing does not wait
_GRACE_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 1.0  # while nobody takes part
_FROM_NOW: Final = (1 << 53) - 1  # a position that was never given: the service says which is the last
_POLLS: Final = {
    Trouble.QUOTA: Poll.TURNED_AWAY,
    Trouble.REFUSED: Poll.REFUSED,
    Trouble.NOT_OFFERED: Poll.REFUSED,
}
_AGAIN: Final = "; it is asked again after an hour, or after `svm signatures reload`"


async def rest_until(seconds: float, event: asyncio.Event) -> None:
    """Wait so many seconds, or until the event."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


@dataclass(frozen=True, slots=True)
class Timing:
    """pace: how often is asked. clock: seconds, never going back. rest: how a pause is waited for."""

    pace: Pace
    clock: Callable[[], float]
    rest: Callable[[float, asyncio.Event], Awaitable[None]] = rest_until


async def _nothing() -> None:
    """Do nothing."""


class ChangeFeed:
    """Follows one service.

    heard: changes so far. lost: how often some were missed. on_lost: to be done then. obstacle: what is in
    the way, nothing while it works. offered: whether the service has changes, as far as is known. position:
    up to which was heard, None before the first time.
    """

    def __init__(
        self,
        asking: Asking,
        asker: Callable[[], Asker | None],
        flipped: Callable[[Flip], None],
        kept: Callable[[], int | None],
        keep: Callable[[int], Awaitable[None]],
        timing: Timing,
    ) -> None:
        """asker: on whose behalf, None while nobody takes part. kept, keep: the position."""
        self.heard = 0
        self.lost = 0
        self.obstacle = Obstacle()
        self.offered = True
        self.on_lost: Callable[[], Awaitable[None]] = _nothing
        self.position = kept()
        self._asking = asking
        self._asker = asker
        self._flipped = flipped
        self._keep = keep
        self._timing = timing
        self._anew = asyncio.Event()

    async def run(self) -> None:
        """Hear changes until cancelled."""
        while True:
            asker = self._asker()
            timing = self._timing
            seconds = _IDLE_SECONDS if asker is None else timing.pace.seconds_after(await self._poll(asker))
            if seconds:
                await timing.rest(seconds, self._anew)
                self._anew.clear()

    def ask_again(self) -> None:
        """Ask now, whatever the service said before: the provider has changed something, or believes so."""
        self._anew.set()

    async def _poll(self, asker: Asker) -> Poll:
        """Ask once, and take over what is told."""
        position = _FROM_NOW if self.position is None else self.position
        request = changes_since(position, WAIT_SECONDS, Mode.STANDARD)
        began = self._timing.clock()
        told = await self._asking.watch(asker, request, WAIT_SECONDS + _GRACE_SECONDS)
        if isinstance(told, Changes):
            went_on = await self._take(told)
            waited = self._timing.clock() - began >= EARLY_SECONDS
            return Poll.TOLD if went_on or waited else Poll.EARLY
        if told.why is Trouble.WITHDRAWN:
            return Poll.TOLD
        return self._failed(told)

    async def _take(self, told: Changes) -> bool:
        """Whether it went on: the position is another one now."""
        self.offered = True
        self.obstacle.is_now("")
        for flip in told.flips:
            self._flipped(flip)
        self.heard += len(told.flips)
        if told.lost and self.position is not None:
            self.lost += 1
            await self.on_lost()
        if told.position == self.position:
            return False
        self.position = told.position
        await self._keep(told.position)
        return True

    def _failed(self, why: Unknown) -> Poll:
        poll = _POLLS.get(why.why, Poll.FAILED)
        self.offered = why.why is not Trouble.NOT_OFFERED
        self.obstacle.is_now(why.reason + (_AGAIN if poll is Poll.REFUSED else ""))
        return poll
