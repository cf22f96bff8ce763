"""What the guests of one tenant have together: how much is open, and how fast they go."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.scanning.least_served import LeastServed


class TenantPace:
    """How fast the guests of a tenant may go together.

    Over the pace its guests take turns, those first that had least: one that floods slows itself down.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """per_second: of all together; a second's worth passes unhindered. clock: monotonic seconds."""
        self._gap = 1.0 / per_second
        self._clock = clock
        self._due = clock() - 1.0
        self._turns = LeastServed[str]()
        self._waiting: dict[str, deque[tuple[float, asyncio.Future[None]]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, guest_id: str, cost: float, slowed: Callable[[], None]) -> None:
        """Return when it is a guest's turn. slowed: called before it waits. To give up costs nothing."""
        if not self._waiting and self._debt() <= 0:
            self._pay(cost)
            return
        slowed()
        entry = (cost, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(guest_id, deque()).append(entry)
        self._turns.enter(guest_id)
        self._wake()
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting.get(guest_id, ()):
                self._waiting[guest_id].remove(entry)
                self._left(guest_id)
            raise

    def _debt(self) -> float:
        """Seconds until the next one may pass."""
        return self._due - self._clock()

    def _pay(self, cost: float) -> None:
        self._due = max(self._due, self._clock() - 1.0) + cost * self._gap

    def _wake(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._debt()), self._serve)

    def _serve(self) -> None:
        """Let pass who may by now."""
        self._timer = None
        while self._debt() <= 0 and (guest_id := self._turns.first()) is not None:
            cost, passes = self._waiting[guest_id].popleft()
            self._turns.served(guest_id, cost)
            self._left(guest_id)
            if not passes.done():
                self._pay(cost)
                passes.set_result(None)
        self._wake()

    def _left(self, guest_id: str) -> None:
        if not self._waiting[guest_id]:
            del self._waiting[guest_id]
            self._turns.leave(guest_id)


@dataclass(slots=True, eq=False)
class Tenant:
    """guests: that are attached. open_checks, open_digests: of all of them. paces: by the setting."""

    guests: int = 0
    open_checks: int = 0
    open_digests: int = 0
    paces: dict[str, TenantPace] = field(default_factory=dict)
