"""Whose the places of one kind are, and who finds none."""

from contextlib import ExitStack, suppress

import pytest

from appliance.domain.caller import Caller, Role
from appliance.rpc.places import Full, NoPlace, PlaceBounds, Places

SENTENCE = "{} calls are open"
PROVIDER = Caller("root", Role.PROVIDER)
ACME, OTHER, THIRD = (Caller("ann", Role.TENANT_ADMIN, name) for name in ("acme", "other", "third"))


class Held:
    """Places that callers hold until the end. full: what those were told who found none."""

    def __init__(self, stack: ExitStack, bounds: PlaceBounds) -> None:
        self.full: list[Full] = []
        self.places = Places(bounds, SENTENCE, self.full.append)
        self._stack = stack

    def had(self, *callers: Caller) -> int:
        """So many of them find one, and keep it."""
        found = 0
        for caller in callers:
            with suppress(NoPlace):
                self._stack.enter_context(self.places.one(caller))
                found += 1
        return found

    def had_all(self) -> int:
        """So many are found by two tenants and a host agent, who leave none but the provider's."""
        greedy = (admin(0), admin(1), Caller("greedy", Role.HOST_AGENT))
        return self.had(*(caller for caller in greedy for _ in range(5)))


def admin(number: int) -> Caller:
    """Of a tenant of its own."""
    return Caller("ann", Role.TENANT_ADMIN, f"t{number}")


def test_tenants_together_leave_some_to_those_of_none() -> None:
    """However many tenants there are."""
    places = Places(PlaceBounds(4, of_one=1, kept=1), SENTENCE)
    with places.one(ACME), places.one(OTHER):
        with pytest.raises(NoPlace), places.one(THIRD):
            pass
        with places.one(PROVIDER):
            assert places.taken == 3


def test_one_tenant_does_not_take_all_places() -> None:
    """It has its part of them; the others are for the rest, and each is free again when its call is over."""
    places = Places(PlaceBounds(4, of_one=2, kept=0), SENTENCE)
    with places.one(ACME), places.one(ACME):
        with pytest.raises(NoPlace, match=r"^2 calls are open"), places.one(ACME):
            pass
        with places.one(OTHER), places.one(PROVIDER):
            assert places.taken == 4
            with pytest.raises(NoPlace, match=r"^4 calls are open"), places.one(PROVIDER):
                pass
        with places.one(OTHER):
            pass
    assert places.taken == 0


def test_who_has_none_finds_one_whatever_others_hold() -> None:
    """A tenant, an auditor or a host agent of none: one each, and no second."""
    with ExitStack() as stack:
        held = Held(stack, PlaceBounds(16, of_one=4, kept=4, firsts=100))
        assert held.had_all() == 12
        assert held.full == [Full.ONE] * 3
        held.full.clear()
        late = [
            admin(7),
            Caller("a", Role.AUDITOR),
            Caller("h", Role.HOST_AGENT),
            Caller("i", Role.HOST_AGENT),
        ]
        assert held.had(*late) == 4
        assert held.full == []
        assert held.had(*late) == 0
        assert held.full == [Full.ALL] * 4


def test_first_places_take_none_from_anybody() -> None:
    """The provider has as many as without them, and who has one is one of those that all may have."""
    with ExitStack() as stack:
        held = Held(stack, PlaceBounds(16, of_one=4, kept=4, firsts=100))
        assert held.had_all() == 12
        assert held.had(*map(admin, range(10, 60))) == 50
        assert held.had(*[PROVIDER] * 9) == 4
        assert held.places.taken == 16 + 50


def test_a_first_place_counts_as_one_of_those_that_its_tenant_may_have() -> None:
    """Also when others have gone meanwhile."""
    places = Places(PlaceBounds(8, of_one=2, kept=2, firsts=1), SENTENCE)
    with ExitStack() as held:
        with ExitStack() as before:
            for number in (1, 1, 2, 2):
                before.enter_context(places.one(admin(number)))
            held.enter_context(places.one(ACME))
            assert places.taken == 5
        held.enter_context(places.one(ACME))
        with pytest.raises(NoPlace, match=r"^2 calls are open"), places.one(ACME):
            pass
        assert places.taken == 2
    assert places.taken == 0


def test_first_places_are_so_many_and_who_finds_none_is_told_of_both() -> None:
    """One that ends makes room for the next who has none."""
    with ExitStack() as stack:
        held = Held(stack, PlaceBounds(2, of_one=1, kept=1, firsts=1))
        assert held.had(ACME) == 1
        with held.places.one(OTHER):
            assert held.had(THIRD) == 0
            assert held.full == [Full.ALL, Full.FIRSTS]
            assert held.had(ACME) == 0
            assert held.full[2:] == [Full.ONE]
        assert held.had(THIRD) == 1


def test_without_first_places_nobody_is_told_of_them() -> None:
    """An operator may want none."""
    with ExitStack() as stack:
        held = Held(stack, PlaceBounds(2, of_one=1, kept=1))
        assert held.had(ACME, OTHER) == 1
        assert held.full == [Full.ALL]


def test_all_processes_of_a_user_are_one() -> None:
    """And a new one of them has no first place again."""
    with ExitStack() as stack:
        held = Held(stack, PlaceBounds(4, of_one=1, kept=1, firsts=9))
        agents = [Caller(f"uid-7.pid-{number}", Role.HOST_AGENT) for number in range(5)]
        assert held.had(*agents) == 1
