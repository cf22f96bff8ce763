"""The counters of what was over a bound."""

from dataclasses import fields

from appliance.config_limits import Limits, TenantLimits
from appliance.rpc.over import GUESTS, OVER, TENANTS, counter_of


def test_each_counter_is_of_a_setting() -> None:
    """Its name is the setting's, so that who reads it knows what to look up."""
    assert set(GUESTS) <= {field.name for field in fields(Limits)}
    assert set(TENANTS) <= {field.name for field in fields(TenantLimits)}
    settings = [*(f"limits.{name}" for name in GUESTS), *(f"limits.tenant.{name}" for name in TENANTS)]
    assert tuple(map(counter_of, settings)) == OVER
