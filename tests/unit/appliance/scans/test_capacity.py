"""Tests of appliance/scans/capacity.py."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.scans.capacity import EASED, SETTLE_SECONDS, Capacity, CapacityTerms
from appliance.scans.pressure import Pressure

LIMITS = Pressure(cpu=60, io=40, memory=10, steal=0)
PRESSED, EASY = Pressure(io=40), Pressure(cpu=60 * EASED)


def capacity(most: int = 8, least: int = 1) -> Capacity:
    """A capacity that nothing has pressed yet."""
    return Capacity(CapacityTerms(most, least, LIMITS))


def test_under_pressure_slots_are_halved_and_come_back_one_by_one() -> None:
    """Down to the least; each step only when the one before can have shown."""
    slots = capacity()
    assert slots.look(EASY, 0, 0) == 8
    assert [slots.look(PRESSED, 0, when) for when in (1, 3, 6, 11, 16, 21)] == [4, 4, 2, 1, 1, 1]
    assert slots.level == 1.0
    assert [slots.look(EASY, 0, 30 + SETTLE_SECONDS * step) for step in range(9)] == [
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        8,
        8,
    ]


def test_between_eased_and_pressed_nothing_changes() -> None:
    """So that the number does not swing with every look."""
    slots = capacity()
    slots.look(PRESSED, 0, 0)
    for step in range(1, 20):
        assert slots.look(Pressure(cpu=60 * EASED + 1), 0, 10.0 * step) == 4


def test_an_open_that_waits_is_pressure() -> None:
    """On-access goes first."""
    slots = capacity()
    assert slots.look(EASY, 1, 0) == 4
    assert slots.level == 1.0


def test_all_slots_may_go() -> None:
    """Where the settings say that none need be left."""
    slots = capacity(most=3, least=0)
    assert [slots.look(PRESSED, 0, 10.0 * step) for step in range(4)] == [1, 0, 0, 0]
    assert slots.look(EASY, 0, 100) == 1


def test_a_limit_of_nothing_is_none() -> None:
    """The host may steal as it likes, where the settings do not look at that."""
    assert capacity().look(Pressure(steal=100), 0, 0) == 8


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 3), st.floats(0, 20))))
def test_the_number_stays_in_its_bounds(looks: list[tuple[float, int, float]]) -> None:
    """Whatever the kernel says."""
    slots, now = capacity(6, 2), 0.0
    for cpu, waiting, passed in looks:
        now += passed
        before = slots.allowed
        assert 2 <= slots.look(Pressure(cpu=cpu), waiting, now) <= 6
        assert slots.allowed <= before + 1
