"""How much of the SVM administrators' calls take, all of them together, whatever they ask.

So many calls are worked on at once, of one tenant's administrators fewer, and some are for providers alone;
those that revoke or remove somebody, that read events, scans or a guest's files, and that have a disk image
scanned, have places of their own: of the whole SVM, by whichever door they come in. What is long is done on
the loop, a slice at a time and one call's after another's, with a rest behind each: guests are answered in
between, as fast whether one administrator lists something or all of them do.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from appliance.config_limits import Limits
from appliance.domain.caller import Caller
from appliance.rpc.places import Full, PlaceBounds, Places

SLICE_SECONDS: Final = 0.001
REST: Final = 3  # so many times as long as a slice

_CALLS = "{} calls of administrators are worked on now, which is all: wait for one of them"

Item = TypeVar("Item")


class Turns:
    """Shared by all services for administrators."""

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008  it is frozen
        over: Callable[[str], None] = lambda _bound: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """over: told of each call that finds no place, and which setting says so.

        clock: seconds, for how long a slice takes.
        """

        def places(name: str, sentence: str, of_one: str = "") -> Places:
            return _places(limits, (name, of_one or name), sentence, over)

        self.places = places("admin_calls", _CALLS)
        self.ending = places("admin_ending", _CALLS, "admin_calls")  # they only wait: there may be many
        self.events = places("event_readers", "{} commands read events now, which is all: end one of them")
        self.scans = places("scan_readers", "{} commands look at scans now, which is all: end one of them")
        self.files = places(
            "file_readers", "{} commands list guests' files now, which is all: wait for one of them"
        )
        self.images = places("images", "{} images are looked at now, which is all: wait for one")
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


def _places(limits: Limits, names: tuple[str, str], sentence: str, over: Callable[[str], None]) -> Places:
    """names: the settings of how many there are, and one of a tenant's; a quarter at the most is kept."""
    most, of_one = getattr(limits, names[0]), getattr(limits.tenant, names[1])
    bounds = PlaceBounds(most, of_one, min(of_one, max(1, most // 4)), limits.first_places)
    settings = {
        Full.ONE: f"limits.tenant.{names[1]}",
        Full.ALL: f"limits.{names[0]}",
        Full.FIRSTS: "limits.first_places",
    }
    return Places(bounds, sentence, lambda full: over(settings[full]))
