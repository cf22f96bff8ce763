"""Tests of appliance/scanning/fair_queue.py."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.guest import Owner
from appliance.scanning.fair_queue import FairQueue


def queue_of(*entries: tuple[str, int], most: int = 100) -> FairQueue[int]:
    """A queue with these items by owner."""
    queue = FairQueue[int](most)
    for owner, item in entries:
        assert queue.put(of(owner), item) is None
    return queue


def taken(queue: FairQueue[int]) -> list[int]:
    """Everything, in the order in which it comes out."""
    return [taken_one(queue) for _ in range(len(queue))]


def taken_one(queue: FairQueue[int]) -> int:
    """The next item, which there is."""
    item = queue.take()
    assert item is not None
    return item


def of(guest: str, tenant: int = 16) -> Owner:
    """A guest of a tenant."""
    return Owner(tenant, guest)


def test_owners_take_turns() -> None:
    """Whoever queued little is not behind whoever queued much; an owner's own order stays."""
    queue = queue_of(("a", 1), ("a", 2), ("a", 3), ("b", 10), ("c", 20), ("c", 21))
    assert taken(queue) == [1, 10, 20, 2, 21, 3]
    assert queue.take() is None


def test_a_full_queue_drops_the_last_of_who_has_most() -> None:
    """A newcomer finds a place; one that has most itself finds none."""
    queue = queue_of(("a", 1), ("a", 2), ("b", 10), most=3)
    assert queue.put(of("c"), 20) == 2
    assert queue.put(of("a"), 3) == 3
    assert taken(queue) == [1, 10, 20]


def test_what_is_put_back_comes_next_for_its_owner() -> None:
    """Before what the owner queued later, and also where the queue is full."""
    queue = queue_of(("a", 1), ("a", 2), most=2)
    first = taken_one(queue)
    queue.put(of("b"), 10)
    queue.put_back(of("a"), first)
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
            dropped = queue.put(of(owner), number)
            out += [] if dropped is None else [dropped]
        elif queue:
            out.append(taken_one(queue))
        assert len(queue) == len(list(queue)) <= most
    assert sorted([*out, *queue]) == [number for number, (_, is_put) in enumerate(steps) if is_put]


def test_what_is_urgent_goes_first_and_the_rest_goes_on() -> None:
    """While both wait, one item of nine is of the rest; owners take turns on each level."""
    queue = queue_of(("a", 1), ("b", 2), ("a", 3), most=100)
    for number in range(100, 120):
        queue.put(of("a" if number % 2 else "c"), number, urgent=True)
    assert queue.urgent == 20
    out = taken(queue)
    assert [out.index(number) for number in (1, 2, 3)] == [8, 17, 22]
    assert queue.urgent == 0


def test_an_item_becomes_urgent() -> None:
    """It goes behind what was urgent before, and before all else; one that is gone stays so."""
    queue = queue_of(("a", 1), ("a", 2), ("b", 3))
    queue.put(of("b"), 4, urgent=True)
    assert queue.hurry(2)
    assert not queue.hurry(2)
    assert not queue.hurry(99)
    assert taken(queue) == [4, 2, 1, 3]
    assert not queue.hurry(1)


def test_a_full_queue_drops_what_is_not_urgent() -> None:
    """Of the owner who has most, and of two who have as much, of the one who has what is not urgent."""
    queue = queue_of(("a", 1), ("b", 2), most=2)
    assert queue.put(of("c"), 3, urgent=True) == 1
    assert queue.put(of("c"), 4, urgent=True) == 4
    assert queue.put(of("b"), 5, urgent=True) == 2
    assert taken(queue) == [3, 5]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "urgent", "take", "hurry", "back"]))),
    st.integers(1, 8),
)
def test_levels_lose_and_double_nothing(steps: list[tuple[str, str]], most: int) -> None:
    """Whatever becomes urgent, goes back or is dropped, each item comes out once."""
    queue, out, entered = FairQueue[int](most), list[int](), 0
    for number, (owner, step) in enumerate(steps):
        if step in {"put", "urgent"}:
            entered += 1
            dropped = queue.put(of(owner), number, urgent=step == "urgent")
            out += [] if dropped is None else [dropped]
        elif step == "hurry" and queue:
            queue.hurry(min(queue))
        elif step == "back" and queue:
            queue.put_back(of(owner), taken_one(queue), urgent=bool(number % 2))
        elif queue:
            out.append(taken_one(queue))
        assert len(queue) == len(list(queue)) >= queue.urgent >= 0
    assert len(set(out)) == len(out)
    assert len(out) + len(queue) == entered


def test_tenants_take_turns_and_then_their_guests() -> None:
    """Two hundred guests of one tenant have together what the only guest of another has."""
    queue = FairQueue[int](1000)
    for number in range(200):
        queue.put(of(f"loud-{number}"), number)
    for number in range(1000, 1004):
        queue.put(of("quiet", tenant=17), number)
    assert [number for number in taken(queue)[:8] if number >= 1000] == [1000, 1001, 1002, 1003]


def test_who_takes_long_waits_for_the_others() -> None:
    """What an item took counts against its guest, and its tenant, also when it has no other by then."""
    queue = FairQueue[int](100)
    queue.put(of("slow"), 0)
    assert taken(queue) == [0]
    queue.charge(of("slow"), 60.0)
    for number in range(1, 4):
        queue.put(of("slow"), number)
        queue.put(of("quick"), number + 10)
        queue.put(of("other", tenant=17), number + 20)
    order = taken(queue)
    assert [number for number in order if number < 20] == [11, 12, 13, 1, 2, 3]
    assert order[:3] == [21, 22, 23]


def test_a_full_queue_drops_of_the_tenant_that_has_most() -> None:
    """However little each of its guests has, and however much one guest of another tenant."""
    queue = FairQueue[int](4)
    for number in range(2):
        queue.put(of("only", tenant=17), 100 + number)
    assert [queue.put(of(f"guest-{number}"), number) for number in range(4)] == [None, None, 0, 1]
    assert queue.put(of("only", tenant=17), 102) == 102


def test_who_may_not_have_a_turn_is_passed_over() -> None:
    """The next one who may has it, whatever is urgent; nobody has where nobody may."""
    queue = queue_of(("a", 1), ("b", 2))
    queue.put(of("a"), 3, urgent=True)
    assert queue.take(lambda owner: owner.guest_id == "b") == 2
    assert queue.take(lambda owner: owner.guest_id == "b") is None
    assert taken(queue) == [3, 1]
