"""What is scanned: a file, or the disks of a machine; opened, and looked at again when the scan is over."""

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.hypervisor.disks.chain import BESIDE, Chain, open_chain
from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.in_use import Standing
from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.virt.backups import Backup
from appliance.hypervisor.virt.connection import VirtError
from appliance.hypervisor.virt.machine import DiskSeen, Machine

WRITTEN = (
    "a running machine writes to it: name the machine instead, so that it is read as it was at one moment"
)
_CONNECT_SECONDS = 10.0
_MEANWHILE = "it was written to while it was read, so what was read is of no one moment: scan it again"


@dataclass(slots=True)
class Source:
    """Open disks. label: for people. machine: the UUID of whose they are, tenant: whose that is, or "".

    disks: as `disk-reader` is told of them; fds: all that it needs for that. problems: disks that are not
    read, and why. after: what is wrong with what was read, asked when the scan is over.
    """

    label: str
    machine: str = ""
    tenant: str = ""
    disks: list[list[dict[str, Any]]] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    after: list[Callable[[], str]] = field(default_factory=list)

    def add(self, chain: Chain) -> None:
        """Add a disk that nobody may write to meanwhile."""
        before = Standing.of(chain)
        if before.writer:
            raise BadImage(f"{before.writer}: {WRITTEN}")
        self.disks.append(chain.told())
        self.fds += chain.fds
        for layer in chain.layers:
            if layer.is_guessed:
                said = (
                    f"{layer.paths[0]}: taken for {layer.format} by its first bytes; --format says otherwise"
                )
                self.notes.append(said)
        self.after.append(lambda: _changed(before, chain))


def _changed(before: Standing, chain: Chain) -> str:
    after = Standing.of(chain)
    if after.writer:
        return f"{after.writer}: a machine was started meanwhile and writes to it: {_MEANWHILE}"
    return "" if after == before else f"{chain.top.paths[0]}: {_MEANWHILE}"


def of_machine_off(
    machine: Machine, disks: Sequence[DiskSeen], stack: ExitStack, anywhere: bool = False
) -> Source:
    """The disks of a machine that is off, and has to be off when the scan is over.

    anywhere: whether what lies under them may lie anywhere on this host, though the definition is silent.
    """
    source = Source(machine.name, machine.uuid)
    for disk in disks:
        try:
            if disk.path is None:
                raise BadImage(disk.why)
            source.add(open_chain(disk.path, disk.format, stack, Reach(disk.below, anywhere)))
        except BadImage as error:
            source.problems.append((disk.target, str(error)))
    if machine.has_saved_memory():
        source.notes.append(
            "it was saved while it ran, and is read as it was then, without what was in memory"
        )
    source.after.append(lambda: _started(machine))
    return source


def of_backup(machine: Machine, backup: Backup, stack: ExitStack) -> Source:
    """The disks of a machine that runs, as its backup has them."""
    source = Source(machine.name, machine.uuid)
    run = machine.running_as()
    for disk in backup.disks:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stack.callback(line.close)
        try:
            line.settimeout(_CONNECT_SECONDS)
            line.connect(str(backup.socket))
            line.setblocking(True)
        except OSError as error:
            why = f"{backup.socket}: QEMU does not serve its backup there ({error.strerror or error})"
            source.problems.append((disk, why))
            continue
        source.disks.append([{"format": "nbd", "fds": [line.fileno()], "export": disk}])
        source.fds.append(line.fileno())
    source.after.append(lambda: _ended(machine, run))
    return source


def _started(machine: Machine) -> str:
    try:
        if machine.running_as() < 0:
            return ""
    except VirtError as error:
        return str(error)
    return f"the machine {machine.name} was started while it was read: scan it again"


def _ended(machine: Machine, run: int) -> str:
    """run: the number of the run that the backup was made of."""
    try:
        now = machine.running_as()
    except VirtError as error:
        return f"{error}: it was moved to another host, or removed, while it was read; scan it there"
    if now == run:
        return ""
    what = "ended, or was moved to another host," if now < 0 else "was started anew"
    return f"the machine {machine.name} {what} while it was read: scan it again"


def of_file(path: Path, image_format: str, stack: ExitStack, reach: Reach = BESIDE) -> Source:
    """An image by its file. image_format: "" where nobody says it. Raises BadImage."""
    source = Source(str(path))
    source.add(open_chain(path, image_format, stack, reach))
    return source
