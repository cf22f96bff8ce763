"""A snapshot of a machine as it is: with its memory where that can be, else of its disks alone."""

import libvirt

from appliance.hypervisor.virt.connection import VirtError, VirtHost, reason, told

_WITH_MEMORY, _OF_DISKS = "its disks, and its memory where it runs", "its disks, which go on in new files"
_WAYS = (
    (0, _WITH_MEMORY),
    (libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC, _OF_DISKS),
)


def make_snapshot(host: VirtHost, uuid: str, name: str) -> str:
    """Make one by a name that the machine has none of yet; return what is in it. One that is there is left.

    name: of letters, digits and hyphens. Raises VirtError where neither way works.
    """
    with told(f"no snapshot of machine {uuid}"):
        domain = host.connection.lookupByUUIDString(uuid)
        if name in domain.snapshotListNames():
            return "as it was made before"
    why = []
    for flags, what in _WAYS:
        try:
            domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>", flags)
            return what
        except libvirt.libvirtError as error:
            why.append(reason(error))
    raise VirtError(f"no snapshot of machine {domain.name()}: {'; '.join(why)}")
