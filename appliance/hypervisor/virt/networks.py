"""The networks of a host, defined, started and removed."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told
from appliance.hypervisor.vm import METADATA_URI


@dataclass(frozen=True, slots=True)
class NetworkSeen:
    """A network. bridge: "" for none. role: what this product wrote into its metadata, "" for nothing."""

    name: str
    uuid: str
    bridge: str = ""
    role: str = ""


def all_networks(host: VirtHost) -> list[NetworkSeen]:
    """Those of a host, none where it can have none. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell its networks"):
        try:
            networks = host.connection.listAllNetworks()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                return []
            raise
        return [_seen(network) for network in networks]


def uuid_of(host: VirtHost, name: str) -> str:
    """The UUID of a network, "" where there is none of that name. Raises VirtError."""
    network = _find(host, name)
    return "" if network is None else str(network.UUIDString())


def is_up(host: VirtHost, name: str) -> bool:
    """Whether it is started, and starts with the host. Raises VirtError."""
    network = _find(host, name)
    with told(f"the network {name} cannot be looked at"):
        return network is not None and bool(network.isActive() and network.autostart())


def define(host: VirtHost, name: str, xml: str) -> None:
    """Define it, or anew. Raises VirtError."""
    with told(f"the network {name} cannot be made"):
        host.connection.networkDefineXML(xml)


def start(host: VirtHost, name: str) -> None:
    """Have it started, now and with the host. Raises VirtError."""
    with told(f"the network {name} cannot be started"):
        network = host.connection.networkLookupByName(name)
        if not network.isActive():
            network.create()
        network.setAutostart(True)


def remove(host: VirtHost, name: str) -> None:
    """Stop it and forget it; nothing where there is none. Raises VirtError."""
    network = _find(host, name)
    if network is None:
        return
    with told(f"the network {name} cannot be removed"):
        if network.isActive():
            network.destroy()
        if network.isPersistent():
            network.undefine()


def subnets(host: VirtHost, but: tuple[str, ...]) -> Iterator[tuple[str, IPv4Network]]:
    """Each IPv4 network that libvirt's networks have, and whose it is. but: names not to look at."""
    with told(f"libvirt at {host.uri} does not tell its networks"):
        found = [(network.name(), network.XMLDesc()) for network in host.connection.listAllNetworks()]
    for name, xml in found:
        if name in but:
            continue
        for element in ET.fromstring(xml).iter("ip"):  # noqa: S314  # libvirt's own
            if element.get("family", "ipv4") == "ipv4":
                prefix = element.get("prefix") or element.get("netmask", "24")
                network = ip_network(f"{element.get('address')}/{prefix}", strict=False)
                if isinstance(network, IPv4Network):
                    yield f"the network {name}", network


def bridge_owner(host: VirtHost, bridge: str) -> str:
    """The network that a bridge is of, "" for none. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell its networks"):
        for network in host.connection.listAllNetworks():
            element = ET.fromstring(network.XMLDesc()).find("bridge")  # noqa: S314  # libvirt's own
            if element is not None and element.get("name") == bridge:
                return str(network.name())
    return ""


def users(host: VirtHost, name: str, but: str) -> list[str]:
    """The machines that are defined with a port in it. but: one that is not told. Raises VirtError."""
    with told(f"libvirt at {host.uri} does not tell its machines"):
        domains = [(domain.name(), domain.XMLDesc()) for domain in host.connection.listAllDomains()]
    return sorted(
        domain
        for domain, xml in domains
        if domain != but
        and any(
            source.get("network") == name
            for source in ET.fromstring(xml).iterfind("devices/interface/source")  # noqa: S314
        )
    )


def _seen(network: libvirt.virNetwork) -> NetworkSeen:
    defined = ET.fromstring(network.XMLDesc())  # noqa: S314  # libvirt's own
    bridge, mark = defined.find("bridge"), defined.find(f"metadata/{{{METADATA_URI}}}protection")
    return NetworkSeen(
        network.name(),
        network.UUIDString(),
        "" if bridge is None else bridge.get("name", ""),
        "" if mark is None else mark.get("role", ""),
    )


def _find(host: VirtHost, name: str) -> libvirt.virNetwork | None:
    with told(f"the network {name} cannot be looked for"):
        try:
            return host.connection.networkLookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
                return None
            raise
