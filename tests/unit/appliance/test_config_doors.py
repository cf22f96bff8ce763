"""Settings of the doors."""

import pytest

from appliance.config_doors import LocalWho, TenantWho, number_of


@pytest.mark.parametrize("value", ["user:root", "group:root", "user:0", "group:4294967295"])
def test_somebody_of_this_machine(value: str) -> None:
    """A user or a group, by name or number."""
    assert LocalWho().problem(value) == ""
    assert TenantWho().problem(f"acme={value}") == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "give user:NAME or group:NAME"),
        ("root", "give user:NAME or group:NAME"),
        ("user:", "give user:NAME or group:NAME"),
        ("user:nobody-of-that-name", "this machine has no user of that name"),
        ("group:nobody-of-that-name", "this machine has no group of that name"),
        ("user:99999999999", "this machine has no user of that name"),
        ("user:-1", "this machine has no user of that name"),
    ],
)
def test_nobody_of_this_machine(value: str, why: str) -> None:
    """The sentence says what is allowed."""
    assert why in LocalWho().problem(value)
    assert why in TenantWho().problem(f"acme={value}")


@pytest.mark.parametrize("value", ["user:root", "=user:root", "a b=user:root"])
def test_an_administrator_of_a_tenant_needs_one(value: str) -> None:
    """Else he would be one of all."""
    assert "does not begin with a tenant" in TenantWho().problem(value)


def test_a_name_has_a_number() -> None:
    """As the machine has it."""
    assert number_of("user:root") == 0
    assert number_of("group:12") == 12
