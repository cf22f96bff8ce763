"""Tests of appliance/domain/tenants.py."""

from appliance.domain.tenants import EVERYBODY, Realm, unknown_tenant


def test_the_providers_word_is_everybodys() -> None:
    """A tenant's is its own."""
    assert EVERYBODY.is_everybody
    assert not Realm(16, "default").is_everybody


def test_a_tenant_that_is_unknown_is_named_cut() -> None:
    """However long the name is that somebody gave."""
    assert unknown_tenant("acme") == "no tenant 'acme' is known: see `svm policy list`"
    assert len(unknown_tenant("a" * 10_000)) < 200
