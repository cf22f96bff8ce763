"""Tests of what has to go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.remediation import bounds as module
from guest_stub.remediation.bounds import Bounds, Kept, TooLarge, in_the_way, outdated
from tests.support.properties import patient

DAY = 86_400 * 10**9
BOUNDS = Bounds(bytes=100, days=2)


def kept(*sizes: int) -> list[Kept]:
    """Entries of these sizes, the oldest first."""
    return [Kept(number, f"{number:012x}", size) for number, size in enumerate(sizes)]


def test_nothing_goes_while_there_is_room() -> None:
    """Up to the bound itself."""
    assert in_the_way(kept(30, 30), 10, 30, BOUNDS) == []


def test_the_oldest_go_first_and_no_more_than_have_to() -> None:
    """Whatever the order in which they are listed."""
    assert in_the_way(kept(30, 30, 30)[::-1], 0, 50, BOUNDS) == kept(30, 30)


def test_what_others_are_making_counts() -> None:
    """Two that are sealed at once do not both take the last room."""
    assert in_the_way(kept(10), 60, 40, BOUNDS) == kept(10)


def test_what_is_larger_than_all_of_it_lets_nothing_go() -> None:
    """It is refused before anything is dropped for it."""
    with pytest.raises(TooLarge):
        in_the_way(kept(100), 0, 101, BOUNDS)


def test_their_number_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small files make a list long and the look for room slow."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    assert in_the_way(kept(1, 1, 1), 0, 1, BOUNDS) == kept(1)


def test_age() -> None:
    """Older than the days that are set goes; what a clock put into the future stays."""
    ages = [Kept(0, "a", 1), Kept(DAY, "b", 1), Kept(9 * DAY, "c", 1)]
    assert outdated(ages, BOUNDS, 2 * DAY) == []
    assert outdated(ages, BOUNDS, 2 * DAY + 1) == ages[:1]


@patient
@given(st.lists(st.integers(0, 120)), st.integers(0, 100))
def test_what_stays_fits(sizes: list[int], wanted: int) -> None:
    """Once those have gone, what comes is within the bound."""
    before = kept(*sizes)
    going = in_the_way(before, 0, wanted, BOUNDS)
    assert sum(one.bytes for one in before if one not in going) + wanted <= BOUNDS.bytes
