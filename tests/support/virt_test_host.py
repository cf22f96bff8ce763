"""libvirt's own test host, with one machine, whose state no two connections share."""

from pathlib import Path

UUID = "bbbbbbbb-0000-4000-8000-0000000000aa"
MACS = "52:54:00:00:00:01", "52:54:00:00:00:02"

_NODE = f"""<node><domain type='test'><name>test</name><uuid>{UUID}</uuid><memory>8192</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os><devices>
<interface type='network'><mac address='{MACS[0]}'/><source network='kvmla-protection'/></interface>
<interface type='user'><mac address='{MACS[1]}'/><link state='down'/></interface>
<interface type='user'><mac address='{MACS[1]}'/></interface>
</devices></domain></node>"""


def own_test_host(directory: Path) -> str:
    """The address of one whose file is in a directory. Its machine runs, with three interfaces."""
    path = directory / "node.xml"
    path.write_text(_NODE)
    return f"test://{path}"
