"""One machine: what its definition says of its disks, and whether it runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told
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


class Machine:
    """A domain of libvirt. Every call may raise VirtError."""

    def __init__(self, host: VirtHost, domain: libvirt.virDomain) -> None:
        self.host = host
        self.domain = domain
        self.uuid: str = domain.UUIDString()
        self.name: str = domain.name()

    def vm(self) -> Vm:
        """How it stands now. Raises VirtError where it is gone, to another host too."""
        with told(f"the machine {self.name} is not there any more"):
            return seen(self.domain)

    def running_as(self) -> int:
        """The number that libvirt gave its run, -1 where it does not run."""
        with told(f"the machine {self.name} is not there any more"):
            # Looked up anew: a domain keeps the number that it had when it was looked up.
            return int(self.host.connection.lookupByUUIDString(self.uuid).ID())

    def has_saved_memory(self) -> bool:
        """Whether it was saved, and goes on from there when it is started: its disks are as amid its run."""
        with told(f"the machine {self.name} is not there any more"):
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
    with told(f"the machine {vm.name} is not there any more"):
        return Machine(host, host.connection.lookupByUUIDString(vm.uuid))
