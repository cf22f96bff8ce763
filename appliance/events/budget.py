"""How much of the events one guest may fill: what is over that is not kept, and this is said once."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_OWNERS = 4096
_MINUTE, _DAY = 60.0, 86400.0


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """Of one guest; on a unix socket, of one user. what: the subject of the sentence of a refusal."""

    what: str = "what it says"
    day_bytes: int = 16 << 20
    per_minute: float = math.inf


@dataclass(slots=True)
class _Spent:
    minute_began: float
    day_began: float
    events: int = 0
    size: int = 0


class Budgets:
    """What owners have spent. Remembers MOST_OWNERS, those that spent something last."""

    def __init__(self, terms: BudgetTerms, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self._terms = terms
        self._clock = clock
        self._spent: OrderedDict[str, _Spent] = OrderedDict()

    def left(self, owner: str) -> int:
        """How many bytes an owner may still have kept in its day."""
        return max(0, self._terms.day_bytes - self._of(owner).size)

    def refusal(self, owner: str, size: int) -> tuple[str, bool]:
        """Take room for an event: "" where it is granted, else why not, and whether that is the first time.

        size: in bytes.
        """
        spent, terms = self._of(owner), self._terms
        if spent.size + size > terms.day_bytes:
            return self.exceeded(owner)
        if spent.events + 1 > terms.per_minute:
            first, spent.events = spent.events <= terms.per_minute, int(terms.per_minute) + 1
            why = f"{terms.what} makes over {terms.per_minute:g} events a minute: the rest of it is not kept"
            return why, first
        spent.events += 1
        spent.size += size
        return "", False

    def spend(self, owner: str, size: int) -> None:
        """Note what was kept of what was `left`."""
        self._of(owner).size += size

    def exceeded(self, owner: str) -> tuple[str, bool]:
        """End an owner's day: there was more than was left. Returns as refusal does."""
        spent, most = self._of(owner), self._terms.day_bytes
        first, spent.size = spent.size <= most, most + 1
        part = f"{self._terms.what} has filled its part of events.guest_daily_mib"
        return f"{part}: the rest of this day is not kept", first

    def _of(self, owner: str) -> _Spent:
        now = self._clock()
        spent = self._spent.pop(owner, None) or _Spent(now, now)
        if now - spent.minute_began >= _MINUTE:
            spent.minute_began, spent.events = now, 0
        if now - spent.day_began >= _DAY:
            spent.day_began, spent.size = now, 0
        self._spent[owner] = spent  # at the end
        if len(self._spent) > MOST_OWNERS:
            self._spent.popitem(last=False)
        return spent
