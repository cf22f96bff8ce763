"""How much of the SVM administrators' calls take, all of them together, whatever they ask.

So many calls are worked on at once, of one tenant's administrators fewer, and some are for providers alone;
those that revoke or remove somebody have places of their own. What is long is done on the loop, a slice at a
time and one call's after another's, with a rest behind each: guests are answered in between, as fast whether
one administrator lists something or all of them do.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from appliance.config_limits import Limits, TenantLimits
from appliance.domain.caller import Caller
from appliance.rpc.admin_calls import Places

MOST_CALLS: Final = Limits().admin_calls
CALLS_OF_TENANT: Final = TenantLimits().admin_calls
MOST_ENDING: Final = 256  # calls that revoke or remove: they only wait
SLICE_SECONDS: Final = 0.001
REST: Final = 3  # so many times as long as a slice

Item = TypeVar("Item")


class Turns:
    """Shared by all services for administrators."""

    def __init__(
        self,
        most: int = MOST_CALLS,
        of_tenant: int = CALLS_OF_TENANT,
        over: Callable[[str], None] = lambda _bound: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """most, of_tenant: calls at once. As many as one tenant may have are kept for providers; see Places.

        over: told of each call that finds no place, and which setting says so. clock: seconds, for how long
        a slice takes.
        """

        def full(of_tenant: bool) -> None:
            over("limits.tenant.admin_calls" if of_tenant else "limits.admin_calls")

        sentence = "{} calls of administrators are worked on now, which is all: wait for one of them"
        kept = min(of_tenant, max(1, most // 4))
        self.places = Places(most, sentence, of_tenant, kept, full)
        self.ending = Places(MOST_ENDING, sentence, of_tenant, kept, full)
        self._clock = clock
        self._turn = asyncio.Lock()

    def one(self, caller: Caller, ends: bool = False) -> AbstractContextManager[None]:
        """Take a place for a call, for the length of a `with`. Raises NoPlace. ends: see `Room`."""
        return (self.ending if ends else self.places).one(caller)

    async def each(self, items: Iterable[Item], take: Callable[[Item], object]) -> None:
        """Have each of many items taken. What makes an item, and `take`, are to be short by themselves."""
        left, more = iter(items), True
        while more:
            async with self._turn:
                more = self._slice(left, take)
                if more:
                    await asyncio.sleep(SLICE_SECONDS * REST)

    async def all_of(self, items: Iterable[Item]) -> list[Item]:
        """Return all items of something that is long to go through."""
        found: list[Item] = []
        await self.each(items, found.append)
        return found

    def _slice(self, left: Iterable[Item], take: Callable[[Item], object]) -> bool:
        """Go on for a slice; whether there may be more."""
        end = self._clock() + SLICE_SECONDS
        for item in left:
            take(item)
            if self._clock() >= end:
                return True
        return False
