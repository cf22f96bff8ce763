"""Which tenant's a machine is."""

import os
from pathlib import Path

import pytest

from appliance.hypervisor.inventory.whose import BadOwners, Owners, Whose, read_owners
from appliance.hypervisor.settings import MachinesSettings
from appliance.hypervisor.vm import Marks, Power, Vm
from tests.support.machines import DB, WEB

PATTERNS = MachinesSettings(tenants=("acme=web-*", "other=*-2"), tenant="rest", exclude=("tmp-*", "*-off"))


def vm(name: str, marks: Marks | None = None, uuid: str = WEB) -> Vm:
    """A machine."""
    return Vm(uuid, name, Power.RUNNING, marks=marks or Marks())


@pytest.mark.parametrize(
    ("machine", "whose"),
    [
        (vm("web-2"), Whose("acme")),
        (vm("db-2"), Whose("other")),
        (vm("db-3"), Whose("rest")),
        (vm("Web-2"), Whose("other")),
        (vm("tmp-2"), Whose("other", True)),
        (vm("web-off", Marks("mine", False)), Whose("mine", False)),
        (vm("db-3", Marks(excluded=True)), Whose("rest", True)),
        (vm("db-3", Marks("no such name")), Whose("rest")),
    ],
)
def test_metadata_counts_before_names(machine: Vm, whose: Whose) -> None:
    """Of patterns the first; a name that no tenant can have counts for nothing."""
    assert Owners(PATTERNS).of(machine) == whose


def test_nothing_said_is_nobodys() -> None:
    """And is to be protected."""
    assert Owners(MachinesSettings()).of(vm("web")) == Whose("", False)


def test_a_file_counts_between_both_and_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    """One that cannot be read leaves what was known, and is told of; one that never could leaves it open."""
    path = tmp_path / "owners"
    owners = Owners(MachinesSettings(file=str(path), tenant="rest"))
    assert owners.of(vm("web")) == Whose("rest", sure=False)
    assert owners.of(vm("web", Marks("mine"))) == Whose("mine")
    assert "No such file" in owners.problem
    path.write_text(f"# ours\n{WEB} acme excluded\n\n{DB} -  # nobody's\n")
    assert owners.of(vm("web")) == Whose("acme", True)
    assert owners.of(vm("web", Marks("mine"))) == Whose("mine", True)
    assert owners.of(vm("db", uuid=DB)) == Whose("rest")
    assert owners.problem == ""
    path.write_text(f"{WEB} acme\nnonsense\n")
    os.utime(path, (1, 1))
    assert owners.of(vm("web")) == Whose("acme", True)
    assert (
        owners.problem == f"{path}:2: give UUID TENANT, or UUID TENANT excluded; what was known before counts"
    )


@pytest.mark.parametrize("line", ["web acme", f"{WEB} acme maybe", f"{WEB} no:name", f"{WEB} a excluded b"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    """By its number."""
    (tmp_path / "owners").write_text(f"\n{line}\n")
    with pytest.raises(BadOwners, match="owners:2: "):
        read_owners(tmp_path / "owners")
