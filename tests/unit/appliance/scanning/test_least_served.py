"""Tests of appliance/scanning/least_served.py."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.least_served import MOST_REMEMBERED, LeastServed


def served(turns: LeastServed[str], number: int, cost: float = 1.0) -> str:
    """Who is served, one after another."""
    names = ""
    for _ in range(number):
        name = turns.first()
        assert name is not None
        turns.served(name, cost)
        names += name
    return names


def test_equals_take_turns() -> None:
    """In the order in which they came."""
    turns = LeastServed[str]()
    for name in "abc":
        turns.enter(name)
    assert served(turns, 6) == "abcabc"


def test_who_had_more_waits_until_others_had_as_much() -> None:
    """What a turn took may be known later, also of one who has left and comes back."""
    turns = LeastServed[str]()
    turns.enter("a")
    assert served(turns, 1) == "a"
    turns.leave("a")
    turns.charge("a", 5)
    turns.enter("b")
    turns.enter("a")
    assert served(turns, 8) == "bbbbbbab"


def test_nobody_saves_up() -> None:
    """Who comes late has had as much as the one that was served last."""
    turns = LeastServed[str]()
    turns.enter("a")
    assert served(turns, 10) == "a" * 10
    turns.enter("b")
    assert served(turns, 4).count("b") == 2


def test_who_may_not_is_passed_over_and_not_lost() -> None:
    """The next one has the turn; None where nobody may, or nobody waits."""
    turns = LeastServed[str]()
    assert turns.first() is None
    for name in "ab":
        turns.enter(name)
    assert turns.first(lambda name: name == "b") == "b"
    assert turns.first(lambda _name: False) is None
    assert turns.first() == "a"


def test_little_is_remembered_of_who_has_gone() -> None:
    """Names that come and go leave a bounded memory, and one that owes is among the last to be forgotten."""
    turns = LeastServed[str]()
    for number in range(3 * MOST_REMEMBERED):
        turns.enter(str(number))
        served(turns, 1)
        turns.leave(str(number))
        turns.charge(str(number), 1.0)
    assert len(turns._had) <= MOST_REMEMBERED
    assert len(turns._heap) <= 100
    assert len(turns) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["enter", "leave", "serve", "charge"]))))
def test_only_who_waits_is_served(steps: list[tuple[str, str]]) -> None:
    """Whatever happens, the first is one that waits and has had least."""
    turns, waiting = LeastServed[str](), set[str]()
    for name, step in steps:
        if step == "enter":
            turns.enter(name)
            waiting.add(name)
        elif step == "leave":
            turns.leave(name)
            waiting.discard(name)
        elif step == "charge":
            turns.charge(name, 2.5)
        elif (first := turns.first()) is not None:
            turns.served(first, 1)
        assert len(turns) == len(waiting)
        first = turns.first()
        assert (first in waiting) if waiting else first is None
        assert first is None or turns._had[first] == min(turns._had[each] for each in waiting)
