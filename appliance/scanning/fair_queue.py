"""A queue of many owners who are served in turn: one that queues much waits for itself.

It has two levels. What is urgent, since somebody's open waits for it, goes before the rest; but of
`URGENT_IN_A_ROW` + 1 items that are taken while both wait, one is of the rest, which so goes on however much
is urgent.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

URGENT_IN_A_ROW: Final = 8


class _Level(Generic[Item]):
    """Items by owner, none of them without any; whose turn it is comes first."""

    def __init__(self) -> None:
        self.count = 0
        self.by_owner: dict[str, OrderedDict[int, Item]] = {}  # by the number of each

    def put(self, owner: str, number: int, item: Item, first: bool = False) -> None:
        """Enter an item behind, or (first) before, all others of its owner."""
        items = self.by_owner.setdefault(owner, OrderedDict())
        items[number] = item
        if first:
            items.move_to_end(number, last=False)
        self.count += 1

    def take(self) -> tuple[int, Item]:
        """Take out the next item; its owner is behind all others then."""
        owner, items = next(iter(self.by_owner.items()))
        number, item = items.popitem(last=False)
        del self.by_owner[owner]
        if items:
            self.by_owner[owner] = items
        self.count -= 1
        return number, item

    def remove(self, owner: str, number: int) -> Item | None:
        """Take out one item; None where it is not here."""
        items = self.by_owner.get(owner)
        if items is None or number not in items:
            return None
        item = items.pop(number)
        self.count -= 1
        if not items:
            del self.by_owner[owner]
        return item

    def size_of(self, owner: str) -> int:
        """How many items of an owner wait."""
        return len(self.by_owner.get(owner, ()))

    def __iter__(self) -> Iterator[Item]:
        for items in self.by_owner.values():
            yield from items.values()


class FairQueue(Generic[Item]):
    """Items by owner, each there once. Each owner's come out in the order they went in; owners take turns."""

    def __init__(self, most: int) -> None:
        """most: items that it holds, of all owners together."""
        self._most = most
        self._urgent: _Level[Item] = _Level()
        self._rest: _Level[Item] = _Level()
        self._numbers: dict[Item, tuple[str, int]] = {}  # of each item: owner, and its number
        self._next = 1
        self._in_a_row = 0  # urgent items that were taken while others waited

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[Item]:
        """All items, owner after owner, what is urgent first."""
        yield from self._urgent
        yield from self._rest

    @property
    def urgent(self) -> int:
        """How many of them are urgent."""
        return self._urgent.count

    def put(self, owner: str, item: Item, urgent: bool = False) -> Item | None:
        """Queue an item; the one that has no place for it any more, None where there is room.

        In a full queue the last item of the owner who has most of them goes, which may be this one; an urgent
        one only where he has no other. Whoever asks for little finds a place, however much others ask.
        """
        self._enter(owner, item, urgent)
        if len(self) <= self._most:
            return None
        owners = dict.fromkeys([*self._rest.by_owner, *self._urgent.by_owner])
        return self._drop_last(max(owners, key=lambda name: (self._size_of(name), self._rest.size_of(name))))

    def put_back(self, owner: str, item: Item, urgent: bool = False) -> None:
        """Queue an item that was taken before all others of its owner, even where the queue is full."""
        self._enter(owner, item, urgent, first=True)

    def hurry(self, item: Item) -> bool:
        """Make an item that waits urgent; whether it was there and was not."""
        owner, number = self._numbers.get(item, ("", 0))
        if self._rest.remove(owner, number) is None:
            return False
        self._urgent.put(owner, number, item)
        return True

    def take(self) -> Item:
        """Take out the next item. Raises IndexError from an empty queue."""
        if not self:
            raise IndexError("nothing is queued")
        both = self._urgent.count and self._rest.count
        of_rest = not self._urgent.count or (both and self._in_a_row >= URGENT_IN_A_ROW)
        self._in_a_row = self._in_a_row + 1 if both and not of_rest else 0
        _, item = (self._rest if of_rest else self._urgent).take()
        del self._numbers[item]
        return item

    def take_first(self, condition: Callable[[Item], bool]) -> list[Item]:
        """Take out, of each owner and level, the first items for which the condition holds."""
        taken: list[Item] = []
        for level in (self._urgent, self._rest):
            for owner, items in list(level.by_owner.items()):
                while items and condition(next(iter(items.values()))):
                    number = next(iter(items))
                    taken.append(items[number])
                    level.remove(owner, number)
        for item in taken:
            del self._numbers[item]
        return taken

    def clear(self) -> list[Item]:
        """Take out everything."""
        items = list(self)
        self._urgent, self._rest = _Level(), _Level()
        self._numbers.clear()
        return items

    def _enter(self, owner: str, item: Item, urgent: bool, first: bool = False) -> None:
        number, self._next = self._next, self._next + 1
        self._numbers[item] = (owner, number)
        (self._urgent if urgent else self._rest).put(owner, number, item, first)

    def _size_of(self, owner: str) -> int:
        return self._urgent.size_of(owner) + self._rest.size_of(owner)

    def _drop_last(self, owner: str) -> Item:
        level = self._rest if self._rest.size_of(owner) else self._urgent
        number, item = next(reversed(level.by_owner[owner].items()))
        level.remove(owner, number)
        del self._numbers[item]
        return item
