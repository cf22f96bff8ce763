"""Hears which reputations changed, from a service that tells: within seconds what is kept is put right.

One request at a time waits at the service, on behalf of the first of those who take part; when that one
withdraws, it ends, and the next is on behalf of another. How far was heard is kept, so a restart misses
nothing. Where the service keeps no changes as old as that, nothing that was learnt from it counts any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.domain.policy import Mode
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Asking
from appliance.ksn.reputation import Changes, Flip, Trouble
from appliance.ksn.statement import changes_since

WAIT_SECONDS: Final = 50  # at the service for a change; proxies cut what is silent for a minute
_GRACE_SECONDS: Final = 10.0
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0  # after a failure, doubled each time
_IDLE_SECONDS: Final = 1.0  # while nobody takes part
_FROM_NOW: Final = (1 << 53) - 1  # a position that was never given: the service says which is the last


async def _nothing() -> None:
    """Do nothing."""


class ChangeFeed:
    """Follows one service.

    heard: changes so far. lost: how often some were missed. trouble: what is in the way, "" while it works.
    position: up to which was heard, None before the first time. on_lost: to be done when some were missed.
    """

    def __init__(
        self,
        asking: Asking,
        asker: Callable[[], Asker | None],
        flipped: Callable[[Flip], None],
        kept: Callable[[], int | None],
        keep: Callable[[int], Awaitable[None]],
    ) -> None:
        """asker: on whose behalf, None while nobody takes part. kept, keep: the position."""
        self.heard = 0
        self.lost = 0
        self.trouble = ""
        self.on_lost: Callable[[], Awaitable[None]] = _nothing
        self._asking = asking
        self._asker = asker
        self._flipped = flipped
        self._keep = keep
        self.position = kept()
        self._pause = _PAUSE_SECONDS

    async def run(self) -> None:
        """Hear changes until cancelled, or until the service turns out to tell of none."""
        while True:
            asker = self._asker()
            if asker is None:
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            position = _FROM_NOW if self.position is None else self.position
            request = changes_since(position, WAIT_SECONDS, Mode.STANDARD)
            told = await self._asking.watch(asker, request, WAIT_SECONDS + _GRACE_SECONDS)
            if isinstance(told, Changes):
                await self._take(told)
                continue
            if told.why is Trouble.NOT_OFFERED:
                self.trouble = told.reason
                return
            if told.why is not Trouble.WITHDRAWN:
                await self._rest(told)

    async def _take(self, told: Changes) -> None:
        self.trouble, self._pause = "", _PAUSE_SECONDS
        for flip in told.flips:
            self._flipped(flip)
        self.heard += len(told.flips)
        if told.lost and self.position is not None:
            self.lost += 1
            await self.on_lost()
        if told.position != self.position:
            self.position = told.position
            await self._keep(told.position)

    async def _rest(self, why: Unknown) -> None:
        self.trouble = why.reason
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
