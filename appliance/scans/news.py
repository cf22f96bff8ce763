"""What one session is to be told of scans, until it was: the last word on each counts."""

from dataclasses import dataclass, field
from typing import TypeVar

Word = TypeVar("Word")


@dataclass(slots=True)
class ScanNews:
    """tasks: scans that were ordered, by id: the paths, or None where it was called off. slots: whether a
    scan has one.

    Bounded by what a session may have: its guest's open orders, and those that were called off meanwhile.
    """

    tasks: dict[bytes, tuple[bytes, ...] | None] = field(default_factory=dict)
    slots: dict[bytes, bool] = field(default_factory=dict)

    def take_task(self) -> tuple[bytes, tuple[bytes, ...] | None] | None:
        """The next task to tell of, None for none."""
        return _first(self.tasks)

    def take_slot(self) -> tuple[bytes, bool] | None:
        """The next word on a slot, None for none."""
        return _first(self.slots)


def _first(told: dict[bytes, Word]) -> tuple[bytes, Word] | None:
    """Take out what was entered first."""
    if not told:
        return None
    scan = next(iter(told))
    return scan, told.pop(scan)
