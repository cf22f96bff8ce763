"""Checkpoints on libvirt's test host, which has none; real ones are in tests/integration."""

from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import libvirt
import pytest

from appliance.hypervisor.virt.checkpoints import (
    PREFIX,
    checkpoint_xml,
    delete_checkpoint,
    new_name,
    own_checkpoints,
)
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.machine import Machine, find_machine
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


def refusing(code: int, said: str) -> tuple[Machine, list[int]]:
    """A machine that runs and whose checkpoint goes with its bookkeeping alone; the flags it was asked with.

    libvirt's test host deletes each.
    """
    asked: list[int] = []

    def delete(flags: int) -> None:
        asked.append(flags)
        if flags == 0:
            error = cast("Any", libvirt.libvirtError(said))
            error.err = (code, 0, said, 2, "", "", "", -1, -1)
            raise error

    checkpoint = SimpleNamespace(delete=delete)
    domain = SimpleNamespace(checkpointLookupByName=lambda _: checkpoint, isActive=lambda: 1)
    return cast("Machine", SimpleNamespace(name="web", domain=domain)), asked


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: bitmap 'c' not found in backing chain of 'vda'"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "unable to execute QEMU command: Bitmap 'c' is inconsistent"),
        (libvirt.VIR_ERR_CHECKPOINT_INCONSISTENT, "checkpoint inconsistent: c"),
    ],
)
def test_a_checkpoint_without_its_bitmap_goes_all_the_same(code: int, said: str) -> None:
    """There is nothing left but libvirt's bookkeeping."""
    machine, asked = refusing(code, said)
    delete_checkpoint(machine, PREFIX + "1")
    assert asked == [0, libvirt.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "Bitmap 'c' is currently in use by another operation"),
    ],
)
def test_a_checkpoint_whose_bitmap_may_be_there_stands(code: int, said: str) -> None:
    """Else the bitmap would be there for ever, and nobody would know of it."""
    machine, asked = refusing(code, said)
    with pytest.raises(VirtError, match="cannot be deleted"):
        delete_checkpoint(machine, PREFIX + "1")
    assert asked == [0]
