"""A machine of libvirt's own test host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.machine import MachineGone, find_machine
from appliance.hypervisor.vm import METADATA_URI
from tests.support.virt_test_host import own_test_host

_XML = f"""<domain type='test'><name>web</name><memory>4096</memory><os><type>hvm</type></os>
<metadata><kvmla:protection xmlns:kvmla="{METADATA_URI}" tenant="acme"/></metadata><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/>
<backingStore type='file'><format type='qcow2'/><source file='/b.qcow2'/><backingStore type='block'>
<format type='raw'/><source dev='/dev/vg/base'/><backingStore/></backingStore></backingStore>
<target dev='vda'/></disk>
<disk type='block' device='disk'><source dev='/dev/vg/lv'/><target dev='vdb'/></disk>
<disk type='network' device='disk'><source protocol='nbd' name='x'><host name='h'/></source>
<target dev='vdc'/></disk>
<disk type='volume' device='disk'><source pool='no' volume='v'/><target dev='vdd'/></disk>
<disk type='file' device='cdrom'><target dev='sda'/></disk></devices></domain>"""


@pytest.fixture
def host() -> Iterator[VirtHost]:
    """The test host with one machine more."""
    with VirtHost.open("test:///default") as host:
        domain = host.connection.defineXML(_XML)
        yield host
        if domain.isActive():
            domain.destroy()
        domain.undefine()


def test_disks_are_told_as_they_are_defined(host: VirtHost) -> None:
    """With why one is not read; drives of CDs are none."""
    machine = find_machine([host], "web")
    disks = machine.disks()
    assert [(each.target, each.path, each.format) for each in disks[:2]] == [
        ("vda", Path("/a.qcow2"), "qcow2"),
        ("vdb", Path("/dev/vg/lv"), "raw"),
    ]
    assert [each.below for each in disks[:2]] == [(Path("/b.qcow2"), Path("/dev/vg/base")), ()]
    assert [each.target for each in disks[2:]] == ["vdc", "vdd"]
    assert "(network), and is not read" in disks[2].why
    assert "its volume is not found" in disks[3].why
    assert machine.vm().marks.tenant == "acme"
    assert not machine.has_saved_memory()


def test_a_machine_is_found_by_name_and_by_uuid(host: VirtHost) -> None:
    """Whether it runs shows by the number of its run."""
    machine = find_machine([host], "web")
    assert find_machine([host], machine.uuid).name == "web"
    assert machine.running_as() == -1
    machine.domain.create()
    assert machine.running_as() > 0
    assert machine.vm().uuid == machine.uuid
    with pytest.raises(VirtError, match="nobody: there is no such file, and no such machine"):
        find_machine([host], "nobody")


def test_a_machine_that_somebody_else_starts_has_another_number(host: VirtHost) -> None:
    """One that was off, and one that is started anew: what was looked up before sees it."""
    machine, other = find_machine([host], "web"), find_machine([host], "web")
    assert machine.running_as() == -1
    other.domain.create()
    first = machine.running_as()
    assert first > 0
    other.domain.destroy()
    assert machine.running_as() == -1
    other.domain.create()
    assert machine.running_as() not in (-1, first)


def test_a_machine_that_is_gone_is_not_a_libvirt_that_is(tmp_path: Path) -> None:
    """Each is told as what it is; by a connection that was opened anew the machine is the same one."""
    with VirtHost.open(own_test_host(tmp_path)) as host:
        machine = find_machine([host], "test")
        host.connection.close()
        with pytest.raises(VirtError, match="libvirt does not tell how the machine test stands: ") as caught:
            machine.running_as()
        assert not isinstance(caught.value, MachineGone)
        assert host.revive(0.0)
        assert (machine.running_as(), machine.vm().name, machine.disks()) == (1, "test", [])
        machine.domain.destroy()
        machine.domain.undefine()
        with pytest.raises(MachineGone, match="the machine test is not there any more: "):
            machine.running_as()


def test_a_machine_without_a_word_of_its_tenant_has_none() -> None:
    """The test host's own."""
    with VirtHost.open("test:///default") as host:
        assert find_machine([host], "test").vm().marks.tenant == ""
