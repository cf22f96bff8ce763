"""One machine: what its definition says of its disks, and whether it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.connection import VirtError, VirtHost, reason, told
from appliance.hypervisor.virt.domains import seen
from appliance.hypervisor.virt.finding import NoMachine, find
from appliance.hypervisor.vm import Vm


@dataclass(frozen=True, slots=True)
class DiskSeen:
    """A disk of a machine. target: its name there, such as "vda". path: where it lies, else `why` tells.

    format: as the definition says, which no guest can change; raw where it says nothing, as for libvirt.
    below: what the definition names as lying under it; mostly it leaves that to the image.
    """

    target: str
    path: Path | None
    format: str = "raw"
    why: str = ""
    below: tuple[Path, ...] = ()


class MachineGone(VirtError):
    """It was removed, or moved to another host."""


class Machine:
    """A domain of libvirt. Every call may raise VirtError."""

    def __init__(self, host: VirtHost, domain: libvirt.virDomain) -> None:
        self.host = host
        self._of, self._domain = host.connection, domain
        self.uuid: str = domain.UUIDString()
        self.name: str = domain.name()

    @property
    def domain(self) -> libvirt.virDomain:
        """It, by the host's connection as it is now, which may have been revived. Raises libvirtError."""
        if self._of is not self.host.connection:
            self._domain = self.host.connection.lookupByUUIDString(self.uuid)
            self._of = self.host.connection
        return self._domain

    def vm(self) -> Vm:
        """How it stands now. Raises MachineGone, VirtError."""
        with _there(self.name):
            return seen(self.domain)

    def running_as(self) -> int:
        """The number that libvirt gave its run, -1 where it does not run. Raises MachineGone, VirtError."""
        with _there(self.name):
            # Looked up anew: a domain keeps the number that it had when it was looked up.
            return int(self.host.connection.lookupByUUIDString(self.uuid).ID())

    def has_saved_memory(self) -> bool:
        """Whether it was saved, and goes on from there when it is started: its disks are as amid its run."""
        with _there(self.name):
            return bool(self.domain.hasManagedSaveImage(0))

    def disks(self) -> list[DiskSeen]:
        """Its disks, without drives of CDs and floppies."""
        with told(f"libvirt does not tell how {self.name} is defined"):
            text = self.domain.XMLDesc(0)
        definition = ElementTree.fromstring(text)  # noqa: S314  # the same
        return list(self._disks(definition))

    def _disks(self, definition: ElementTree.Element) -> Iterator[DiskSeen]:
        for disk in definition.iterfind("./devices/disk"):
            if disk.get("device", "disk") not in ("disk", "lun"):
                continue
            target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
            name = "disk" if target is None else target.get("dev", "disk")
            image_format = "raw" if driver is None else driver.get("type", "raw")
            kind = disk.get("type", "")
            if disk.find("source/encryption") is not None:
                yield DiskSeen(
                    name, None, why="it is encrypted by libvirt: it can be read in the guest alone"
                )
            elif source is None:
                yield DiskSeen(name, None, why="it has no source")
            elif kind == "file":
                yield DiskSeen(name, Path(source.get("file", "")), image_format, below=_below(disk))
            elif kind == "block":
                yield DiskSeen(name, Path(source.get("dev", "")), image_format, below=_below(disk))
            elif kind == "volume":
                yield self._of_pool(name, source, image_format)
            else:
                yield DiskSeen(
                    name, None, why=f"it lies on no file or device of this host ({kind}), and is not read"
                )

    def _of_pool(self, name: str, source: ElementTree.Element, image_format: str) -> DiskSeen:
        try:
            pool = self.host.connection.storagePoolLookupByName(source.get("pool", ""))
            return DiskSeen(
                name, Path(pool.storageVolLookupByName(source.get("volume", "")).path()), image_format
            )
        except libvirt.libvirtError as error:
            return DiskSeen(name, None, why=f"its volume is not found ({' '.join(str(error).split())[:200]})")


@contextmanager
def _there(name: str) -> Iterator[None]:
    """Tell a machine that is gone from a libvirt that does not answer. Raises MachineGone, VirtError."""
    with told(f"libvirt does not tell how the machine {name} stands"):
        try:
            yield
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if code != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            why = f"the machine {name} is not there any more: {reason(error)}"
            raise MachineGone(why, code) from error


def _below(disk: ElementTree.Element) -> tuple[Path, ...]:
    """The files and devices that a definition names as lying under a disk."""
    named = (source.get("file") or source.get("dev") for source in disk.iterfind(".//backingStore/source"))
    return tuple(Path(each) for each in named if each)


def find_machine(hosts: list[VirtHost], name: str) -> Machine:
    """The machine of a name or UUID, on one of the hosts. Raises VirtError, also where several have it."""
    try:
        host, vm = find(hosts, name)
    except NoMachine as error:
        raise NoMachine(f"{name}: there is no such file, and no such machine: {error}") from error
    with _there(vm.name):
        return Machine(host, host.connection.lookupByUUIDString(vm.uuid))
