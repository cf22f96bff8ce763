"""Bounds on how fast one guest may talk: over them, the guest is slowed or refused, and nobody else."""

import asyncio
from collections import OrderedDict
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

    async def take(self, cost: float, slowed: Callable[[], None]) -> None:
        """Return when a message that has come may be worked on. slowed: called before it waits.

        One that is given up while it waits has cost nothing: who comes and goes owes no more for that.
        """
        if not (pause := self.pause(cost)):
            return
        slowed()
        try:
            await asyncio.sleep(pause)
        except asyncio.CancelledError:
            self._due -= cost * self._gap
            raise


class Turns:
    """How often each of many guests may ask for something; what is refused costs no turn.

    Remembers who asked within the last `seconds`, and of more guests than `most` the latest.
    """

    def __init__(
        self, times: int, clock: Callable[[], float], most: int = 4096, seconds: float = 1.0
    ) -> None:
        """times: of one guest, within `seconds`. clock: monotonic seconds."""
        self._gap = seconds / times
        self._depth = seconds
        self._clock = clock
        self._most = most
        self._due: OrderedDict[str, float] = OrderedDict()  # by guest, who asked last at the end

    def takes(self, guest_id: str) -> bool:
        """Whether it is the guest's turn, which is taken then."""
        now = self._clock()
        while self._due and next(iter(self._due.values())) <= now - self._depth:
            self._due.popitem(last=False)
        before = max(self._due.pop(guest_id, now - self._depth), now - self._depth)
        due = before + self._gap
        taken = due < now + self._gap / 2  # half a turn, since sums of fractions are not exact
        self._due[guest_id] = due if taken else before
        if len(self._due) > self._most:
            self._due.popitem(last=False)
        return taken

    def __len__(self) -> int:
        """How many guests are remembered."""
        return len(self._due)
