"""Tests of appliance/scans/slots.py."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.scans.slots import TURNS_OF_A_LONG_ONE, Claim, Slots

TURN = 60.0


def claim(scope: int, guest: str = "g", scan: int = 1) -> Claim:
    """A scan of a guest of a tenant."""
    return Claim(1, scan.to_bytes(16, "big"), scope, guest)


def slots_with(allowed: int, *claims: Claim) -> Slots:
    """Slots for which these claims wait."""
    slots = Slots(allowed, TURN)
    for each in claims:
        slots.enter(each)
    return slots


def test_first_come_first_served_within_a_guest() -> None:
    """So many get a slot as there are; the next when one is given back."""
    first, second, third = (claim(1, scan=number) for number in (1, 2, 3))
    slots = slots_with(2, first, second, third)
    assert slots.settle(0) == ([], [first, second])
    assert (slots.running, slots.waiting) == (2, 1)
    slots.enter(third)
    slots.leave(first)
    slots.leave(claim(9))
    assert slots.settle(1) == ([], [third])
    slots.leave(second)
    slots.leave(third)
    assert (slots.running, slots.waiting, slots.knows(third)) == (0, 0, False)


def test_tenants_share_equally() -> None:
    """A tenant of a hundred guests, which came first, gets no more than two tenants of one guest."""
    crowd = [claim(1, f"vm-{number}") for number in range(100)]
    lone = [claim(2, "x"), claim(3, "y")]
    slots = slots_with(6, *crowd, *lone)
    _, given_slots = slots.settle(0)
    assert Counter(each.scope for each in given_slots) == {1: 4, 2: 1, 3: 1}
    more = [claim(2, "x", 2), claim(3, "y", 2)]
    for each in more:
        slots.enter(each)
    assert slots.settle(TURN - 1) == ([], [])
    lost, given_slots = slots.settle(TURN)
    assert given_slots == more
    assert [each.scope for each in lost] == [1, 1]


def test_guests_of_a_tenant_share_equally() -> None:
    """A guest that wants four slots gets one, where others wait."""
    greedy = [claim(1, "greedy", number) for number in range(4)]
    others = [claim(1, "b"), claim(1, "c")]
    assert slots_with(3, *greedy, *others).settle(0)[1] == [greedy[0], *others]


def test_one_slot_goes_round_among_tenants() -> None:
    """Each in turn, however many scans of one wait; none is left out for coming last."""
    crowd = [claim(1, f"vm-{number}") for number in range(50)]
    slots = slots_with(1, *crowd, claim(2), claim(3))
    turns = [slots.settle(number * TURN)[1][0].scope for number in range(9)]
    assert turns == [1, 2, 3] * 3


def test_within_a_tenant_a_slot_is_kept_for_a_long_turn() -> None:
    """A guest that says for ever that it scans keeps the others out no longer."""
    hog, patient = claim(1, "hog"), claim(1, "patient")
    slots = slots_with(1, hog, patient)
    slots.settle(0)
    assert slots.settle(TURNS_OF_A_LONG_ONE * TURN - 1) == ([], [])
    assert slots.settle(TURNS_OF_A_LONG_ONE * TURN) == ([hog], [patient])
    alone = slots_with(1, hog)
    alone.settle(0)
    assert alone.settle(100 * TURNS_OF_A_LONG_ONE * TURN) == ([], [])


def test_within_a_tenant_a_guest_that_has_several_gives_one_after_a_turn() -> None:
    """Another that has none waits no longer than that; of two and one none is passed to and fro."""
    hog = [claim(1, "hog", number) for number in range(4)]
    slots = slots_with(2, *hog)
    slots.settle(0)
    slots.enter(claim(1, "patient"))
    slots.enter(claim(1, "patient", 2))
    assert slots.settle(TURN - 1) == ([], [])
    assert slots.settle(TURN) == ([hog[0]], [claim(1, "patient")])
    slots.allowed = 3
    assert len(slots.settle(TURN + 1)[1]) == 1
    assert slots.settle(TURNS_OF_A_LONG_ONE * TURN - 1) == ([], [])


def test_who_has_most_loses_first() -> None:
    """When there are fewer slots; and they come back to who has fewest."""
    rich = [claim(1, "a", number) for number in range(3)]
    poor = claim(2, "b")
    slots = slots_with(4, *rich, poor)
    slots.settle(0)
    slots.allowed = 2
    assert slots.settle(1)[0] == rich[:2]
    slots.allowed = 0
    assert set(slots.settle(2)[0]) == {rich[2], poor}
    slots.allowed = 1
    assert len(slots.settle(3)[1]) == slots.running == 1


def test_leaving_and_coming_back_wins_nothing() -> None:
    """Who comes counts as served just then: the others go on waiting in front of him."""
    slots = slots_with(1, claim(1), claim(2), claim(3))
    assert slots.settle(0)[1] == [claim(1)]
    slots.leave(claim(1))
    slots.enter(claim(1))
    assert slots.settle(1)[1] == [claim(2)]


class AnySlots(RuleBasedStateMachine):
    """Whatever guests do."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(2, TURN)
        self.there: dict[Claim, bool] = {}
        self.now = 0.0

    @rule(scope=st.integers(1, 3), guest=st.sampled_from("abc"), scan=st.integers(1, 3))
    def enter(self, scope: int, guest: str, scan: int) -> None:
        """A scan wants a slot, perhaps again."""
        self.slots.enter(claim(scope, guest, scan))
        self.there.setdefault(claim(scope, guest, scan), False)

    @rule(scope=st.integers(1, 3), guest=st.sampled_from("abc"), scan=st.integers(1, 3))
    def leave(self, scope: int, guest: str, scan: int) -> None:
        """A scan is over, or was never there."""
        self.slots.leave(claim(scope, guest, scan))
        self.there.pop(claim(scope, guest, scan), None)

    @rule(allowed=st.integers(0, 5))
    def press(self, allowed: int) -> None:
        """The pressure changes."""
        self.slots.allowed = allowed

    @rule(seconds=st.floats(0, 2000))
    def settle(self, seconds: float) -> None:
        """Time passes; afterwards nobody has more than he may, and no slot is idle that somebody wants."""
        self.now += seconds
        lost, given_slots = self.slots.settle(self.now)
        assert not set(lost) & set(given_slots)
        for each in lost:
            assert self.there[each]
            self.there[each] = False
        for each in given_slots:
            self.there[each] = True
        assert self.slots.running <= self.slots.allowed
        assert self.slots.running == min(self.slots.allowed, len(self.there))

    @invariant()
    def told_as_it_is(self) -> None:
        """What was told is what is so."""
        assert {each for each in self.there if self.slots.has(each)} == {
            each for each, has in self.there.items() if has
        }
        assert self.slots.running + self.slots.waiting == len(self.there)
        assert all(map(self.slots.knows, self.there))


