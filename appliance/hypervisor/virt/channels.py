"""The channel on which a machine gets what it enrols with: a port of virtio-serial, and a socket of QEMU's.

Where the socket is, libvirt chooses: in a directory of the running machine's own, which it makes and takes
away with it, labels for AppArmor and SELinux, and keeps out of the definition. So no definition that was
copied leads to another machine's socket, and no machine fails to start because a directory of ours is gone.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt

from appliance.hypervisor.virt.connection import VirtError, VirtHost, told

PORT_NAME = "org.kvm_light_agent.enrol.0"

_CHANNEL = f"<channel type='unix'><target type='virtio' name='{PORT_NAME}'/></channel>"


@dataclass(frozen=True, slots=True)
class Plugged:
    """A machine with its channel. socket: QEMU's end of it, None where the machine does not run.

    added: it was plugged by this.
    """

    socket: Path | None
    added: bool


def plug(host: VirtHost, uuid: str) -> Plugged:
    """Have a machine have the channel, now and (where it is persistent) from its next start on.

    Raises VirtError where it cannot have it now.
    """
    domain = _domain(host, uuid)
    with told(f"{domain.name()} gets no channel for its enrolment"):
        runs, added = bool(domain.isActive()), False
        if domain.isPersistent() and _channel(_xml(domain, defined=True)) is None:
            domain.attachDeviceFlags(_CHANNEL, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
            added = True
        if not runs:
            return Plugged(None, added)
        now = _xml(domain)
        if _channel(now) is None:
            _check_controller(domain, now)
            with _unless_another_did(domain):
                domain.attachDeviceFlags(_CHANNEL, libvirt.VIR_DOMAIN_AFFECT_LIVE)
                added = True
        return Plugged(_socket(domain), added)


def unplug(host: VirtHost, uuid: str) -> bool:
    """Take the channel away, from now and from the definition; whether there was one. Raises VirtError."""
    domain, found = _domain(host, uuid), False
    with told(f"{domain.name()} keeps its channel"):
        if domain.isPersistent() and (defined := _channel(_xml(domain, defined=True))) is not None:
            domain.detachDeviceFlags(_text(defined), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
            found = True
        if domain.isActive() and (now := _channel(_xml(domain))) is not None:
            domain.detachDeviceFlags(_text(now), libvirt.VIR_DOMAIN_AFFECT_LIVE)
            found = True
    return found


def _domain(host: VirtHost, uuid: str) -> libvirt.virDomain:
    with told(f"{host.uri} has no machine {uuid}"):
        return host.connection.lookupByUUIDString(uuid)


def _xml(domain: libvirt.virDomain, defined: bool = False) -> ET.Element:
    """What a machine is now, or as it is defined. By libvirt's word, which is the host's own."""
    return ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if defined else 0))  # noqa: S314


def _channel(xml: ET.Element) -> ET.Element | None:
    return xml.find(f"./devices/channel[@type='unix']/target[@name='{PORT_NAME}']/..")


def _text(channel: ET.Element) -> str:
    return ET.tostring(channel, encoding="unicode")


def _check_controller(domain: libvirt.virDomain, now: ET.Element) -> None:
    """A controller cannot be plugged into what runs. Raises VirtError."""
    if now.find("./devices/controller[@type='virtio-serial']") is not None:
        return
    if domain.isPersistent():
        raise VirtError(
            f"{domain.name()} runs without a virtio-serial controller, which cannot be plugged: it has one, "
            "and its channel, from its next start on; shut it down and start it"
        )
    raise VirtError(
        f"{domain.name()} runs without a virtio-serial controller, which cannot be plugged, and has no "
        "definition: create it with <controller type='virtio-serial'/>"
    )


@contextmanager
def _unless_another_did(domain: libvirt.virDomain) -> Iterator[None]:
    """Let it pass where the channel is there by now: two host agents plug it at once."""
    try:
        yield
    except libvirt.libvirtError:
        if _channel(_xml(domain)) is None:
            raise


def _socket(domain: libvirt.virDomain) -> Path:
    """QEMU's end of a running machine's channel. Raises VirtError where that is not the machine's alone."""
    channel = _channel(_xml(domain))
    source = None if channel is None else channel.find("source[@mode='bind']")
    path = Path("" if source is None else source.get("path", ""))
    if not re.match(rf"(domain-)?{domain.ID()}-", path.parent.name):
        raise VirtError(
            f"{domain.name()} has the channel {PORT_NAME} with a socket that its definition names ({path}), "
            "and another machine may have it too: take <source> out of that channel, and start it anew"
        )
    return path
