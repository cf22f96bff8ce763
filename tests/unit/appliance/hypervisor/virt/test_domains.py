"""The machines of libvirt's own test host."""

from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.domains import vms
from appliance.hypervisor.vm import Power


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
