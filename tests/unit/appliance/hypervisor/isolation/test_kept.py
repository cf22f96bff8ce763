"""Which links stay, on libvirt's own test host."""

from dataclasses import replace

from appliance.hypervisor.deploy import network_xml
from appliance.hypervisor.deploy.addresses import addresses_of
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.isolation.kept import kept
from appliance.hypervisor.virt import networks
from appliance.hypervisor.virt.connection import VirtHost

OTHER = replace(Deployment(), network="other", bridge="br-other")


def test_what_deploy_made_for_guests_stays() -> None:
    """By whatever names, besides what the settings name; not the host's own, nor what is marked alone."""
    with VirtHost.open("test:///default") as host:
        assert kept(host, {"named"}) == {"named"}
        made = (network_xml.guests_network(OTHER), network_xml.host_network(OTHER, addresses_of(OTHER)))
        false = network_xml.guests_network(replace(OTHER, network="false", bridge="br-false"))
        for xml in (*made, false.replace(network_xml.own_uuid("network", "false"), NOT_OURS)):
            networks.define(host, "", xml)
        assert kept(host, {"named"}) == {"named", "other", "br-other"}


def test_where_nothing_is_to_stay_nothing_does() -> None:
    """Not the link to the SVM either."""
    with VirtHost.open("test:///default") as host:
        networks.define(host, "", network_xml.guests_network(OTHER))
        assert kept(host, ()) == frozenset()


NOT_OURS = "aaaaaaaa-0000-4000-8000-000000000001"
