"""One threat in many places within a short time: said once, and once more when it has spread.

Each tenant's places are counted for themselves, and all together for the provider.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_THREATS = 1024
MOST_GUESTS = 256  # of one threat that are told apart


@dataclass(frozen=True, slots=True)
class OutbreakTerms:
    """So many detections of one threat within so many seconds are an outbreak."""

    detections: int = 10
    seconds: float = 600.0


@dataclass(slots=True)
class _Threat:
    seen: deque[float] = field(default_factory=deque)  # when; as many as make an outbreak
    guests: OrderedDict[str, float] = field(default_factory=OrderedDict)  # when it was seen in each last
    raised_at: float = -math.inf
    raised_guests: int = 0


class Outbreaks:
    """The threats of late. Remembers MOST_THREATS, those that were seen last."""

    def __init__(self, terms: OutbreakTerms, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self.terms = terms
        self._clock = clock
        self._threats: OrderedDict[tuple[str, str], _Threat] = OrderedDict()

    def seen(self, threat: str, guest: str, tenant: str = "") -> tuple[str, ...]:
        """Count a detection; the guests it was seen in where that is an outbreak, empty where it is none yet.

        tenant: whose guests are counted, "" for all.

        An outbreak is raised once in `seconds` for each threat, and again whenever twice as many guests have
        it: a guest that has raised one alone hides no other's.
        """
        now = self._clock()
        found = self._threats.pop((tenant, threat), None) or _Threat()
        self._threats[tenant, threat] = found  # at the end
        if len(self._threats) > MOST_THREATS:
            self._threats.popitem(last=False)
        self._enter(found, guest, now)
        if len(found.seen) < self.terms.detections:
            return ()
        if now - found.raised_at <= self.terms.seconds and len(found.guests) < 2 * found.raised_guests:
            return ()
        found.raised_at, found.raised_guests = now, len(found.guests)
        return tuple(found.guests)

    def spread(self, threat: str, tenant: str) -> int:
        """In how many of a tenant's guests a threat was seen lately."""
        found = self._threats.get((tenant, threat))
        return 0 if found is None else len(found.guests)

    def _enter(self, found: _Threat, guest: str, now: float) -> None:
        """Count one more, and forget what is too long ago or too much."""
        found.seen.append(now)
        while now - found.seen[0] > self.terms.seconds or len(found.seen) > self.terms.detections:
            found.seen.popleft()
        found.guests.pop(guest, None)
        found.guests[guest] = now
        while len(found.guests) > MOST_GUESTS or now - next(iter(found.guests.values())) > self.terms.seconds:
            found.guests.popitem(last=False)