TestAnySlots = AnySlots.TestCase
TestAnySlots.settings = settings(max_examples=60, stateful_step_count=30)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from("abcd"), st.integers(1, 3)), min_size=1, unique=True
    ),
    st.integers(1, 4),
)
def test_nobody_starves(wanted: list[tuple[int, str, int]], allowed: int) -> None:
    """However many scan for ever, each has its turn before as many long turns are over as there are scans."""
    claims = [claim(*each) for each in wanted]
    slots = slots_with(allowed, *claims)
    served: set[Claim] = set()
    for step in range(TURNS_OF_A_LONG_ONE * (len(claims) + 1)):
        served.update(slots.settle(step * TURN)[1])
    assert served == set(claims)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=4), st.integers(1, 6))
def test_tenants_get_the_same_time(sizes: list[int], allowed: int) -> None:
    """Over many turns, tenants that always want more than they get scan for about the same time."""
    wants = max(allowed, 2)  # each tenant could use all slots
    claims = [
        claim(scope, f"vm-{number}") for scope, size in enumerate(sizes) for number in range(size + wants)
    ]
    slots = slots_with(allowed, *claims)
    time: Counter[int] = Counter()
    rounds = 120
    for step in range(rounds):
        slots.settle(step * TURN)
        time.update(each.scope for each in claims if slots.has(each))
    assert sum(time.values()) == rounds * allowed
    fair = rounds * allowed / len(sizes)
    assert all(
        abs(time[scope] - fair) <= 0.15 * fair + 2 * TURNS_OF_A_LONG_ONE for scope in range(len(sizes))
    )
