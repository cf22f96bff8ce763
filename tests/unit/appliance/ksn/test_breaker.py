"""When a service is left alone."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ksn.breaker import Breaker, BreakerTerms, End, Permit, State
from tests.support.properties import patient

TERMS = BreakerTerms(
    in_a_row=3,
    window=10,
    share=0.5,
    slow_seconds=1,
    pause_seconds=5,
    longest_pause_seconds=15,
    refused_pause_seconds=1000,
)


@dataclass
class Clock:
    """Time that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def made() -> tuple[Breaker, Clock]:
    """A breaker and its clock."""
    clock = Clock()
    return Breaker(TERMS, clock), clock


def state_of(breaker: Breaker) -> State:
    """Its state now, which mypy would take for what it was a line before."""
    return breaker.state


def permitted(breaker: Breaker) -> Permit:
    """Leave to send, which there is."""
    permit = breaker.begin()
    assert permit is not None
    return permit


def requests(breaker: Breaker, *ends: End) -> None:
    """Requests one after the other."""
    for end in ends:
        breaker.end(permitted(breaker), end)


def test_failures_in_a_row_open_it() -> None:
    """Not before the last of them, and one success begins the row anew."""
    breaker, _ = made()
    requests(breaker, End.FAILED, End.FAILED, End.SERVED, End.FAILED, End.FAILED)
    assert state_of(breaker) is State.CLOSED
    requests(breaker, End.FAILED)
    assert state_of(breaker) is State.OPEN
    assert breaker.begin() is None


def test_a_share_of_failures_opens_it() -> None:
    """Though never three in a row fail."""
    breaker, _ = made()
    requests(breaker, *[End.SERVED, End.FAILED] * 4, End.SERVED)
    assert state_of(breaker) is State.CLOSED
    requests(breaker, End.FAILED)
    assert state_of(breaker) is State.OPEN


def test_slow_answers_are_failures() -> None:
    """Three answers that nobody could wait for."""
    breaker, clock = made()
    for _ in range(3):
        permit = permitted(breaker)
        clock.now += 1.5
        breaker.end(permit, End.SERVED)
    assert state_of(breaker) is State.OPEN


def test_time_before_the_request_went_out_is_not_the_services() -> None:
    """A slow disk in front of it opens nothing."""
    breaker, clock = made()
    for _ in range(3):
        permit = permitted(breaker)
        clock.now += 1.5
        breaker.end(breaker.sending(permit), End.SERVED)
    assert state_of(breaker) is State.CLOSED


def test_after_the_pause_one_request_finds_out() -> None:
    """One alone; when it is served everybody asks again."""
    breaker, clock = made()
    requests(breaker, *[End.FAILED] * 3)
    clock.now += 4.9
    assert state_of(breaker) is State.OPEN
    clock.now += 0.2
    assert state_of(breaker) is State.HALF_OPEN
    probe = permitted(breaker)
    assert breaker.begin() is None
    breaker.end(probe, End.SERVED)
    assert state_of(breaker) is State.CLOSED
    requests(breaker, End.FAILED, End.FAILED)
    assert state_of(breaker) is State.CLOSED


def test_each_pause_is_longer_up_to_a_bound() -> None:
    """5, 10, 15, 15 seconds; after a success 5 again."""
    breaker, clock = made()
    requests(breaker, *[End.FAILED] * 3)
    for pause in (5, 10, 15, 15):
        clock.now += pause - 0.1
        assert breaker.begin() is None
        clock.now += 0.2
        requests(breaker, End.FAILED)
    clock.now += 16
    requests(breaker, End.SERVED, *[End.FAILED] * 3)
    clock.now += 5.1
    assert state_of(breaker) is State.HALF_OPEN


def test_an_abandoned_probe_makes_way_for_another() -> None:
    """A guest that goes away in the middle decides nothing."""
    breaker, clock = made()
    requests(breaker, *[End.FAILED] * 3)
    clock.now += 6
    requests(breaker, End.ABANDONED, End.SERVED)
    assert state_of(breaker) is State.CLOSED


