"""So many at a time, and in front of them owners who take turns: one that wants much waits for itself."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Slots. One that becomes free goes to the owner whose turn it is. Lives on one event loop."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # none is empty; whose turn it is first

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Hold a slot for the length of an `async with`; wait for it before, where none is free."""
        await self._take(owner)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, owner: str) -> None:
        if self._free:  # then nobody waits
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._leave(owner, place)
            else:  # the slot was given right before
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a slot that has become free to who is next."""
        while self._waiting:
            owner, places = next(iter(self._waiting.items()))
            place = places.popleft()
            del self._waiting[owner]
            if places:
                self._waiting[owner] = places  # behind all others
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _leave(self, owner: str, place: asyncio.Future[None]) -> None:
        """Take out one that waits no more, unless its turn has passed already."""
        places = self._waiting.get(owner)
        if places is not None and place in places:
            places.remove(place)
            if not places:
                del self._waiting[owner]
