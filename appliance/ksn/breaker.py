"""When a service is left alone: a circuit breaker. Pure, the clock is passed in.

Closed, everybody asks. After failures in a row, or too large a share of them among the last requests, it
opens: nobody asks for a while, each time twice as long up to a bound. Then it is half open: one request is
let through and decides. A slow answer counts as a failure, since callers cannot wait for such. A refused key
opens it for long, since that seldom heals by itself; at once where an administrator says that it was changed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.ksn.reputation import Trouble


class State(StrEnum):
    """Whether requests go out."""

    CLOSED = "closed"  # they do
    OPEN = "open"  # they do not
    HALF_OPEN = "half open"  # one does, to find out


class End(StrEnum):
    """How a request went, as far as it tells something about the service."""

    SERVED = "served"
    FAILED = "failed"
    REFUSED = "refused"  # the credentials
    ABANDONED = "abandoned"  # by us, before it could tell anything


# What a request without an answer tells of the service; in all other cases it serves, if not this question.
END_BY_TROUBLE = {
    Trouble.UNREACHABLE: End.FAILED,
    Trouble.MALFORMED: End.FAILED,
    Trouble.TIMED_OUT: End.FAILED,
    Trouble.REFUSED: End.REFUSED,
    Trouble.NOT_ALLOWED: End.ABANDONED,
    Trouble.NOT_OFFERED: End.ABANDONED,
}


@dataclass(frozen=True, slots=True)
class BreakerTerms:
    """in_a_row: failures that open it. window, share: so does this share of the last `window` requests.

    slow_seconds: an answer that takes longer is a failure. pause_seconds, longest_pause_seconds: the first
    and the longest time that it stays open. refused_pause_seconds: for how long after refused credentials.
    """

    in_a_row: int = 5
    window: int = 20
    share: float = 0.5
    slow_seconds: float = 0.5
    pause_seconds: float = 5.0
    longest_pause_seconds: float = 300.0
    refused_pause_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request. era: it tells nothing about the service after the state has changed."""

    era: int
    since: float


class Breaker:
    """The state of one service."""

    def __init__(self, terms: BreakerTerms, clock: Callable[[], float]) -> None:
        """clock: seconds, never going back."""
        self._terms = terms
        self._clock = clock
        self._state = State.CLOSED
        self._era = 0
        self._key_since = 0  # the era in which the credentials were changed
        self._refused = False
        self._probing = False
        self._row = 0
        self._last: deque[bool] = deque(maxlen=terms.window)  # whether it failed
        self._pause = terms.pause_seconds
        self._opens_until = 0.0

    @property
    def state(self) -> State:
        """Now; a pause that is over has made it half open."""
        if self._state is State.OPEN and self._clock() >= self._opens_until:
            self._change(State.HALF_OPEN)
        return self._state

    @property
    def refused(self) -> bool:
        """Whether the credentials were refused, by the last that is known of the service."""
        return self._refused

    def seconds_to_try(self) -> float:
        """How long until a request goes out; 0 for now."""
        return max(0.0, self._opens_until - self._clock()) if self.state is State.OPEN else 0.0

    def begin(self) -> Permit | None:
        """Ask for leave to send a request. It must come to an `end`."""
        state = self.state
        if state is State.OPEN or (state is State.HALF_OPEN and self._probing):
            return None
        self._probing = state is State.HALF_OPEN
        return Permit(self._era, self._clock())

    def sending(self, permit: Permit) -> Permit:
        """Say that the request goes out now: what came before was not the service's time."""
        return replace(permit, since=self._clock())

    def end(self, permit: Permit, end: End) -> None:
        """Say how a request went."""
        if end is End.REFUSED and permit.era >= self._key_since:
            self._refused = True
            self._open(self._terms.refused_pause_seconds)
        elif permit.era != self._era:
            return
        elif end is End.ABANDONED:
            self._probing = False
        elif end is End.FAILED or self._clock() - permit.since > self._terms.slow_seconds:
            self._failed()
        else:
            self._served()

    def credentials_changed(self) -> None:
        """Begin anew, closed: an administrator changed what was refused, or the service's mind.

        What was sent before, with other credentials, tells nothing any more.
        """
        self._refused = False
        self._pause = self._terms.pause_seconds
        self._change(State.CLOSED)
        self._key_since = self._era

    def try_now(self) -> None:
        """Have one request find out before the pause is over: an administrator wants to know."""
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN)

    def _served(self) -> None:
        if self._state is State.HALF_OPEN:
            self._refused = False
            self._pause = self._terms.pause_seconds
            self._change(State.CLOSED)
        self._row = 0
        self._last.append(False)

    def _failed(self) -> None:
        self._row += 1
        self._last.append(True)
        failed = self._state is State.HALF_OPEN or self._row >= self._terms.in_a_row
        full = len(self._last) == self._terms.window
        if failed or (full and sum(self._last) >= self._terms.share * self._terms.window):
            self._refused = False
            self._open(self._pause)
            self._pause = min(2 * self._pause, self._terms.longest_pause_seconds)

    def _open(self, seconds: float) -> None:
        self._opens_until = self._clock() + seconds
        self._change(State.OPEN)

    def _change(self, state: State) -> None:
        self._state = state
        self._era += 1
        self._probing = False
        self._row = 0
        self._last.clear()
