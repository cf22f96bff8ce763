"""Who calls."""

import pytest

from appliance.domain.caller import Caller, Role


def test_whose_things_a_caller_sees() -> None:
    """Of one tenant those of his own, else all."""
    admin, provider = Caller("a", Role.TENANT_ADMIN, "acme"), Caller("p", Role.PROVIDER)
    assert [admin.sees(tenant) for tenant in ("acme", "other")] == [True, False]
    assert provider.sees("acme")
    assert provider.sees("other")


@pytest.mark.parametrize(
    ("caller", "author"),
    [
        (Caller("uid-0.pid-7", Role.PROVIDER), "uid-0.pid-7"),
        (Caller("uid-7.pid-7", Role.TENANT_ADMIN, "acme"), "uid-7.pid-7"),
        (Caller("anna", Role.PROVIDER), "provider anna"),
        (Caller("anna", Role.TENANT_ADMIN, "acme"), "tenant-admin anna of acme"),
    ],
)
def test_an_author_is_told_from_others_of_the_same_name(caller: Caller, author: str) -> None:
    """A name in a certificate says nothing without role and tenant."""
    assert caller.author == author


def test_a_caller_is_written_as_his_name() -> None:
    """So it stands in the audit."""
    assert f"{Caller('uid-0.pid-7', Role.PROVIDER)}" == "uid-0.pid-7"
