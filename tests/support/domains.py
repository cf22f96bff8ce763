"""Machines for tests on a `kvm_host`: with an empty disk or none, so that they run and do nothing."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.vm import DEPLOY_PORT, METADATA_URI
from tests.support.kvm_host import KvmHost, kvm_host

MAC = "52:54:00:00:00:{:02x}"
PROTECTION = "kvmla-protection"

_NETWORK = f"""<network><name>{PROTECTION}</name><bridge name='kvmla0'/>
<ip address='10.113.0.1' netmask='255.255.255.0'/></network>"""

_DOMAIN = """<domain type='qemu'><name>{name}</name>{uuid}<memory unit='MiB'>32</memory><vcpu>1</vcpu>
<metadata>{marks}</metadata><os><type arch='x86_64' machine='q35'>hvm</type></os>
<cpu mode='custom'><model>Nehalem</model></cpu>
<devices>{ports}{disk}{interfaces}<memballoon model='none'/></devices></domain>"""
_PORTS = "<controller type='pci' model='pcie-root'/>" + 6 * "<controller type='pci' model='pcie-root-port'/>"


@contextmanager
def host_of_machines(uuid: str = "") -> Iterator[KvmHost]:
    """A host in a directory of its own, whose path is short, with the protection network. uuid: of it."""
    with (
        tempfile.TemporaryDirectory(prefix="kh", dir="/tmp", ignore_cleanup_errors=True) as directory,
        kvm_host(Path(directory) / "h", uuid) as host,
    ):
        (Path(directory) / "network.xml").write_text(_NETWORK)
        host.virsh("net-define", f"{directory}/network.xml")
        host.virsh("net-start", PROTECTION)
        yield host


@contextmanager
def emptied_afterwards(machines: KvmHost) -> Iterator[VirtHost]:
    """It, open; the machines that were made meanwhile end with it, though its libvirtd was started anew."""
    with VirtHost.open(machines.uri) as host:
        yield host
    with VirtHost.open(machines.uri) as host:
        for each in host.connection.listAllDomains():
            if each.isActive():
                each.destroy()
            if each.isPersistent():
                each.undefineFlags(2)  # with what is known of its snapshots


def interface(number: int, network: str = "", state: str = "") -> str:
    """The XML of an interface: on a libvirt network, or ("") on one of the user's mode."""
    source = f"<source network='{network}'/>" if network else ""
    link = f"<link state='{state}'/>" if state else ""
    kind = "network" if network else "user"
    mac = f"<mac address='{MAC.format(number)}'/>"
    return f"<interface type='{kind}'>{mac}{source}<model type='virtio'/>{link}</interface>"


def domain(name: str, interfaces: str = "", marks: str = "", disk: Path | None = None, uuid: str = "") -> str:
    """The XML of a machine. marks: attributes of the metadata element, "" for none. disk: a qcow2 file."""
    element = f"<k:protection xmlns:k='{METADATA_URI}' {marks}/>" if marks else ""
    drive = (
        f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{disk}'/>"
        "<target dev='vda' bus='virtio'/></disk>"
        if disk
        else ""
    )
    named = f"<uuid>{uuid}</uuid>" if uuid else ""
    return _DOMAIN.format(
        name=name, uuid=named, marks=element, ports=_PORTS, disk=drive, interfaces=interfaces
    )


def svm_domain(name: str) -> str:
    """The XML of an SVM, by what tells that `svm-host deploy` made it."""
    port = f"<channel type='unix'><target type='virtio' name='{DEPLOY_PORT}'/></channel>"
    inside = "role='svm'><k:deployment/></k:protection>"
    return domain(name, port, "role='svm'").replace("role='svm'/>", inside)


def defined(host: VirtHost, xml: str, start: bool = True) -> str:
    """Define a machine, and start it; its UUID."""
    made = host.connection.defineXML(xml)
    if start:
        made.create()
    return str(made.UUIDString())


def interfaces_of(host: VirtHost, uuid: str) -> dict[str, list[str]]:
    """The XML of each interface, of the running machine and of its definition."""
    machine = host.connection.lookupByUUIDString(uuid)
    places = {"config": 2, **({"live": 0} if machine.isActive() else {})}
    return {
        where: [
            ElementTree.canonicalize(ElementTree.tostring(each), strip_text=True)
            for each in ElementTree.fromstring(machine.XMLDesc(flags)).iter("interface")
        ]
        for where, flags in places.items()
    }


def states_of(host: VirtHost, uuid: str) -> dict[str, list[bool]]:
    """Whether each link is up."""
    return {
        where: ['link state="down"' not in each for each in found]
        for where, found in interfaces_of(host, uuid).items()
    }
