"""Tests of appliance/ksn/pacing.py, on a clock of the test's own."""

import pytest

from appliance.ksn.pacing import Pace, PaceTerms, Poll

TERMS = PaceTerms(at_once=3)


class Polled:
    """A pace, and the clock on which the polls follow."""

    def __init__(self, terms: PaceTerms = TERMS, chance: float = 0.0) -> None:
        """chance: what it always is."""
        self.now = 50.0
        self.pace = Pace(terms, lambda: self.now, lambda: chance)

    def after(self, *polls: Poll) -> list[float]:
        """How long it was to the next, after each."""
        waits = []
        for poll in polls:
            waits.append(self.pace.seconds_after(poll))
            self.now += waits[-1]
        return waits


@pytest.mark.parametrize(
    ("poll", "pauses"),
    [
        (Poll.EARLY, [1, 2, 4, 8, 8]),
        (Poll.FAILED, [1, 2, 4, 8, 8]),
        (Poll.TURNED_AWAY, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Poll.REFUSED, [3600, 3600]),
    ],
)
def test_a_pause_grows_up_to_its_bound(poll: Poll, pauses: list[float]) -> None:
    """For as long as it goes on; then it is short again, and one bound is not taken over by another."""
    polled = Polled(PaceTerms())
    assert polled.after(*[poll] * len(pauses)) == pauses
    assert polled.after(Poll.FAILED)[0] <= 8
    assert polled.after(Poll.TOLD, Poll.EARLY) == [0, 1]


def test_pauses_differ_by_chance() -> None:
    """They are shorter, never longer."""
    assert Polled(chance=1.0).after(Poll.FAILED, Poll.FAILED) == [0.7, 1.4]


def test_polls_that_tell_something_follow_at_once_for_a_while() -> None:
    """Then every two seconds one; what was not used comes back with time, and no more than that."""
    polled = Polled()
    assert polled.after(*[Poll.TOLD] * 5) == [0, 0, 2, 2, 2]
    polled.now += 1000
    assert polled.after(*[Poll.TOLD] * 4) == [0, 0, 2, 2]
