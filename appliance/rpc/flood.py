"""A bound on how fast one guest may talk: over it, the guest is slowed, and nobody else."""

from collections.abc import Callable


class Flood:
    """A leaky bucket of one second's depth."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """per_second: messages a second that pass unhindered. clock: monotonic seconds."""
        self._gap = 1.0 / per_second
        self._clock = clock
        self._due = clock() - 1.0

    def pause(self, cost: float = 1.0) -> float:
        """Seconds to wait before the message that has just come is worked on; mostly 0.

        cost: how many messages it counts as.
        """
        now = self._clock()
        self._due = max(self._due, now - 1.0) + cost * self._gap
        return max(0.0, self._due - now)
