"""What libvirt is told of the networks."""

import xml.etree.ElementTree as ET

from appliance.hypervisor.deploy.addresses import addresses_of
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.network_xml import guests_network, host_network, own_uuid
from appliance.hypervisor.virt import networks
from appliance.hypervisor.virt.connection import VirtHost
from tests.support import golden


def test_the_network_of_the_guests() -> None:
    """As in its golden file."""
    golden.check("deploy/network-guests.xml", guests_network(Deployment()))


def test_the_network_of_the_host() -> None:
    """As in its golden file."""
    golden.check("deploy/network-host.xml", host_network(Deployment(), addresses_of(Deployment())))


def test_nothing_leads_out_and_the_host_is_not_on_it() -> None:
    """The guests' network has no forward, no address, no DHCP, and its ports are isolated."""
    for firm in (True, False):
        root = ET.fromstring(guests_network(Deployment(), firm))
        assert root.find("forward") is None
        assert root.find("ip") is None
        port = root.find("port")
        assert port is not None
        assert port.get("isolated") == "yes"
        bridge = root.find("bridge")
        assert bridge is not None
        assert (bridge.get("macTableManager") == "libvirt") is firm
    assert ET.fromstring(host_network(Deployment(), addresses_of(Deployment()))).find("forward") is None


def test_libvirt_takes_them() -> None:
    """And they are known by their UUIDs afterwards."""
    with VirtHost.open("test:///default") as host:
        for name, xml in (
            ("kvmla-protection", guests_network(Deployment())),
            ("kvmla-host", host_network(Deployment(), addresses_of(Deployment()))),
        ):
            networks.define(host, name, xml)
            assert networks.uuid_of(host, name) == own_uuid("network", name)
