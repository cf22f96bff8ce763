"""Checkpoints of libvirt that are this program's own: from one on QEMU keeps in mind what is written."""

import secrets
from collections.abc import Iterable
from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.connection import told
from appliance.hypervisor.virt.machine import Machine

PREFIX = "kvm-light-agent-"
_RANDOM_BYTES = 8


def new_name() -> str:
    """A name that no other checkpoint ever had: a bitmap of that name is of that checkpoint."""
    return PREFIX + secrets.token_hex(_RANDOM_BYTES)


def own_checkpoints(machine: Machine) -> list[str]:
    """Names of those that this program has made. Raises VirtError."""
    with told(f"libvirt does not tell of the checkpoints of {machine.name}"):
        names = [each.getName() for each in machine.domain.listAllCheckpoints(0)]
    return [name for name in names if name.startswith(PREFIX)]


def _has_no_bitmap(error: libvirt.libvirtError) -> bool:
    """Whether libvirt or QEMU says that the bitmap of a checkpoint is missing, or can be used no more.

    For most of that there is no number of libvirt's, only words.
    """
    code, said = error.get_error_code(), (error.get_error_message() or "").lower()
    if code == libvirt.VIR_ERR_CHECKPOINT_INCONSISTENT:
        return True
    return (
        code == libvirt.VIR_ERR_INTERNAL_ERROR
        and "bitmap" in said
        and any(word in said for word in ("not found", "missing", "inconsistent"))
    )


def delete_checkpoint(machine: Machine, name: str) -> None:
    """Take one away, with its bitmaps; of a machine that runs. Raises VirtError."""
    with told(f"the checkpoint {name} of {machine.name} cannot be deleted (virsh checkpoint-delete)"):
        checkpoint = machine.domain.checkpointLookupByName(name)
        try:
            checkpoint.delete(0)
        except libvirt.libvirtError as error:
            # After anything else the bitmap may be there, and nobody else knows of it: of a machine that is
            # off it is in the image, and libvirt may have been too busy. The next scan tries again.
            if not _has_no_bitmap(error) or not machine.domain.isActive():
                raise
            # Its bitmap is not there any more: a QEMU that was killed, or a disk that was changed.
            checkpoint.delete(libvirt.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY)


def checkpoint_xml(machine: Machine, name: str, targets: Iterable[str]) -> str:
    """A checkpoint of some disks, for `backupBegin`."""
    wanted = set(targets)
    root = ElementTree.Element("domaincheckpoint")
    ElementTree.SubElement(root, "name").text = name
    ElementTree.SubElement(root, "description").text = "of svm-host scan-image: what changes from here on"
    disks = ElementTree.SubElement(root, "disks")
    for disk in machine.disks():
        kind = "bitmap" if disk.target in wanted else "no"
        ElementTree.SubElement(disks, "disk", name=disk.target, checkpoint=kind)
    return ElementTree.tostring(root, encoding="unicode")
