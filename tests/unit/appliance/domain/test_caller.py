"""Who calls."""

from appliance.domain.caller import Caller, Role


def test_whose_things_a_caller_sees() -> None:
    """Of one tenant those of his own, else all."""
    admin, provider = Caller("a", Role.TENANT_ADMIN, "acme"), Caller("p", Role.PROVIDER)
    assert [admin.sees(tenant) for tenant in ("acme", "other")] == [True, False]
    assert provider.sees("acme")
    assert provider.sees("other")


def test_a_caller_is_written_as_his_name() -> None:
    """So it stands in the audit."""
    assert f"{Caller('uid-0.pid-7', Role.PROVIDER)}" == "uid-0.pid-7"
