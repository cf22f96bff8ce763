"""Which orders changed since when, for whoever follows: nothing gathers for one who is slow."""

import asyncio
from collections import OrderedDict
from itertools import takewhile


class Board:
    """The last change of each order. version: counts up with each."""

    def __init__(self) -> None:
        self.version = 0
        self._changed: OrderedDict[bytes, int] = OrderedDict()  # the last at the end
        self._grown = asyncio.Event()

    def touch(self, scan: bytes) -> None:
        """Note that an order changed."""
        self.version += 1
        self._changed[scan] = self.version
        self._changed.move_to_end(scan)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def forget(self, scan: bytes) -> None:
        """Drop what is known of an order that is kept no more."""
        self._changed.pop(scan, None)

    def since(self, version: int) -> list[bytes]:
        """The orders that changed after a version, the one that did first, first."""
        latest = takewhile(lambda item: item[1] > version, reversed(self._changed.items()))
        return [scan for scan, _ in latest][::-1]

    async def changed(self, version: int) -> None:
        """Return when something has changed after a version."""
        while self.version <= version:
            await self._grown.wait()
