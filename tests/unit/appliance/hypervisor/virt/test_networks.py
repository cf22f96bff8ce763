"""Networks of libvirt's own test host, which has one: "default", 192.168.122.0/24 on virbr0."""

from collections.abc import Iterator

import pytest

from appliance.hypervisor.virt import networks
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.vm import METADATA_URI

XML = "<network><name>n</name><bridge name='br7'/><ip address='10.9.0.1' netmask='255.255.0.0'/></network>"
GUEST = """<domain type='test'><name>{name}</name><memory>65536</memory><os><type>hvm</type></os><devices>
<interface type='network'><source network='n'/></interface></devices></domain>"""


@pytest.fixture
def host() -> Iterator[VirtHost]:
    """The host."""
    with VirtHost.open("test:///default") as opened:
        yield opened


def test_a_network_is_made_and_removed(host: VirtHost) -> None:
    """Defined it is down; started it is up, now and with the host."""
    assert (networks.uuid_of(host, "n"), networks.is_up(host, "n")) == ("", False)
    networks.define(host, "n", XML)
    assert networks.uuid_of(host, "n") != ""
    assert not networks.is_up(host, "n")
    for _ in range(2):
        networks.start(host, "n")
        assert networks.is_up(host, "n")
    for _ in range(2):
        networks.remove(host, "n")
        assert networks.uuid_of(host, "n") == ""


def test_who_has_what_is_told(host: VirtHost) -> None:
    """Addresses by prefix and by mask, bridges, and machines with a port."""
    networks.define(host, "n", XML)
    found = [(whose, str(network)) for whose, network in networks.subnets(host, but=())]
    assert sorted(found) == [("the network default", "192.168.122.0/24"), ("the network n", "10.9.0.0/16")]
    assert [whose for whose, _ in networks.subnets(host, but=("n",))] == ["the network default"]
    assert (networks.bridge_owner(host, "br7"), networks.bridge_owner(host, "br8")) == ("n", "")
    for name in ("b", "a"):
        host.connection.defineXML(GUEST.format(name=name))
    assert networks.users(host, "n", but="") == ["a", "b"]
    assert networks.users(host, "n", but="a") == ["b"]


def test_what_this_product_wrote_into_a_network_is_read(host: VirtHost) -> None:
    """And where it is; a network may have neither."""
    mark = f"<metadata><k:protection xmlns:k='{METADATA_URI}' role='guests'/></metadata>"
    networks.define(host, "n", XML.replace("<bridge", f"{mark}<bridge"))
    named = {each.name: (each.bridge, each.role) for each in networks.all_networks(host)}
    assert named == {"n": ("br7", "guests"), "default": ("virbr0", "")}


def test_what_libvirt_refuses_is_a_sentence(host: VirtHost) -> None:
    """With the network's name."""
    with pytest.raises(VirtError, match="the network n cannot be made: "):
        networks.define(host, "n", "<network/>")
    with pytest.raises(VirtError, match="the network n cannot be started: "):
        networks.start(host, "n")
