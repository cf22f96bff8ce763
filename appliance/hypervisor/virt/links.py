"""The network links of a machine: how each is, in the running machine and in its definition, and set.

A link is named by the MAC address of its interface and, for the second of the same address, "#1" behind it.
Its state is what stands in the machine's XML: "up", "down", or "" for nothing, which is up.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.connection import VirtError, VirtHost, reason, told

DOWN = "down"


class Where(StrEnum):
    """Of which machine it is: the one that runs, or what the next start makes."""

    LIVE = "live"
    CONFIG = "config"


_READ = {Where.LIVE: 0, Where.CONFIG: libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE}
_SET = {Where.LIVE: libvirt.VIR_DOMAIN_AFFECT_LIVE, Where.CONFIG: libvirt.VIR_DOMAIN_AFFECT_CONFIG}

Links = dict[str, dict[str, str]]  # by Where, then by name: the state


@dataclass(frozen=True, slots=True)
class _Interface:
    name: str
    element: ElementTree.Element

    @property
    def state(self) -> str:
        link = self.element.find("link")
        return "" if link is None else link.get("state", "")

    def is_on(self, networks: Collection[str]) -> bool:
        """Whether it leads into one of these libvirt networks or bridges."""
        source = self.element.find("source")
        return source is not None and (source.get("network") in networks or source.get("bridge") in networks)

    def with_state(self, state: str) -> str:
        """Its XML with another state."""
        for link in self.element.findall("link"):
            self.element.remove(link)
        if state:
            ElementTree.SubElement(self.element, "link", {"state": state})
        return ElementTree.tostring(self.element, encoding="unicode")


def read_links(host: VirtHost, uuid: str, keep: Collection[str] = ()) -> Links:
    """How the links of a machine are; of one that is off or transient one of both kinds is missing.

    keep: networks and bridges whose links are left out. Raises VirtError, also where the host has none such.
    """
    domain = _domain(host, uuid)
    with told(f"libvirt at {host.uri} does not tell the links of machine {uuid}"):
        return {
            where.value: {
                interface.name: interface.state
                for interface in _interfaces(domain, where)
                if not interface.is_on(keep)
            }
            for where in _places(domain)
        }


def set_links(host: VirtHost, uuid: str, wanted: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Set links that are there, each if it is otherwise; return a sentence for each that could not be.

    wanted: as read_links gives them. Raises VirtError where the machine cannot be asked.
    """
    domain, problems = _domain(host, uuid), list[str]()
    with told(f"libvirt at {host.uri} does not set the links of machine {uuid}"):
        for where in _places(domain):
            for interface in _interfaces(domain, where):
                state = wanted.get(where, {}).get(interface.name, interface.state)
                if state == interface.state:
                    continue
                try:
                    domain.updateDeviceFlags(interface.with_state(state), _SET[where])
                except libvirt.libvirtError as error:
                    problems.append(f"link {interface.name} ({where}): {reason(error)}")
    return problems


def _domain(host: VirtHost, uuid: str) -> libvirt.virDomain:
    with told(f"host {host.uri} has no machine {uuid}"):
        return host.connection.lookupByUUIDString(uuid)


def _places(domain: libvirt.virDomain) -> list[Where]:
    """Where the machine is. The definition first: what is started meanwhile has it then."""
    return [
        *([Where.CONFIG] if domain.isPersistent() else []),
        *([Where.LIVE] if domain.isActive() else []),
    ]


def _interfaces(domain: libvirt.virDomain, where: Where) -> Iterator[_Interface]:
    try:
        devices = ElementTree.fromstring(domain.XMLDesc(_READ[where])).find("devices")  # noqa: S314  libvirt's
    except ElementTree.ParseError as error:
        raise VirtError(f"libvirt tells no sound definition of machine {domain.name()} ({error})") from error
    names: Counter[str] = Counter()
    for element in () if devices is None else devices.findall("interface"):
        mac = element.find("mac")
        address = "" if mac is None else mac.get("address", "").lower()
        number = names[address]
        names[address] += 1
        yield _Interface(f"{address}#{number}" if number else address, element)
