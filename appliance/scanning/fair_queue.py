"""A queue of many owners who are served in turn: one that queues much waits for itself."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items by owner. Each owner's come out in the order they went in; owners take turns."""

    def __init__(self, most: int) -> None:
        """most: items that it holds, of all owners together."""
        self._most = most
        self._count = 0
        self._by_owner: dict[str, deque[Item]] = {}  # none is empty; whose turn it is comes first

    def __len__(self) -> int:
        """How many items wait."""
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """All items, owner after owner."""
        for items in self._by_owner.values():
            yield from items

    def put(self, owner: str, item: Item) -> Item | None:
        """Queue an item; the one that has no place for it any more, None where there is room.

        In a full queue the last item of the owner who has most of them goes, which may be this one:
        whoever asks for little finds a place, however much others ask.
        """
        self._by_owner.setdefault(owner, deque()).append(item)
        self._count += 1
        if self._count <= self._most:
            return None
        greediest = max(self._by_owner, key=lambda name: len(self._by_owner[name]))
        return self._drop_last(greediest)

    def put_back(self, owner: str, item: Item) -> None:
        """Queue an item that was taken before all others of its owner, even where the queue is full."""
        self._by_owner.setdefault(owner, deque()).appendleft(item)
        self._count += 1

    def take(self) -> Item:
        """Take out the next item. Raises IndexError from an empty queue."""
        if not self._count:
            raise IndexError("nothing is queued")
        owner, items = next(iter(self._by_owner.items()))
        item = items.popleft()
        del self._by_owner[owner]
        if items:
            self._by_owner[owner] = items  # behind all others
        self._count -= 1
        return item

    def take_first(self, condition: Callable[[Item], bool]) -> list[Item]:
        """Take out, of each owner, the first items for which the condition holds."""
        taken: list[Item] = []
        for owner, items in list(self._by_owner.items()):
            while items and condition(items[0]):
                taken.append(items.popleft())
            if not items:
                del self._by_owner[owner]
        self._count -= len(taken)
        return taken

    def clear(self) -> list[Item]:
        """Take out everything."""
        items = list(self)
        self._by_owner.clear()
        self._count = 0
        return items

    def _drop_last(self, owner: str) -> Item:
        items = self._by_owner[owner]
        item = items.pop()
        if not items:
            del self._by_owner[owner]
        self._count -= 1
        return item
