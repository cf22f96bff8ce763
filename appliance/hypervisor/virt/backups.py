"""A running machine's disks as they are at one moment: libvirt's pull-mode backup, which QEMU serves by NBD.

The machine runs on; old blocks that it writes over meanwhile go to scratch files, which are gone afterwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.connection import VirtError, told
from appliance.hypervisor.virt.machine import Machine

_SOCKET = "kvmla-backup.sock"
_QEMU_DIRECTORY = Path("/var/lib/libvirt/qemu")  # where libvirt gives each machine's QEMU a directory


@dataclass(frozen=True, slots=True)
class Backup:
    """One that is open. socket: where QEMU serves it; each disk is an export by its target's name."""

    socket: Path
    disks: tuple[str, ...]


@contextmanager
def backup(machine: Machine, disks: Sequence[str], directory: Path | None) -> Iterator[Backup]:
    """A backup of some disks, for the length of a `with`. Raises VirtError.

    directory: where QEMU may make the socket and its scratch files; None: its own, and beside the disks.
    """
    place = directory or _own_directory(machine)
    socket = place / _SOCKET
    if len(str(socket).encode()) > 107:
        raise VirtError(f"{place} is too long for a socket: set disks.backup_dir to a shorter directory")
    _end_own(machine, socket)
    # libvirt 9.0 does not choose one itself where the schema has it say what kind of file that is.
    scratches = {
        disk.target: _scratch(directory or disk.path.parent, machine, disk.target)
        for disk in machine.disks()
        if disk.target in disks and disk.path is not None
    }
    begun = _backup_xml(socket, scratches, machine)
    with told(f"no backup of {machine.name} can be begun"):
        machine.domain.backupBegin(begun, None, 0)
    try:
        yield Backup(socket, tuple(disks))
    finally:
        with suppress(libvirt.libvirtError):  # it has ended with the machine
            machine.domain.abortJob()
        for file in (socket, *scratches.values()):
            with suppress(OSError):
                file.unlink()


def _own_directory(machine: Machine) -> Path:
    found = sorted(_QEMU_DIRECTORY.glob(f"domain-{machine.running_as()}-*"))
    if not found:
        raise VirtError(
            f"no directory of {machine.name} is in {_QEMU_DIRECTORY}: "
            "set disks.backup_dir to one that QEMU may use"
        )
    return found[0]


def _end_own(machine: Machine, socket: Path) -> None:
    """End a backup that an earlier scan has left, which was killed; one of somebody else's is left alone."""
    try:
        text = machine.domain.backupGetXMLDesc(0)
    except libvirt.libvirtError:
        return
    server = ElementTree.fromstring(text).find("server")  # noqa: S314  # libvirt's own
    if server is not None and server.get("socket") == str(socket):
        with suppress(libvirt.libvirtError):
            machine.domain.abortJob()
        return
    raise VirtError(f"another backup of {machine.name} goes on: scan it again when that is over")


def _scratch(directory: Path, machine: Machine, disk: str) -> Path:
    return directory / f"kvmla-{machine.uuid}-{disk}.scratch"


def _backup_xml(socket: Path, scratches: Mapping[str, Path], machine: Machine) -> str:
    """scratches: what is written over meanwhile is kept there, by the disk's target; others are left out."""
    root = ElementTree.Element("domainbackup", mode="pull")
    ElementTree.SubElement(root, "server", transport="unix", socket=str(socket))
    all_disks = ElementTree.SubElement(root, "disks")
    for disk in machine.disks():
        entry = ElementTree.SubElement(all_disks, "disk", name=disk.target)
        entry.set("backup", "yes" if disk.target in scratches else "no")
        if disk.target in scratches:
            entry.set("type", "file")
            ElementTree.SubElement(entry, "scratch", file=str(scratches[disk.target]))
    return ElementTree.tostring(root, encoding="unicode")
