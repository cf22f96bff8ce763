"""When a service is asked for changes again, whatever it says. Pure, clock and chance are passed in.

Polls that told something, or took their time, follow each other without a pause; such as came back at once
with nothing, and such as failed, after one that grows to some seconds and no further: when the service does
well again, a change is heard within that. One that turns this call away, or the key, or has no such call, is
left alone for longer. On top of that stands a bound on polls that no answer can lift.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_CHANCE = 0.3  # of a pause that grows, by which it may be shorter: not all SVMs come back together


class Poll(StrEnum):
    """How one ended, as far as it says when the next is due."""

    TOLD = "told"  # it went on, or waited for changes in vain
    EARLY = "early"  # it came back at once with nothing
    FAILED = "failed"
    TURNED_AWAY = "turned away"  # too much was asked, or too many wait
    REFUSED = "refused"  # the key is, or there is no such call


@dataclass(frozen=True, slots=True)
class PaceTerms:
    """first_seconds, longest_seconds: of a pause that grows. turned_away_seconds: then its longest.

    refused_seconds: the pause where that is why. at_once: polls that may follow each other without one; then
    one is due every `spacing_seconds`.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 8.0
    turned_away_seconds: float = 60.0
    refused_seconds: float = 3600.0
    at_once: int = 20
    spacing_seconds: float = 2.0


class Pace:
    """Of one service."""

    def __init__(self, terms: PaceTerms, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """clock: seconds, never going back. chance: from 0 to 1."""
        self._terms = terms
        self._clock = clock
        self._chance = chance
        self._pause = terms.first_seconds
        self._left = float(terms.at_once)
        self._counted_at = clock()

    def seconds_after(self, poll: Poll) -> float:
        """How long to wait after a poll that ended so, which is counted by this."""
        return max(self._pause_after(poll), self._seconds_of_bound())

    def _pause_after(self, poll: Poll) -> float:
        terms = self._terms
        if poll is Poll.TOLD:
            self._pause = terms.first_seconds
            return 0.0
        if poll is Poll.REFUSED:
            return terms.refused_seconds
        longest = terms.turned_away_seconds if poll is Poll.TURNED_AWAY else terms.longest_seconds
        pause = min(self._pause, longest)
        self._pause = min(2 * pause, longest)
        return pause * (1 - _CHANCE * self._chance())

    def _seconds_of_bound(self) -> float:
        """Count a poll; how long until the next is within the bound."""
        now, terms = self._clock(), self._terms
        grown = (now - self._counted_at) / terms.spacing_seconds
        self._left = min(self._left + grown, float(terms.at_once)) - 1
        self._counted_at = now
        return max(0.0, (1 - self._left) * terms.spacing_seconds)
