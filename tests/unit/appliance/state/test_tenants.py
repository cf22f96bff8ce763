"""Which tenants there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.domain.policy import Decision, KsnType, Mode
from appliance.state import tenants as module
from appliance.state.environment import StateEnvironment, StateError, packed
from appliance.state.policies import Decided, PolicyStore
from appliance.state.tenants import TenantTable

YES = Decided(Decision.ACCEPT, KsnType.PRIVATE, 1, "text")


@contextmanager
def opened(directory: Path) -> Iterator[StateEnvironment]:
    """The state of a directory."""
    environment = StateEnvironment.open(directory)
    yield environment
    environment.close()


def settled(environment: StateEnvironment, name: str) -> int:
    """The scope of a tenant, which is made."""
    table = TenantTable(environment)
    with environment.changing, environment.writing() as txn:
        return table.settle(txn, name).scope


def test_a_scope_is_one_tenants_for_good(tmp_path: Path) -> None:
    """Whether a policy or a guest made the tenant; across a restart too."""
    with opened(tmp_path) as environment:
        assert [settled(environment, name) for name in ("b", "default", "a", "b")] == [17, 16, 18, 17]
    with opened(tmp_path) as environment:
        policies = PolicyStore(environment, lambda: 0.0)
        assert policies.create("a", Mode.STANDARD, YES, "me").scope == 18
        assert policies.create("c", Mode.STANDARD, YES, "me").scope == 19
        assert [settled(environment, name) for name in ("c", "d")] == [19, 20]


def test_a_policy_of_an_earlier_version_keeps_its_scope(tmp_path: Path) -> None:
    """It has one, and no tenant's entry."""
    with opened(tmp_path) as environment:
        old = {"scope": 17, "active": True, "mode": 1, "decided": {}}
        policies, meta = environment.table(b"policies"), environment.table(b"meta")
        with environment.changing, environment.writing() as txn:
            txn.put(b"acme", packed(old), db=policies)
            txn.put(b"next scope", (18).to_bytes(4, "little"), db=meta)
        assert [settled(environment, name) for name in ("new", "acme")] == [18, 17]


def test_a_tenants_guests_are_counted(tmp_path: Path) -> None:
    """Never below none."""
    with opened(tmp_path) as environment:
        table = TenantTable(environment)
        with environment.changing, environment.writing() as txn:
            for change in (2, -1, 3, -9, 1):
                table.count(txn, "a", change)
            tenant = table.get(txn, "a")
            assert tenant is not None
            assert (tenant.guests, table.get(txn, "b")) == (1, None)


def test_there_are_only_so_many_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that there are go on."""
    monkeypatch.setattr(module, "MAX_TENANTS", 2)
    with opened(tmp_path) as environment:
        scopes = [settled(environment, name) for name in ("a", "b")]
        with pytest.raises(StateError, match="2 tenants are known"):
            settled(environment, "c")
        assert [settled(environment, name) for name in ("a", "b")] == scopes
