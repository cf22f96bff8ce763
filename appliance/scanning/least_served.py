"""Whose turn it is among many who wait: who has had least, and among equals who was served least lately.

Who comes begins with what the last one that was served had had, so that nobody saves up for later by asking
nothing; who has had more than that finds it still there when he comes back.
"""

import heapq
from collections.abc import Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)

MOST_REMEMBERED = 4096  # of those who do not wait, what they have had


class LeastServed(Generic[Name]):
    """Names that wait. Every step takes the time of a heap."""

    def __init__(self) -> None:
        self._had: dict[Name, float] = {}  # who had it last at the end
        self._waiting: dict[Name, int] = {}  # by name, the number of its entry in the heap that counts
        self._heap: list[tuple[float, int, Name]] = []
        self._numbers = count(1)
        self._level = 0.0  # what the last one that was served had had

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, name: Name) -> None:
        """Have somebody wait; nothing changes for who does already."""
        if name not in self._waiting:
            self._had[name] = max(self._had.pop(name, 0.0), self._level)
            self._push(name)

    def leave(self, name: Name) -> None:
        """Have somebody wait no more."""
        if self._waiting.pop(name, None) is None:
            return
        if self._had.get(name, 0.0) <= self._level:
            self._had.pop(name, None)
        if len(self._heap) > 64 + 4 * len(self._waiting):
            self._heap = [entry for entry in self._heap if self._waiting.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
        self._forget()

    def first(self, may: Callable[[Name], bool] = lambda _name: True) -> Name | None:
        """Whose turn it is among those who may have it, None for nobody's. Costs no turn; see `charge`."""
        passed: list[tuple[float, int, Name]] = []
        found: Name | None = None
        while self._heap and found is None:
            had, number, name = self._heap[0]
            if self._waiting.get(name) != number:
                heapq.heappop(self._heap)
            elif self._had[name] > had:  # charged since
                heapq.heapreplace(self._heap, (self._had[name], number, name))
            elif may(name):
                found = name
            else:
                passed.append(heapq.heappop(self._heap))
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return found

    def served(self, name: Name, cost: float) -> None:
        """Somebody who waits has had his turn, and is behind all who have had as much."""
        self._level = max(self._level, self._had[name])
        self._had[name] += cost
        self._push(name)

    def charge(self, name: Name, cost: float) -> None:
        """Somebody, who may not wait any more, has had so much more than was known when he was served."""
        self._had[name] = max(self._had.pop(name, 0.0), self._level) + cost
        self._forget()

    def _push(self, name: Name) -> None:
        number = next(self._numbers)
        self._waiting[name] = number
        heapq.heappush(self._heap, (self._had[name], number, name))

    def _forget(self) -> None:
        """Keep no more names than there may be: of those who do not wait the first go."""
        if len(self._had) <= MOST_REMEMBERED + len(self._waiting):
            return
        for name in [name for name in self._had if name not in self._waiting][: MOST_REMEMBERED // 2]:
            del self._had[name]
