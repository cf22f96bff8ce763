"""Tests of appliance/verdicts/overriding.py."""

from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.verdict import Verdict
from appliance.verdicts.overriding import Overrides, overriding

A, B, C = (letter * 32 for letter in (b"a", b"b", b"c"))


def allow(expires_at: int = 0) -> Override:
    """An override that lets something through."""
    return Override(True, "why", "me", 1, expires_at=expires_at)


def test_an_override_says_what_it_is() -> None:
    """Allow is CLEAN, block is MALICIOUS under a name of its own; both end when the override does."""
    clean, blocked = overriding(allow(9)), overriding(Override(False, "why", "me", 1))
    assert (clean.disposition, clean.source, clean.expires_at) == (Disposition.CLEAN, Source.OVERRIDE, 9)
    assert (blocked.disposition, blocked.threat) == (Disposition.MALICIOUS, "Blocked.By.Administrator")


def test_it_wins_over_what_is_known() -> None:
    """Of a batch those that are overridden change, and are counted."""
    overrides = Overrides(lambda: 0.0)
    assert not overrides
    overrides.load({(0, B): allow()})
    outcomes, notable = [1, 1, 4], dict[int, Verdict]()
    assert overrides
    assert overrides.apply(16, [A, B, C], outcomes, notable) == 1
    assert outcomes == [1, Disposition.CLEAN, 4]
    assert notable == {1: overriding(allow())}


def test_the_past_does_not_count() -> None:
    """One whose time is over says nothing, even before it is dropped; then it is told of once."""
    now = [0.0]
    overrides = Overrides(lambda: now[0])
    overrides.put(0, A, allow(10))
    overrides.put(0, B, allow(20))
    assert overrides.first_end([overriding(allow(10)), overriding(allow())]) == 10.0
    now[0] = 10.0
    assert (overrides.of(16, A), overrides.answer(16, A)) == (None, None)
    assert overrides.end() == [(0, A)]
    assert overrides.end() == []
    assert overrides.digests(16) == {A, B}


def test_one_that_was_replaced_ends_when_the_new_one_does() -> None:
    """The end of the old one means nothing any more."""
    now = [0.0]
    overrides = Overrides(lambda: now[0])
    overrides.put(0, A, allow(10))
    overrides.put(0, A, allow(30))
    now[0] = 20.0
    assert overrides.end() == []
    assert overrides.of(16, A) == allow(30)


def test_a_tenants_word_counts_for_that_tenant_alone() -> None:
    """Another tenant is answered, told and reminded as if it had never been said."""
    overrides = Overrides(lambda: 0.0)
    overrides.put(16, A, allow())
    assert overrides
    for scope, count in ((16, 1), (17, 0)):
        outcomes = [4]
        assert overrides.apply(scope, [A], outcomes, {}) == count
        assert outcomes == [Disposition.CLEAN if count else 4]
        assert overrides.digests(scope) == ({A} if count else set())
    overrides.put(16, A, None)
    assert not overrides
    assert (overrides.digests(16), overrides.digests(17)) == ({A}, set())


def test_the_providers_word_wins_over_a_tenants() -> None:
    """For as long as it is in force; then the tenant's counts again."""
    now = [0.0]
    overrides = Overrides(lambda: now[0])
    block = Override(False, "all", "provider", 1, expires_at=10)
    overrides.put(16, A, allow())
    overrides.put(0, A, block)
    assert (overrides.of(16, A), overrides.of(17, A)) == (block, block)
    assert overrides.set_in(16, A) == allow()
    now[0] = 10.0
    assert overrides.end() == [(0, A)]
    assert (overrides.of(16, A), overrides.of(17, A)) == (allow(), None)
