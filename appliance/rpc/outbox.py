"""What a stream has to say: sent one message at a time, and what becomes known together goes together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """Collects items from anywhere on the loop; `run` sends them in the order of arrival.

    Its size is bounded by its owner, who stops reading from the guest while it is long. A guest that
    does not read stalls `run`, and with it nobody else.
    """

    def __init__(
        self, send: Callable[[list[Item]], Awaitable[None]], most: int, linger: Callable[[], float]
    ) -> None:
        """send: writes up to `most` items to the stream; never called twice at once.

        linger: seconds that the first item may wait for others to share its message; 0 for none.
        """
        self._send = send
        self._most = most
        self._linger = linger
        self._items: list[Item] = []
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items)

    def put(self, item: Item) -> None:
        """Have the item sent."""
        self._items.append(item)
        self._filled.set()
        self._emptied.clear()

    async def run(self) -> None:
        """Send what is put, until cancelled."""
        while True:
            await self._filled.wait()
            if seconds := self._linger():
                await asyncio.sleep(seconds)
            self._filled.clear()
            while self._items:
                now, self._items = self._items[: self._most], self._items[self._most :]
                await self._send(now)
            self._emptied.set()

    async def drained(self) -> None:
        """Return when everything that was put is sent."""
        await self._emptied.wait()
