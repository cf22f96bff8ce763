"""The machines of a host."""

from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.connection import VirtError, VirtHost, told
from appliance.hypervisor.vm import DEPLOY_PORT, METADATA_URI, Marks, Power, Vm

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
        domains = host.connection.listAllDomains()
    found = (_vm_or_none(domain) for domain in domains)  # one may go meanwhile
    return sorted((vm for vm in found if vm is not None), key=lambda vm: vm.name)


def vm_of(host: VirtHost, uuid: str) -> Vm | None:
    """A machine by its UUID, None where the host has none. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell of machine {uuid}"):
        try:
            domain = host.connection.lookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        return _vm_or_none(domain)


def host_uuid(host: VirtHost) -> str:
    """The host's UUID by libvirt's word, "" where it has none; not on every host the same after a restart."""
    with told(f"libvirt at {host.uri} does not tell what the host can do"):
        capabilities = host.connection.getCapabilities()
    try:
        return (ElementTree.fromstring(capabilities).findtext("host/uuid") or "").lower()  # noqa: S314  libvirt's
    except ElementTree.ParseError as error:
        raise VirtError(f"libvirt at {host.uri} tells no sound capabilities ({error})") from error


def host_name(host: VirtHost) -> str:
    """What the host calls itself. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell the host's name"):
        return str(host.connection.getHostname())


def _vm_or_none(domain: libvirt.virDomain) -> Vm | None:
    try:
        return seen(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        with told("libvirt does not tell of a machine"):
            raise
    return None


def seen(domain: libvirt.virDomain) -> Vm:
    """How a machine stands now."""
    state, _reason = domain.state()
    power = _POWER.get(state, Power.OFF)
    return Vm(
        uuid=domain.UUIDString(),
        name=domain.name(),
        power=power,
        persistent=bool(domain.isPersistent()),
        marks=_marks(domain),
        run=domain.ID() if power.has_memory else -1,
    )


def _marks(domain: libvirt.virDomain) -> Marks:
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI, 0)
        element = ElementTree.fromstring(text)  # noqa: S314  libvirt's own, and an administrator's
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return Marks()
        raise
    except ElementTree.ParseError:
        return Marks()
    excluded = element.get("excluded")
    return Marks(
        element.get("tenant", ""),
        None if excluded is None else excluded == "yes",
        element.get("role") == "svm" and _is_deployed(domain, element),
    )


def _is_deployed(svm: libvirt.virDomain, metadata: ElementTree.Element) -> bool:
    """Whether deploy made it. Whoever may write metadata alone must not take a machine out of protection."""
    if metadata.find("{*}deployment") is None:
        return False
    try:
        root = ElementTree.fromstring(svm.XMLDesc())  # noqa: S314  libvirt's own
    except ElementTree.ParseError:
        return False
    return DEPLOY_PORT in (target.get("name") for target in root.iterfind("devices/channel/target"))
