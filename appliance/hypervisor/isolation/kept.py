"""Which links stay when a machine is cut off: those to its SVM, wherever `deploy` put that."""

from collections.abc import Collection

from appliance.hypervisor.deploy.network_xml import GUESTS, own_uuid
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.networks import NetworkSeen, all_networks


def kept(host: VirtHost, named: Collection[str]) -> frozenset[str]:
    """Networks and bridges whose links stay. named: of the settings; where it names none, none stays.

    libvirt is asked what `deploy` made: it may have been told other names than the settings have now. Raises
    VirtError where it does not tell: the link to an SVM must not go down for that.
    """
    if not named:
        return frozenset()
    made = [network for network in all_networks(host) if _is_ours(network)]
    return frozenset(filter(None, (*named, *(name for each in made for name in (each.name, each.bridge)))))


def _is_ours(network: NetworkSeen) -> bool:
    """Whether `deploy` made it for guests. A mark alone makes it none of those."""
    return network.role == GUESTS and network.uuid == own_uuid("network", network.name)