def test_a_refused_key_opens_it_until_told_otherwise() -> None:
    """Everybody asks at once when the key was changed."""
    breaker, clock = made()
    requests(breaker, End.REFUSED)
    clock.now += 900
    assert (state_of(breaker), breaker.refused, breaker.begin()) == (State.OPEN, True, None)
    assert breaker.seconds_to_try() == 100
    breaker.credentials_changed()
    assert (state_of(breaker), breaker.refused, breaker.seconds_to_try()) == (State.CLOSED, False, 0)


def test_a_refused_key_is_tried_again_after_long() -> None:
    """By one request each time, until the service takes it: then it was wrong by itself."""
    breaker, clock = made()
    requests(breaker, End.REFUSED)
    for _ in range(2):
        clock.now += 1000
        probe = permitted(breaker)
        assert breaker.begin() is None
        breaker.end(probe, End.REFUSED)
        assert state_of(breaker) is State.OPEN
    clock.now += 1000
    requests(breaker, End.SERVED)
    assert (state_of(breaker), breaker.refused) == (State.CLOSED, False)


def test_a_service_that_fails_when_it_is_tried_again_is_no_more_one_that_refuses() -> None:
    """It is left alone for as short as after any failure."""
    breaker, clock = made()
    requests(breaker, End.REFUSED)
    clock.now += 1000
    requests(breaker, End.FAILED)
    assert (breaker.refused, breaker.seconds_to_try()) == (False, 5)


def test_what_was_sent_with_the_key_before_does_not_refuse_the_new_one() -> None:
    """Its answer came after the key was changed."""
    breaker, _ = made()
    early = permitted(breaker)
    requests(breaker, End.REFUSED)
    breaker.credentials_changed()
    breaker.end(early, End.REFUSED)
    assert (state_of(breaker), breaker.refused) == (State.CLOSED, False)


def test_late_ends_of_earlier_requests_count_no_more() -> None:
    """What was sent before it opened neither closes it nor lengthens the pause; a refusal counts always."""
    breaker, clock = made()
    early, late, last = permitted(breaker), permitted(breaker), permitted(breaker)
    requests(breaker, *[End.FAILED] * 3)
    breaker.end(early, End.SERVED)
    assert state_of(breaker) is State.OPEN
    clock.now += 6
    breaker.end(late, End.FAILED)
    assert state_of(breaker) is State.HALF_OPEN
    breaker.end(last, End.REFUSED)
    assert breaker.refused


@pytest.mark.parametrize("end", [End.FAILED, End.REFUSED])
def test_an_administrator_need_not_wait_for_the_end_of_a_pause(end: End) -> None:
    """One request goes out and decides; where nothing is paused, nothing changes."""
    breaker, _ = made()
    breaker.try_now()
    assert breaker.state is State.CLOSED
    for _ in range(TERMS.in_a_row):
        permit = breaker.begin()
        if permit is not None:
            breaker.end(permit, end)
    assert breaker.begin() is None
    breaker.try_now()
    permit = breaker.begin()
    assert permit is not None
    assert breaker.begin() is None
    breaker.end(permit, End.SERVED)
    assert (state_of(breaker), breaker.refused) == (State.CLOSED, False)


@given(st.lists(st.tuples(st.sampled_from([End.SERVED, End.FAILED, End.ABANDONED]), st.floats(0, 20))))
@patient
def test_it_never_stays_open_for_ever(story: list[tuple[End, float]]) -> None:
    """Whatever happened, unless the key was refused, a request goes out after the longest pause."""
    breaker, clock = made()
    for end, seconds in story:
        permit = breaker.begin()
        clock.now += seconds
        if permit is not None:
            breaker.end(permit, end)
    clock.now += TERMS.longest_pause_seconds
    assert breaker.begin() is not None
