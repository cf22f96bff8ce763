"""The machines of libvirt's own test host."""

import pytest

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed, domain
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.domains import vm_of, vms
from appliance.hypervisor.vm import METADATA_URI, Power

_PORT = "<channel type='unix'><target type='virtio' name='{name}'/></channel>"
_DEPLOYED = "<k:deployment/>"


def test_whether_a_machine_runs_is_told() -> None:
    """As it is at the time."""
    with VirtHost.open("test:///default") as host:
        domain = host.connection.lookupByName("test")
        powers = []
        for change in (lambda: None, domain.suspend, domain.resume, domain.destroy):
            change()
            (vm,) = vms(host)
            powers.append(vm.power)
        assert powers == [Power.RUNNING, Power.PAUSED, Power.RUNNING, Power.OFF]
        assert vm.uuid == domain.UUIDString()
        assert vm.persistent


@pytest.mark.parametrize(
    ("inside", "port", "is_svm"),
    [
        (_DEPLOYED, "org.kvm_light_agent.deploy.0", True),
        (_DEPLOYED, "org.kvm_light_agent.0", False),
        (_DEPLOYED, "", False),
        ("", "org.kvm_light_agent.deploy.0", False),
        ("", "", False),
    ],
)
def test_metadata_alone_makes_no_svm_of_a_machine(inside: str, port: str, is_svm: bool) -> None:
    """A tenant who may write it would be protected from nothing, and never be cut off."""
    marks = f"<k:protection xmlns:k='{METADATA_URI}' role='svm'>{inside}</k:protection>"
    with VirtHost.open("test:///default") as host:
        made = host.connection.defineXML(
            f"<domain type='test'><name>m</name><metadata>{marks}</metadata><memory>65536</memory>"
            f"<os><type>hvm</type></os><devices>{_PORT.format(name=port) if port else ''}</devices></domain>"
        )
        found = vm_of(host, made.UUIDString())
        made.undefine()
    assert found is not None
    assert found.marks.svm is is_svm


def test_what_deploy_makes_is_an_svm() -> None:
    """By its definition as deploy writes it."""
    wanted = Deployment(type="test", system="svm-system-1.qcow2", seed="svm-seed-1.iso")
    paths = {name: f"/{name}" for name in (*wanted.volumes, wanted.state)}
    with VirtHost.open("test:///default") as host:
        made = host.connection.defineXML(domain(Placed(wanted, "host-1"), "", paths))
        found = vm_of(host, made.UUIDString())
        made.undefine()
    assert found is not None
    assert found.marks.svm
