"""One machine of a host: defined, started, stopped and forgotten; and what is written into its metadata."""

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told
from appliance.hypervisor.vm import METADATA_URI

_LOOK_SECONDS = 0.1
_ALL_OF_IT = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """name: the host's own. memory_mib, processors: what it has."""

    name: str
    memory_mib: int
    processors: int


@dataclass(frozen=True, slots=True)
class Defined:
    """A machine that is there. metadata: what this product wrote into it, as XML, "" for nothing."""

    uuid: str
    running: bool
    metadata: str
    autostart: bool


def facts(host: VirtHost) -> HostFacts:
    """What a host is. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell what its host is"):
        info = host.connection.getInfo()
        return HostFacts(host.connection.getHostname(), int(info[1]), int(info[2]))


def kinds(host: VirtHost) -> frozenset[str]:
    """The types of machine that it can run, such as "kvm" and "qemu". Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell what it can run"):
        root = ET.fromstring(host.connection.getCapabilities())  # noqa: S314  # libvirt's own
    return frozenset(element.get("type", "") for element in root.iterfind("guest/arch/domain"))


def defined(host: VirtHost, name: str) -> Defined | None:
    """The machine of a name; None where there is none. Raises VirtError."""
    domain = _find(host, name)
    if domain is None:
        return None
    with told(f"the machine {name} cannot be looked at"):
        return Defined(
            domain.UUIDString(), bool(domain.isActive()), _metadata(domain), bool(domain.autostart())
        )


def marked(host: VirtHost) -> Iterator[tuple[str, str]]:
    """Name and metadata of each machine that has something of this product in it. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell its machines"):
        found = [(domain.name(), _metadata(domain)) for domain in host.connection.listAllDomains()]
    yield from sorted((name, metadata) for name, metadata in found if metadata)


def define(host: VirtHost, name: str, xml: str) -> None:
    """Define it, or anew, to start with the host. Raises VirtError."""
    with told(f"the machine {name} cannot be defined"):
        host.connection.defineXML(xml).setAutostart(True)


def mark(host: VirtHost, name: str, metadata: str) -> None:
    """Replace its metadata, in the definition and in what runs. Raises VirtError."""
    with told(f"the machine {name} cannot be marked"):
        domain = host.connection.lookupByName(name)
        which = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if domain.isActive():
            which |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, metadata, "kvmla", METADATA_URI, which)


def start(host: VirtHost, name: str) -> bool:
    """Start it; whether it was off. Raises VirtError."""
    with told(f"the machine {name} cannot be started"):
        domain = host.connection.lookupByName(name)
        if domain.isActive():
            return False
        domain.create()
        return True


def stop(host: VirtHost, name: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Have it shut down, in so many seconds, or else cut it off; whether it went by itself. Raises VirtError.

    seconds: 0 to cut it off at once.
    """
    domain = _find(host, name)
    if domain is None:
        return True
    with told(f"the machine {name} cannot be stopped"):
        try:
            end = clock() + seconds
            if domain.isActive() and seconds:
                domain.shutdown()
            while domain.isActive() and clock() < end:
                time.sleep(_LOOK_SECONDS)
            if not domain.isActive():
                return True
            domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _GONE:
                raise
    return False


def forget(host: VirtHost, name: str) -> None:
    """Cut it off and forget its definition; nothing where it is gone. Raises VirtError."""
    stop(host, name, 0.0)
    domain = _find(host, name)
    if domain is None:
        return
    with told(f"the machine {name} cannot be removed"):
        try:
            domain.undefineFlags(_ALL_OF_IT | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:  # the driver knows no checkpoints
                raise
            domain.undefineFlags(_ALL_OF_IT)


def _metadata(domain: libvirt.virDomain) -> str:
    """Of its definition, which may be newer than what runs."""
    which = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else libvirt.VIR_DOMAIN_AFFECT_LIVE
    try:
        return str(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI, which))
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return ""
        raise


def _find(host: VirtHost, name: str) -> libvirt.virDomain | None:
    with told(f"the machine {name} cannot be looked for"):
        try:
            return host.connection.lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
