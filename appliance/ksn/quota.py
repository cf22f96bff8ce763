"""How much may be asked: the provider's quota, shared by all guests. Pure, the clock is passed in.

The services document neither their quotas nor when there is room again, so both are settings, counted here
over any minute and any day, not over those of a calendar. A service that says that its quota is spent is left
alone for a while, each time twice as long up to a bound.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MINUTE = 60.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class QuotaTerms:
    """per_minute, per_day: requests, 0 for as many as one likes. What is remembered is bounded by them.

    pause_seconds, longest_pause_seconds: how long a service is left alone that says that its quota is spent.
    """

    per_minute: int = 60
    per_day: int = 2000
    pause_seconds: float = 60.0
    longest_pause_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class AskingTerms:
    """share: of a caller's budget that a question may take. longest_seconds: of that, and of any request.

    shortest_seconds: with less time than that nothing is asked. under_way: requests at a time. per_guest:
    questions that one guest may have open.
    """

    share: float = 0.5
    longest_seconds: float = 2.0
    shortest_seconds: float = 0.05
    under_way: int = 16
    per_guest: int = 256


class _Window:
    """At most `limit` requests in any `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=limit)  # no more are ever needed

    def room_at(self, now: float) -> float:
        """From when on there is room."""
        while self._times and self._times[0] + self._seconds <= now:
            self._times.popleft()
        if not self.limit or len(self._times) < self.limit:
            return now
        return self._times[0] + self._seconds

    def take(self, now: float) -> None:
        if self.limit:
            self._times.append(now)

    def give_back(self) -> None:
        if self._times:
            self._times.pop()

    @property
    def used(self) -> int:
        return len(self._times)


class Quota:
    """What is left of the quota of one service."""

    def __init__(self, terms: QuotaTerms, clock: Callable[[], float]) -> None:
        """clock: seconds, never going back."""
        self._clock = clock
        self._terms = terms
        self._minute = _Window(terms.per_minute, MINUTE)
        self._day = _Window(terms.per_day, DAY)
        self._pause = terms.pause_seconds
        self._paused_until = 0.0

    def restore(self, ages: Iterable[float]) -> None:
        """Count requests that an earlier run sent so many seconds ago; the oldest first."""
        now = self._clock()
        for age in ages:
            self._minute.take(now - age)
            self._day.take(now - age)

    def seconds_to_room(self) -> float:
        """How long until a request may go out; 0 for now."""
        now = self._clock()
        return max(self._minute.room_at(now), self._day.room_at(now), self._paused_until, now) - now

    def take(self) -> bool:
        """Count a request, unless there is no room for it."""
        if self.seconds_to_room() > 0:
            return False
        now = self._clock()
        self._minute.take(now)
        self._day.take(now)
        return True

    def give_back(self) -> None:
        """Uncount a request that was not sent after all."""
        self._minute.give_back()
        self._day.give_back()

    def left_today(self) -> int | None:
        """Requests that are left of the day's quota, None for as many as one likes."""
        self._day.room_at(self._clock())
        return max(0, self._day.limit - self._day.used) if self._day.limit else None

    def spent(self) -> None:
        """Note that the service says that its quota is spent; said many times at once, it is once."""
        now = self._clock()
        if now >= self._paused_until:
            self._paused_until = now + self._pause
            self._pause = min(2 * self._pause, self._terms.longest_pause_seconds)

    def served(self) -> None:
        """Note that the service answered: its next pause is short again. Late answers do not end a pause."""
        if self._clock() >= self._paused_until:
            self._pause = self._terms.pause_seconds
