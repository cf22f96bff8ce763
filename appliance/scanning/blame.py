"""Contents that broke workers: who does it twice is not scanned again for a while.

Without it one file would break worker after worker, for every guest that holds it. Each tenant's is counted
for itself: how one is answered tells no other that somebody has tried the same content.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer

BREAKS_BEFORE_HOLD: Final = 2
MAX_DIGESTS: Final = 4096

Key = tuple[int, bytes]  # scope and digest


@dataclass(slots=True)
class _Record:
    """breaks: how many workers it broke. until: on the clock, when that is forgotten."""

    breaks: int
    until: float
    why: Unanswered


class Blame:
    """Counts broken workers by scope and digest, bounded in number and time."""

    def __init__(self, hold_seconds: float, clock: Callable[[], float]) -> None:
        """hold_seconds: how long a break is remembered. clock: seconds that only go forward."""
        self._hold = hold_seconds
        self._clock = clock
        self._records: dict[Key, _Record] = {}  # the oldest first

    def __len__(self) -> int:
        """How many digests are remembered."""
        return len(self._records)

    def add(self, key: Key, why: Unanswered) -> bool:
        """Note that a worker broke on the content; whether it is held now."""
        now = self._clock()
        known = self._records.pop(key, None)
        breaks = known.breaks if known is not None and known.until > now else 0
        while self._records and (
            len(self._records) >= MAX_DIGESTS or next(iter(self._records.values())).until <= now
        ):
            del self._records[next(iter(self._records))]
        self._records[key] = _Record(breaks + 1, now + self._hold, why)
        return breaks + 1 >= BREAKS_BEFORE_HOLD

    def held(self, key: Key) -> NoAnswer | None:
        """The answer to give instead of a scan, None where the content may be scanned."""
        if not self._records:
            return None
        record = self._records.get(key)
        if record is None or record.breaks < BREAKS_BEFORE_HOLD:
            return None
        left = record.until - self._clock()
        if left <= 0:
            del self._records[key]
            return None
        return NoAnswer(
            record.why, f"it broke {record.breaks} workers and is not scanned again for {left:.0f} s"
        )
