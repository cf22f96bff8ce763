"""Which parts of a disk were written to since a moment."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

MOST_RANGES: Final = 1_000_000
_END: Final = 1 << 64


class Dirty:
    """Parts that were written to, told from the disk's beginning to its end.

    There is room for so many; from where there is none on, all counts as written to.
    """

    def __init__(self, most: int = MOST_RANGES) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._most = most

    def add(self, begin: int, length: int) -> None:
        """A part, behind or beside what was added last. Raises ValueError for one before that."""
        if length <= 0 or (self._begins and begin < self._begins[-1]):
            raise ValueError(f"{length} bytes from {begin} on, which is no part behind the one before")
        end = begin + length
        if self._ends and begin <= self._ends[-1]:
            self._ends[-1] = max(self._ends[-1], end)
        elif len(self._begins) >= self._most:
            self._ends[-1] = _END
        else:
            self._begins.append(begin)
            self._ends.append(end)

    def touches(self, begin: int, length: int) -> bool:
        """Whether any byte of a part was written to."""
        index = bisect_right(self._begins, begin + max(length, 1) - 1) - 1
        return index >= 0 and self._ends[index] > begin

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield each begin and end."""
        return iter(zip(self._begins, self._ends, strict=True))
