"""What libvirt is told of the pool and its volumes."""

from xml.sax.saxutils import escape

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.network_xml import own_uuid


def pool(deployment: Deployment) -> str:
    """A directory of root's own: what lies there is the SVM's memory."""
    return f"""\
<pool type='dir'>
  <name>{deployment.pool}</name>
  <uuid>{own_uuid("pool", deployment.pool)}</uuid>
  <target>
    <path>{escape(deployment.pool_dir)}</path>
    <permissions>
      <mode>0711</mode>
    </permissions>
  </target>
</pool>
"""


def volume(name: str, capacity: int, kind: str) -> str:
    """A volume. capacity: bytes; kind: "qcow2", which takes what is written to it, or "raw"."""
    allocation = "  <allocation>0</allocation>\n" if kind == "qcow2" else ""
    compat = "\n    <compat>1.1</compat>" if kind == "qcow2" else ""
    return f"""\
<volume>
  <name>{name}</name>
  <capacity unit='bytes'>{capacity}</capacity>
{allocation}  <target>
    <format type='{kind}'/>
    <permissions>
      <mode>0600</mode>
    </permissions>{compat}
  </target>
</volume>
"""
