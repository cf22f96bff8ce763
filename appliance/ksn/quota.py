"""How much may be asked: the provider's quota, shared by all guests. Pure, the clock is passed in.

The services document neither their quotas nor when there is room again, so both are settings, counted here
over any minute and any day, not over those of a calendar. A service that says that its quota is spent is left
alone for a while, each time twice as long up to a bound. Where it says so of what is handed over, that waits:
it may have no room for contents, and answer questions all the same.

No guest can spend it for everybody: each may use a share of any minute and any day, what is asked later a
quarter, and a tenth of both is kept for the house, which is the SVM itself and its administrator.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from appliance.ksn.asker import Standing
from appliance.ksn.reputation import BESIDE_QUESTIONS, Call

MINUTE = 60.0
DAY = 86_400.0
_KEPT = 10  # one part in so many is kept for the house
_HOUSE, _LATER = Standing.HOUSE.value, Standing.LATER.value
_LATER_SHARE = 0.25  # of what is asked later, whoever pays
_ANYBODY = ""  # a guest who has not asked yet


@dataclass(frozen=True, slots=True)
class QuotaTerms:
    """per_minute, per_day: requests, 0 for as many as one likes. What is remembered is bounded by them.

    pause_seconds, longest_pause_seconds: how long a service is left alone that says that its quota is spent.
    share: of a minute's or a day's that one guest may use, 1 for no bound.
    """

    per_minute: int = 60
    per_day: int = 2000
    pause_seconds: float = 60.0
    longest_pause_seconds: float = 3600.0
    share: float = 0.5


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
    """At most `limit` requests in any `seconds`; of those, so many of all guests and so many of each."""

    def __init__(self, limit: int, seconds: float, share: float) -> None:
        self.limit = limit
        self._of_guests = limit - limit // _KEPT
        self._of_each = max(1, int(limit * share))
        self._of_later = max(1, int(limit * _LATER_SHARE))
        self._seconds = seconds
        self._times: deque[float] = deque()
        self._payers: deque[str] = deque()
        self._used: Counter[str] = Counter()  # by who pays; nobody who has used nothing is in it

    def is_full(self, now: float, payer: str) -> bool:
        """Whether there is no room, his own share aside."""
        while self._times and self._times[0] + self._seconds <= now:
            self._times.popleft()
            self._uncount(self._payers.popleft())
        return len(self._times) >= self.limit > 0 or (payer != _HOUSE and self._is_full_for_guests())

    def room_at(self, now: float, payer: str) -> float:
        """From when on there is room."""
        if not self.is_full(now, payer):
            return now
        if payer == _HOUSE or not self._is_full_for_guests():
            return self._times[0] + self._seconds
        pairs = zip(self._times, self._payers, strict=True)
        return next(time for time, who in pairs if who != _HOUSE) + self._seconds

    def is_over_share(self, now: float, payer: str) -> bool:
        """Whether he has used his share, which the house has not."""
        self.is_full(now, payer)  # forgets what was used before
        most = self._of_later if payer == _LATER else self._of_each
        return bool(self.limit) and payer != _HOUSE and self._used[payer] >= most

    def take(self, now: float, payer: str) -> None:
        if self.limit:
            if len(self._times) >= self.limit:  # more than is allowed was sent by an earlier run
                self._times.popleft()
                self._uncount(self._payers.popleft())
            self._times.append(now)
            self._payers.append(payer)
            self._used[payer] += 1

    def give_back(self, payer: str) -> None:
        for place in range(len(self._payers) - 1, -1, -1):  # it is among the last
            if self._payers[place] == payer:
                del self._payers[place], self._times[place]
                self._uncount(payer)
                return

    @property
    def used(self) -> int:
        return len(self._times)

    def _is_full_for_guests(self) -> bool:
        return len(self._times) - self._used[_HOUSE] >= self._of_guests > 0

    def _uncount(self, payer: str) -> None:
        self._used[payer] -= 1
        if not self._used[payer]:
            del self._used[payer]


class _Pause:
    """How long a service is left alone that turned something away."""

    def __init__(self, terms: QuotaTerms, clock: Callable[[], float]) -> None:
        self._terms = terms
        self._clock = clock
        self._next = terms.pause_seconds
        self.until = 0.0

    def begin(self) -> None:
        """Note that something was turned away; said many times at once, it is once."""
        now = self._clock()
        if now >= self.until:
            self.until = now + self._next
            self._next = min(2 * self._next, self._terms.longest_pause_seconds)

    def served(self) -> None:
        """Note an answer: the next pause is short again. Late ones do not end a pause."""
        if self._clock() >= self.until:
            self._next = self._terms.pause_seconds


class Quota:
    """What is left of the quota of one service. payer: as `Asker` has it."""

    def __init__(self, terms: QuotaTerms, clock: Callable[[], float]) -> None:
        """clock: seconds, never going back."""
        self._clock = clock
        self._minute = _Window(terms.per_minute, MINUTE, terms.share)
        self._day = _Window(terms.per_day, DAY, terms.share)
        self._pause = _Pause(terms, clock)  # of everything
        self._alone = {call: _Pause(terms, clock) for call in BESIDE_QUESTIONS}

    def restore(self, requests: Iterable[tuple[float, str]]) -> None:
        """Count what an earlier run sent: how many seconds ago and who paid, the oldest first."""
        now = self._clock()
        for age, payer in requests:
            self._minute.take(now - age, payer)
            self._day.take(now - age, payer)

    def seconds_to_room(self, payer: str = _ANYBODY) -> float:
        """How long until a request may go out, but for his share; 0 for now."""
        now = self._clock()
        minute, day = self._minute.room_at(now, payer), self._day.room_at(now, payer)
        return max(minute, day, self._pause.until, now) - now

    def is_full(self, payer: str) -> bool:
        """Whether none may go out now, but for his share. Costs the same however much was asked."""
        now = self._clock()
        return now < self._pause.until or self._minute.is_full(now, payer) or self._day.is_full(now, payer)

    def over_share(self, payer: str) -> str:
        """Of what he has used his share, "minute" or "day"; "" for neither."""
        now = self._clock()
        if self._day.is_over_share(now, payer):
            return "day"
        return "minute" if self._minute.is_over_share(now, payer) else ""

    def take(self, payer: str = _ANYBODY) -> bool:
        """Count a request, unless there is no room for it."""
        if self.is_full(payer) or self.over_share(payer):
            return False
        now = self._clock()
        self._minute.take(now, payer)
        self._day.take(now, payer)
        return True

    def give_back(self, payer: str = _ANYBODY) -> None:
        """Uncount a request of his that was not sent after all."""
        self._minute.give_back(payer)
        self._day.give_back(payer)

    def left_today(self) -> int | None:
        """Requests that are left today, the house's among them; None for as many as one likes."""
        self._day.is_full(self._clock(), _HOUSE)  # forgets those of yesterday
        return max(0, self._day.limit - self._day.used) if self._day.limit else None

    def seconds_turned_away(self, call: Call) -> float:
        """How long the service is left alone with a call, by its own word; 0 where it is not."""
        until = max(self._pause.until, self._alone[call].until if call in self._alone else 0.0)
        return max(0.0, until - self._clock())

    def spent(self, call: Call = Call.HASH) -> None:
        """Note that the service turned a request away, since its quota is spent or it has no room."""
        self._alone.get(call, self._pause).begin()

    def served(self, call: Call = Call.HASH) -> None:
        """Note that the service answered such a request."""
        self._alone.get(call, self._pause).served()
