"""The channel of a machine. What libvirt and QEMU make of it: real_vms/test_attested_enrolment."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest

from appliance.hypervisor.virt.channels import PORT_NAME, Plugged, plug, unplug
from appliance.hypervisor.virt.connection import VirtError, VirtHost

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
OWN = f"/var/lib/libvirt/qemu/channel/target/domain-7-web-1/{PORT_NAME}"
CONTROLLER = "<controller type='virtio-serial' index='0'/>"


class Domain:
    """A machine whose devices are texts, as libvirt has them for QEMU. path: where its sockets are."""

    def __init__(self, now: str | None = "", defined: str | None = "", path: str = OWN) -> None:
        """None where it does not run, or has no definition."""
        self.now, self.defined, self.path = now, defined, path
        self.steals = False  # another host agent plugs it just now

    def name(self) -> str:
        """Of it."""
        return "web-1"

    def ID(self) -> int:
        """While it runs."""
        return 7

    def isActive(self) -> int:
        """Whether it runs."""
        return self.now is not None

    def isPersistent(self) -> int:
        """Whether it is defined."""
        return self.defined is not None

    def XMLDesc(self, flags: int) -> str:
        """What it is."""
        devices = self.defined if flags & libvirt.VIR_DOMAIN_XML_INACTIVE else self.now
        return f"<domain><devices>{devices}</devices></domain>"

    def attachDeviceFlags(self, xml: str, flags: int) -> None:
        """Plug it."""
        if flags == libvirt.VIR_DOMAIN_AFFECT_CONFIG:
            self.defined = f"{self.defined}{xml}"
            return
        source = f"<source mode='bind' path='{self.path}'/><target"
        self.now = f"{self.now}{xml.replace('<target', source)}"
        if self.steals:
            raise libvirt.libvirtError("chardev already exists")

    def detachDeviceFlags(self, xml: str, flags: int) -> None:
        """Take it away."""
        assert ET.fromstring(xml).tag == "channel"
        if flags == libvirt.VIR_DOMAIN_AFFECT_CONFIG:
            self.defined = ""
        else:
            self.now = ""


def host(domain: Domain) -> VirtHost:
    """A host with one machine."""

    class Connection:
        def lookupByUUIDString(self, _uuid: str) -> Domain:
            return domain

    return VirtHost("test:///x", cast(Any, Connection()))


def test_it_is_plugged_now_and_defined_for_later() -> None:
    """Once: whoever comes later finds it."""
    domain = Domain(now=CONTROLLER)
    assert plug(host(domain), UUID) == Plugged(Path(OWN), added=True)
    assert plug(host(domain), UUID) == Plugged(Path(OWN), added=False)
    assert (domain.defined or "").count(PORT_NAME) == (domain.now or "").count(f"'{PORT_NAME}'") == 1
    assert "<source" not in (domain.defined or "")


def test_of_one_that_is_off_the_definition_is_all_there_is() -> None:
    """Of one that has none, what runs."""
    domain = Domain(now=None)
    assert plug(host(domain), UUID) == Plugged(None, added=True)
    assert plug(host(domain), UUID) == Plugged(None, added=False)
    transient = Domain(now=CONTROLLER, defined=None)
    assert plug(host(transient), UUID) == Plugged(Path(OWN), added=True)


def test_without_a_controller_it_says_when_there_is_one() -> None:
    """A definition gets one with its channel; what has none is to be created with it."""
    domain = Domain(now="<controller type='pci'/>")
    with pytest.raises(
        VirtError, match=r"cannot be plugged: it has one, and its channel, from its next start on"
    ):
        plug(host(domain), UUID)
    assert PORT_NAME in (domain.defined or "")
    with pytest.raises(VirtError, match="create it with <controller type='virtio-serial'/>"):
        plug(host(Domain(defined=None)), UUID)


def test_two_host_agents_at_once_plug_one() -> None:
    """The slower one finds what the other did."""
    domain = Domain(now=CONTROLLER)
    domain.steals = True
    assert plug(host(domain), UUID).socket == Path(OWN)


@pytest.mark.parametrize(
    "path", ["/srv/enrol.sock", OWN.replace("-7-", "-77-"), OWN.replace("-7-", "-6-"), ""]
)
def test_a_socket_that_may_be_anothers_is_not_used(path: str) -> None:
    """A definition that names it may have been copied: its machine would get this one's token."""
    with pytest.raises(VirtError, match="another machine may have it too: take <source> out"):
        plug(host(Domain(now=CONTROLLER, path=path)), UUID)


def test_newer_libvirts_name_the_directory_otherwise() -> None:
    """By the number and the name alone."""
    path = f"/run/libvirt/qemu/channel/7-web-1/{PORT_NAME}"
    assert plug(host(Domain(now=CONTROLLER, path=path)), UUID).socket == Path(path)


def test_it_is_taken_away() -> None:
    """From what runs and from the definition."""
    domain = Domain(now=CONTROLLER)
    plug(host(domain), UUID)
    assert unplug(host(domain), UUID)
    assert not unplug(host(domain), UUID)


def test_a_machine_that_is_gone_is_a_sentence() -> None:
    """In the words of libvirt."""
    with VirtHost.open("test:///default") as real, pytest.raises(VirtError, match=f"has no machine {UUID}"):
        plug(real, UUID)


def test_a_host_that_cannot_do_it_is_a_sentence() -> None:
    """As libvirt's own test host, which has no such devices, or whatever it says."""
    with VirtHost.open("test:///default") as real:
        uuid = real.connection.lookupByName("test").UUIDString()
        with pytest.raises(VirtError, match=r"test (gets no channel for its enrolment: |runs without)"):
            plug(real, uuid)
