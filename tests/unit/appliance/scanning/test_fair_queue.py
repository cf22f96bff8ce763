"""Tests of appliance/scanning/fair_queue.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.fair_queue import FairQueue


def queue_of(*entries: tuple[str, int], most: int = 100) -> FairQueue[int]:
    """A queue with these items by owner."""
    queue = FairQueue[int](most)
    for owner, item in entries:
        assert queue.put(owner, item) is None
    return queue


def taken(queue: FairQueue[int]) -> list[int]:
    """Everything, in the order in which it comes out."""
    return [queue.take() for _ in range(len(queue))]


def test_owners_take_turns() -> None:
    """Whoever queued little is not behind whoever queued much; an owner's own order stays."""
    queue = queue_of(("a", 1), ("a", 2), ("a", 3), ("b", 10), ("c", 20), ("c", 21))
    assert taken(queue) == [1, 10, 20, 2, 21, 3]
    with pytest.raises(IndexError):
        queue.take()


def test_a_full_queue_drops_the_last_of_who_has_most() -> None:
    """A newcomer finds a place; one that has most itself finds none."""
    queue = queue_of(("a", 1), ("a", 2), ("b", 10), most=3)
    assert queue.put("c", 20) == 2
    assert queue.put("a", 3) == 3
    assert taken(queue) == [1, 10, 20]


def test_what_is_put_back_comes_next_for_its_owner() -> None:
    """Before what the owner queued later, and also where the queue is full."""
    queue = queue_of(("a", 1), ("a", 2), most=2)
    first = queue.take()
    queue.put("b", 10)
    queue.put_back("a", first)
    assert len(queue) == 3
    assert [item for item in taken(queue) if item < 10] == [1, 2]


def test_first_items_can_be_taken_by_a_condition() -> None:
    """Of each owner those at the front, up to the first that does not fit it."""
    queue = queue_of(("a", 1), ("a", 5), ("a", 2), ("b", 3), ("c", 9))
    assert queue.take_first(lambda item: item < 4) == [1, 3]
    assert taken(queue) == [5, 9, 2]


def test_everything_can_be_taken() -> None:
    """And nothing is left."""
    queue = queue_of(("a", 1), ("b", 2), ("a", 3))
    assert sorted(queue.clear()) == [1, 2, 3]
    assert len(queue) == 0
    assert list(queue) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 8))
def test_nothing_is_lost_or_doubled(steps: list[tuple[str, bool]], most: int) -> None:
    """Whatever is put comes out once: taken, dropped, or still there; and never more than the bound waits."""
    queue = FairQueue[int](most)
    out: list[int] = []
    for number, (owner, is_put) in enumerate(steps):
        if is_put:
            dropped = queue.put(owner, number)
            out += [] if dropped is None else [dropped]
        elif queue:
            out.append(queue.take())
        assert len(queue) == len(list(queue)) <= most
    assert sorted([*out, *queue]) == [number for number, (_, is_put) in enumerate(steps) if is_put]
