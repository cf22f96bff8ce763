"""What libvirt is told of the two networks.

On that of the guests nobody but the SVM can be reached: nothing leads out of it, the host has no address
there, and its ports are isolated: of guests that are put into it no frame goes from one to another, without
anything being said in the guests' own definitions. The other one has the host and the SVM alone.
"""

from uuid import UUID, uuid5

from appliance.hypervisor.deploy.addresses import Addresses
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.vm import METADATA_URI

GUESTS = "guests"  # the role of theirs, in its metadata

_OURS = UUID("4b564d4c-4120-4465-706c-6f796d656e74")


def own_uuid(kind: str, name: str) -> str:
    """The UUID of a network or a pool that deploy makes: what has the name and another one is not ours."""
    return str(uuid5(_OURS, f"{kind} {name}"))


def guests_network(deployment: Deployment, firm: bool = True) -> str:
    """That of the guests.

    firm: libvirt keeps the bridge's table of hardware addresses, so that no guest takes over the SVM's; a
    kernel without vlan_filtering cannot.
    """
    table = " macTableManager='libvirt'" if firm else ""
    return f"""\
<network>
  <name>{deployment.network}</name>
  <uuid>{own_uuid("network", deployment.network)}</uuid>
  <metadata>
    <kvmla:protection xmlns:kvmla='{METADATA_URI}' role='{GUESTS}'/>
  </metadata>
  <bridge name='{deployment.bridge}' stp='off' delay='0'{table}/>
  <dns enable='no'/>
  <port isolated='yes'/>
</network>
"""


def host_network(deployment: Deployment, addresses: Addresses) -> str:
    """That of host and SVM."""
    return f"""\
<network>
  <name>{deployment.host_network}</name>
  <uuid>{own_uuid("network", deployment.host_network)}</uuid>
  <metadata>
    <kvmla:protection xmlns:kvmla='{METADATA_URI}' role='host'/>
  </metadata>
  <bridge name='{deployment.host_bridge}' stp='off' delay='0'/>
  <dns enable='no'/>
  <ip address='{addresses.host.ip}' prefix='{addresses.host.network.prefixlen}'/>
</network>
"""
