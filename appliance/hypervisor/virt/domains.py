"""The machines of a host."""

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told
from appliance.hypervisor.vm import Power, Vm

_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.RUNNING,  # it is being shut down
}


def vms(host: VirtHost) -> list[Vm]:
    """All of its machines, running or not, by name. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell its machines"):
        return sorted(map(seen, host.connection.listAllDomains()), key=lambda vm: vm.name)


def seen(domain: libvirt.virDomain) -> Vm:
    """How a machine stands now."""
    state, _reason = domain.state()
    return Vm(
        uuid=domain.UUIDString(),
        name=domain.name(),
        power=_POWER.get(state, Power.OFF),
        persistent=bool(domain.isPersistent()),
    )
