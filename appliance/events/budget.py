"""How much of the events one guest may fill: what is over that is not kept, and this is said once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_OWNERS = 4096
_MINUTE, _DAY = 60.0, 86400.0


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """Of one guest; on a unix socket, of one user. per_minute: events that the SVM makes of what it does."""

    per_minute: int = 600
    day_bytes: int = 16 << 20


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

    def refusal(self, owner: str, size: int, events: int) -> tuple[str, bool]:
        """Take room for events: "" where it is granted, else why not, and whether that is the first time.

        size: in bytes. events: how many, that the SVM made; 0 for a guest's own, whose pace has its bound.
        """
        spent = self._of(owner)
        if spent.size + size > self._terms.day_bytes:
            first, spent.size = spent.size <= self._terms.day_bytes, self._terms.day_bytes + 1
            return "events.guest_daily_mib is spent: its further events of this day are not kept", first
        if events and spent.events + events > self._terms.per_minute:
            first, spent.events = spent.events <= self._terms.per_minute, self._terms.per_minute + 1
            return "it causes too many events: those of the rest of this minute are not kept", first
        spent.events += events
        spent.size += size
        return "", False

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
