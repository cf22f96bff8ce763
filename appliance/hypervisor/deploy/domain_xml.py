"""What libvirt is told of the SVM's domain, and read from it again.

It has nothing of the hypervisor: no file system of the host, no device of it, no graphics. What listens on
the host it reaches over their network. Its one port,
besides disks and networks, is what the host asks it by (`handover`). It is pinned: its disks are this host's
own, by which libvirt refuses to migrate it, and on KVM its processor is this host's, which QEMU does not
move.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from appliance.hypervisor.deploy.addresses import mac_of
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.vm import DEPLOY_PORT, METADATA_URI

PORT = DEPLOY_PORT

_COMMAND_LINE = "console=ttyS0 root=/dev/vda rw quiet"
_EMULATED = "mitigations=off random.trust_cpu=on"
_LOG = "/var/log/libvirt/qemu/{name}-console.log"  # virtlogd bounds it


@dataclass(frozen=True, slots=True)
class Placed:
    """What is in a domain's metadata. host: the name of the one that it was deployed on.

    healthy: whether it has been seen to answer as it is deployed now. before: what it was deployed as until
    then, while an upgrade is under way.
    """

    deployment: Deployment
    host: str
    healthy: bool = False
    before: Deployment | None = None

    def metadata(self) -> str:
        """As it stands in the domain; its namespace is added there, by who writes it."""
        healthy = "yes" if self.healthy else "no"
        inside = "".join(
            f"\n  <{name}{_attributes(deployment.attributes())}/>"
            for name, deployment in (("deployment", self.deployment), ("before", self.before))
            if deployment is not None
        )
        return (
            f"<protection role='svm' host={quoteattr(self.host)} healthy='{healthy}'>{inside}\n</protection>"
        )

    @classmethod
    def read(cls, metadata: str) -> "Placed | None":
        """From the domain; None where it is no SVM that was deployed. Raises BadDeployment."""
        element = ET.fromstring(metadata)  # noqa: S314  # libvirt's own, which has parsed it
        if element.get("role") != "svm":
            return None
        found = {_plain(child.tag): Deployment.read(child.attrib) for child in element}
        if "deployment" not in found:
            return None
        healthy = element.get("healthy") == "yes"
        return cls(found["deployment"], element.get("host", ""), healthy, found.get("before"))


def domain(placed: Placed, uuid: str, paths: Mapping[str, str]) -> str:
    """The definition. uuid: "" for libvirt to draw one. paths: of the volumes, by name."""
    deployment = placed.deployment
    return f"""\
<domain type='{deployment.type}'>
  <name>{deployment.name}</name>
{f"  <uuid>{uuid}</uuid>" + chr(10) if uuid else ""}\
  <title>The security virtual machine of this host: do not migrate</title>
  <metadata>
{_indented(_in_namespace(placed.metadata()), 4)}
  </metadata>
  <memory unit='MiB'>{deployment.memory_mib}</memory>
  <vcpu placement='static'>{deployment.vcpus}</vcpu>
{_reserved(deployment)}\
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
{_boot(deployment, paths)}\
  </os>
  <features>
    <acpi/>
    <apic/>
{_emulation(deployment)}\
  </features>
{_cpu(deployment)}\
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>restart</on_crash>
  <pm>
    <suspend-to-mem enabled='no'/>
    <suspend-to-disk enabled='no'/>
  </pm>
  <devices>
{_disk(paths[deployment.system], "qcow2", "vda", "svm-system")}\
{_disk(paths[deployment.state], "qcow2", "vdb", "svm-state")}\
{_disk(paths[deployment.seed], "raw", "vdc", "svm-seed", readonly=True)}\
    <controller type='usb' model='none'/>
{_interface(deployment, deployment.network, "no")}\
{_interface(deployment, deployment.host_network, "")}\
    <serial type='pty'>
      <log file='{_LOG.format(name=deployment.name)}' append='off'/>
      <target port='0'/>
    </serial>
    <channel type='unix'>
      <target type='virtio' name='{PORT}'/>
    </channel>
    <watchdog model='i6300esb' action='reset'/>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def console_log(deployment: Deployment) -> str:
    """Where the host keeps what it says at its console."""
    return _LOG.format(name=deployment.name)


def _reserved(deployment: Deployment) -> str:
    """Memory of its own, shared with nobody; more of the processors than a guest where they are short."""
    if not deployment.reserve:
        return ""
    return """\
  <memoryBacking>
    <nosharepages/>
    <locked/>
  </memoryBacking>
  <cputune>
    <shares>4096</shares>
  </cputune>
"""


def _boot(deployment: Deployment, paths: Mapping[str, str]) -> str:
    if not deployment.kernel:
        return "    <boot dev='hd'/>\n"
    words = (_COMMAND_LINE, _EMULATED if deployment.type == "qemu" else "", deployment.append)
    return (
        f"    <kernel>{escape(paths[deployment.kernel])}</kernel>\n"
        f"    <initrd>{escape(paths[deployment.initrd])}</initrd>\n"
        f"    <cmdline>{escape(' '.join(filter(None, words)))}</cmdline>\n"
    )


def _emulation(deployment: Deployment) -> str:
    """What QEMU keeps of translated code is bounded: by itself it takes a gigabyte."""
    if deployment.type != "qemu":
        return ""
    return "    <tcg>\n      <tb-cache unit='MiB'>128</tb-cache>\n    </tcg>\n"


def _cpu(deployment: Deployment) -> str:
    if deployment.type == "kvm":
        return "  <cpu mode='host-passthrough' check='none' migratable='off'/>\n"
    return "  <cpu mode='custom' match='exact' check='none'>\n    <model>Nehalem</model>\n  </cpu>\n"


def _disk(path: str, kind: str, target: str, serial: str, readonly: bool = False) -> str:
    discard = "" if readonly else " discard='unmap'"
    return f"""\
    <disk type='file' device='disk'>
      <driver name='qemu' type='{kind}'{discard}/>
      <source file={quoteattr(path)}/>
      <target dev='{target}' bus='virtio'/>
{"      <readonly/>" + chr(10) if readonly else ""}\
      <serial>{serial}</serial>
    </disk>
"""


def _interface(deployment: Deployment, network: str, isolated: str) -> str:
    """A port. isolated: "no" for one that all the isolated ones reach, "" as the network has it."""
    port = f"      <port isolated='{isolated}'/>\n" if isolated else ""
    return f"""\
    <interface type='network'>
      <mac address='{mac_of(deployment.name, network)}'/>
      <source network='{network}'/>
      <model type='virtio'/>
{port}\
    </interface>
"""


def _in_namespace(metadata: str) -> str:
    """As libvirt itself does it for what is written into a domain that is there."""
    opened = f"<kvmla:protection xmlns:kvmla='{METADATA_URI}'"
    return metadata.replace("<protection", opened, 1).replace("</protection>", "</kvmla:protection>")


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value)


def _indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]
