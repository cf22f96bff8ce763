"""A running machine's disks as they are at one moment: libvirt's pull-mode backup, which QEMU serves by NBD.

The machine runs on; old blocks that it writes over meanwhile go to scratch files, which are gone afterwards.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.checkpoints import checkpoint_xml
from appliance.hypervisor.virt.connection import REVIVE_SECONDS, VirtError, told
from appliance.hypervisor.virt.machine import DiskSeen, Machine

BITMAP = "kvmla-changes"  # by which QEMU tells what was written to since a checkpoint
# What libvirt says where none goes on: none of the machine, no machine, none of any machine.
_NONE = (libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_SUPPORT)
_OVER = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
_QEMU_DIRECTORY = Path("/var/lib/libvirt/qemu")  # where libvirt gives each machine's QEMU a directory


@dataclass(frozen=True, slots=True)
class Backup:
    """One that is open. socket: where QEMU serves it; each disk is an export by its target's name."""

    socket: Path
    disks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Since:
    """What a backup tells besides the disks. checkpoint: since which it tells of changes, of the disks `of`.

    new: a checkpoint that begins with the backup, of the disks `follows`; "" for none, both of them.
    """

    checkpoint: str = ""
    of: frozenset[str] = frozenset()
    new: str = ""
    follows: frozenset[str] = frozenset()


class BackupLeft(VirtError):
    """A backup may go on that nobody reads. The message says of which machine, why, and what ends it."""


@contextmanager
def backup(
    machine: Machine, disks: Sequence[str], directory: Path | None, since: Since = Since()
) -> Iterator[Backup]:
    """A backup of some disks, for the length of a `with`; one at a time of a machine. Raises VirtError.

    Raises BackupLeft at its end where libvirt is not there to end it: then QEMU goes on with it.
    directory: where QEMU may make the socket and its scratch files; None: its own, and beside the disks.
    """
    place = directory or _own_directory(machine)
    # Of this machine alone: QEMU takes a socket's path from whoever served there.
    socket = place / f"kvmla-{machine.uuid}.sock"
    if len(str(socket).encode()) > 107:
        raise VirtError(f"{place} is too long for a socket: set disks.backup_dir to a shorter directory")
    _end_left(machine, socket)
    scratch = {disk.target: _scratch(place, directory, machine, disk) for disk in machine.disks()}
    begun = _backup_xml(socket, {disk: scratch[disk] for disk in disks if disk in scratch}, machine, since)
    checkpoint = checkpoint_xml(machine, since.new, since.follows) if since.new else None
    try:
        with told(f"no backup of {machine.name} can be begun"):
            machine.domain.backupBegin(begun, checkpoint, 0)
        yield Backup(socket, tuple(disks))
    finally:
        _end(machine, socket)
        for file in (socket, *(scratch[disk] for disk in disks if disk in scratch)):
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


def _end_left(machine: Machine, socket: Path) -> None:
    """End a backup that an earlier scan has left, which was killed; one of somebody else's is left alone."""
    if not _end_own(machine, socket):
        raise VirtError(f"another backup of {machine.name} goes on: scan it again when that is over")


def _end(machine: Machine, socket: Path) -> None:
    """End the backup though its libvirt is started anew meanwhile. Raises BackupLeft where it stays away."""
    end = time.monotonic() + REVIVE_SECONDS
    try:
        while True:
            try:
                _end_own(machine, socket)
                return
            except VirtError:
                left = max(0.0, end - time.monotonic())
                if not machine.host.revive(left) or not left:  # it is there, and does not want to
                    raise
    except VirtError as error:
        raise BackupLeft(
            f"the backup of {machine.name} could not be ended and may go on in QEMU, with files that grow "
            f"as the machine writes ({error}): scan {machine.name} again once libvirt answers, which ends it "
            f"and clears up; `virsh domjobabort {machine.name}` ends it and leaves the files",
            error.code,
        ) from error


def _end_own(machine: Machine, socket: Path) -> bool:
    """End the backup of a machine that is served on a socket; whether no other one goes on.

    Raises VirtError where libvirt does not say, or does not do it.
    """
    with told(f"libvirt does not tell of a backup of {machine.name}"):
        try:
            text = machine.domain.backupGetXMLDesc(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() in _NONE:
                return True
            raise
    server = ElementTree.fromstring(text).find("server")  # noqa: S314  # libvirt's own
    if server is None or server.get("socket") != str(socket):
        return False
    with told(f"the backup of {machine.name} cannot be ended"):
        try:
            machine.domain.abortJob()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _OVER:  # it has ended, or the machine
                raise
    return True


def _scratch(place: Path, directory: Path | None, machine: Machine, disk: DiskSeen) -> Path:
    """Where old blocks of a disk go: beside it, where nothing else is said and it is a file."""
    name = f"kvmla-{machine.uuid}-{disk.target}.scratch"
    if directory is None and disk.path is not None and disk.path.is_file():
        return disk.path.parent / name
    return place / name


def _backup_xml(socket: Path, scratch: Mapping[str, Path], machine: Machine, since: Since) -> str:
    """scratch: for each disk that is read. libvirt 9 makes no names for them by itself."""
    root = ElementTree.Element("domainbackup", mode="pull")
    ElementTree.SubElement(root, "server", transport="unix", socket=str(socket))
    all_disks = ElementTree.SubElement(root, "disks")
    for disk in machine.disks():
        wanted = disk.target in scratch
        entry = ElementTree.SubElement(all_disks, "disk", name=disk.target, backup="yes" if wanted else "no")
        if wanted:
            entry.set("type", "file")
            ElementTree.SubElement(entry, "scratch", file=str(scratch[disk.target]))
        if wanted and since.checkpoint:
            entry.set("backupmode", "incremental" if disk.target in since.of else "full")
        if wanted and since.checkpoint and disk.target in since.of:
            entry.set("incremental", since.checkpoint)
            entry.set("exportbitmap", BITMAP)
    return ElementTree.tostring(root, encoding="unicode")
