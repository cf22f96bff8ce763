"""Checkpoints on libvirt's test host, which has none; real ones are in tests/integration."""

from xml.etree import ElementTree

import pytest

from appliance.hypervisor.virt.checkpoints import (
    PREFIX,
    checkpoint_xml,
    delete_checkpoint,
    new_name,
    own_checkpoints,
)
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.machine import find_machine
from tests.unit.appliance.hypervisor.virt.test_machine import host

__all__ = ["host"]


def test_no_two_have_one_name() -> None:
    """A bitmap's name says which scan it is of."""
    assert len({new_name() for _ in range(100)}) == 100
    assert new_name().startswith("kvm-light-agent-")


def test_a_checkpoint_is_of_the_disks_that_are_followed_alone(host: VirtHost) -> None:
    """Of all others it says that they have none."""
    root = ElementTree.fromstring(checkpoint_xml(find_machine([host], "web"), "name", ["vda"]))
    told = {disk.get("name"): disk.get("checkpoint") for disk in root.iterfind("disks/disk")}
    assert told == {"vda": "bitmap", "vdb": "no", "vdc": "no", "vdd": "no"}
    assert root.findtext("name") == "name"


def test_its_own_checkpoints_are_told_and_taken_away(host: VirtHost) -> None:
    """Nobody else's; what is not there is a sentence."""
    machine = find_machine([host], "web")
    machine.domain.create()
    for name in ("somebodys", PREFIX + "1"):
        machine.domain.checkpointCreateXML(f"<domaincheckpoint><name>{name}</name></domaincheckpoint>")
    assert own_checkpoints(machine) == [PREFIX + "1"]
    delete_checkpoint(machine, PREFIX + "1")
    assert own_checkpoints(machine) == []
    with pytest.raises(VirtError, match="the checkpoint none of web cannot be deleted"):
        delete_checkpoint(machine, "none")
    machine.domain.checkpointLookupByName("somebodys").delete()
