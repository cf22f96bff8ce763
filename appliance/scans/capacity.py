"""How many slots there are now: fewer while the machine or its host is pressed, or an open waits. No I/O.

Under pressure their number is halved, and once it has eased it grows by one, each at most once in
`SETTLE_SECONDS`: what the kernel says is an average of ten seconds, so a step shows only after a while.
Between `EASED` of a limit and the limit itself the number stays as it is.
"""

from dataclasses import dataclass
from typing import Final

from appliance.scans.pressure import Pressure

SETTLE_SECONDS: Final = 5.0
EASED: Final = 0.5


@dataclass(frozen=True, slots=True)
class CapacityTerms:
    """most, least: slots that there are without pressure, and under any. limits: from which on it counts."""

    most: int
    least: int
    limits: Pressure


class Capacity:
    """The number of slots. level: how near the pressure was to its limits when it was looked at last."""

    def __init__(self, terms: CapacityTerms) -> None:
        self.allowed = terms.most
        self.level = 0.0
        self._terms = terms
        self._changed_at: float | None = None

    def look(self, pressure: Pressure, opens_waiting: int, now: float) -> int:
        """Take in how things are; how many slots there are now.

        opens_waiting: contents that no worker has yet though somebody's open waits for them. now: monotonic
        seconds.
        """
        self.level = max(pressure.level(self._terms.limits), 1.0 if opens_waiting else 0.0)
        if self._changed_at is not None and now - self._changed_at < SETTLE_SECONDS:
            return self.allowed
        before = self.allowed
        if self.level >= 1.0:
            self.allowed = max(self._terms.least, self.allowed // 2)
        elif self.level <= EASED:
            self.allowed = min(self._terms.most, self.allowed + 1)
        if self.allowed != before:
            self._changed_at = now
        return self.allowed
