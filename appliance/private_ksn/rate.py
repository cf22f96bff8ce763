"""How often the holder of a key may ask: a bucket that fills by the second. No I/O."""

from collections.abc import Callable


class Rates:
    """One bucket for each name. The names are those of keys, so there are only so many."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        """per_second: also the most that may come at once. clock: seconds, never going back."""
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and when that was

    def admit(self, name: str) -> bool:
        """Whether one more may come now."""
        now = self._clock()
        left, then = self._buckets.get(name, (float(self._per_second), now))
        left = min(float(self._per_second), left + (now - then) * self._per_second)
        admitted = left >= 1
        self._buckets[name] = (left - 1 if admitted else left, now)
        return admitted
