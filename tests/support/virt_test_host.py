"""libvirt's own test host, with one machine, whose state no two connections share."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

UUID = "bbbbbbbb-0000-4000-8000-0000000000aa"
MACS = "52:54:00:00:00:01", "52:54:00:00:00:02"

_MACHINE = f"""<domain type='test'><name>test</name><uuid>{UUID}</uuid><memory>8192</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os><devices>
<interface type='network'><mac address='{MACS[0]}'/><source network='kvmla-protection'/></interface>
<interface type='user'><mac address='{MACS[1]}'/><link state='down'/></interface>
<interface type='user'><mac address='{MACS[1]}'/></interface>
</devices></domain>"""
_OTHER = """<domain type='test'><name>{}</name><uuid>{}</uuid><memory>8192</memory><vcpu>1</vcpu>
<os><type arch='i686'>hvm</type></os></domain>"""


def own_test_host(directory: Path, others: Mapping[str, str] = MappingProxyType({})) -> str:
    """The address of one whose file is in a directory. Its machine runs, with three interfaces.

    others: machines more, the UUID of each by its name, without any interface.
    """
    path = directory / "node.xml"
    more = "".join(_OTHER.format(name, uuid) for name, uuid in others.items())
    path.write_text(f"<node>{_MACHINE}{more}</node>")
    return f"test://{path}"
