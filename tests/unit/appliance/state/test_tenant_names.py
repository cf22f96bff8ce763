"""Tenants by name and by scope."""

from pathlib import Path

from appliance.domain.policy import Decision, KsnType, Mode
from appliance.state.environment import StateEnvironment, packed
from appliance.state.policies import Decided, PolicyStore
from appliance.state.tenant_names import TenantNames

YES = Decided(Decision.ACCEPT, KsnType.PRIVATE, 1, "text")


def test_a_tenant_is_known_from_its_policy_or_its_guests_on(tmp_path: Path) -> None:
    """Also one that came to be after the first question; the one of most guests is always there."""
    environment = StateEnvironment.open(tmp_path)
    environment_table = environment.table(b"tenants")
    names, policies = TenantNames(environment), PolicyStore(environment, lambda: 0.0)
    assert (names.scope_of("default"), names.name_of(16), names.scopes()) == (16, "default", [16])
    assert (names.scope_of("acme"), names.name_of(17), names.name_of(0), names.name_of(1)) == (
        None,
        "",
        "",
        "",
    )
    scope = policies.create("acme", Mode.STANDARD, YES, "me").scope
    with environment.changing, environment.writing() as txn:
        txn.put(b"guests", packed({"scope": 40, "guests": 1}), db=environment_table)
    assert (names.scope_of("acme"), names.name_of(scope)) == (scope, "acme")
    assert (names.scope_of("guests"), names.name_of(40)) == (40, "guests")
    assert names.scopes() == [16, scope, 40]
    assert [names.scope_of(name) for name in ("", "a/b", "x" * 1000)] == [None] * 3
    environment.close()
    again = StateEnvironment.open(tmp_path)
    assert TenantNames(again).scopes() == [16, scope, 40]
    again.close()
