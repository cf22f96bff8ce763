"""One threat in many places within a short time: said once, not with each further place."""

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_THREATS = 1024


@dataclass(frozen=True, slots=True)
class OutbreakTerms:
    """So many detections of one threat within so many seconds are an outbreak."""

    detections: int = 10
    seconds: float = 600.0


@dataclass(slots=True)
class _Threat:
    seen: deque[tuple[float, str]] = field(default_factory=deque)  # when, and by which guest
    raised_at: float = -math.inf


class Outbreaks:
    """The threats of late. Remembers MOST_THREATS, those that were seen last."""

    def __init__(self, terms: OutbreakTerms, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self.terms = terms
        self._clock = clock
        self._threats: OrderedDict[str, _Threat] = OrderedDict()

    def seen(self, threat: str, guest: str) -> tuple[str, ...]:
        """Count a detection; the guests of those that make it an outbreak, empty where it is none yet.

        An outbreak is raised once in `seconds` for each threat.
        """
        now = self._clock()
        found = self._threats.pop(threat, None) or _Threat()
        self._threats[threat] = found  # at the end
        if len(self._threats) > MOST_THREATS:
            self._threats.popitem(last=False)
        found.seen.append((now, guest))
        while now - found.seen[0][0] > self.terms.seconds or len(found.seen) > self.terms.detections:
            found.seen.popleft()
        if len(found.seen) < self.terms.detections or now - found.raised_at <= self.terms.seconds:
            return ()
        found.raised_at = now
        return tuple(dict.fromkeys(guest for _, guest in found.seen))
