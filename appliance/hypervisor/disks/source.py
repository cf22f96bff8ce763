"""What is scanned: a file, or the disks of a machine; opened, and looked at again when the scan is over."""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from appliance.hypervisor.disks.chain import BESIDE, Chain, open_chain
from appliance.hypervisor.disks.comparing import Comparison, Recall, comparable, standings, track
from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.in_use import Standing
from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.disks.reader import ReaderEnded
from appliance.hypervisor.disks.records import Kept
from appliance.hypervisor.disks.remembering import Remembering
from appliance.hypervisor.virt.backups import Backup
from appliance.hypervisor.virt.connection import REVIVE_SECONDS, VirtError
from appliance.hypervisor.virt.machine import DiskSeen, Machine, MachineGone
from appliance.hypervisor.virt.peer import uuid_of_peer

WRITTEN = (
    "a running machine writes to it: name the machine instead, so that it is read as it was at one moment"
)
_CONNECT_SECONDS = 10.0
Started = TypeVar("Started")
_MEANWHILE = "it was written to while it was read, so what was read is of no one moment: scan it again"


@dataclass(slots=True)
class Source:
    """Open disks. label: for people. machine: the UUID of whose they are, tenant: whose that is, or "".

    disks: as `disk-reader` is told of them; fds: all that it needs for that; comparison: with the last scan.
    problems: disks that are not read, and why. after: what is wrong with what was read, asked when the scan
    is over. remembering: keeps what is read for the next. renewals: connect anew to who serves disks.
    """

    label: str
    machine: str = ""
    tenant: str = ""
    disks: list[list[dict[str, Any]]] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    after: list[Callable[[], str]] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    remembering: Remembering | None = None
    renewals: list[Callable[[], None]] = field(default_factory=list)

    def anew(self, start: Callable[[], Started]) -> Callable[[], Started]:
        """`start`, with connections of its own each time: a server takes each once. Raises ReaderEnded."""
        is_first = True

        def starting() -> Started:
            nonlocal is_first
            try:
                for renew in () if is_first else self.renewals:
                    renew()
            except OSError as error:
                raise ReaderEnded(f"QEMU serves its backup no more ({error.strerror or error})") from error
            is_first = False
            return start()

        return starting

    def compare(self, kept: Kept | None) -> None:
        """What the scan before read, to be compared with."""
        if kept is not None:
            self.comparison.kept = kept
            self.fds.append(kept.fd)

    def add(self, chain: Chain, target: str = "") -> None:
        """Add a disk that nobody may write to meanwhile. target: by which it is compared with how it was."""
        before = Standing.of(chain)
        if before.writer:
            raise BadImage(f"{before.writer}: {WRITTEN}")
        self.disks.append(chain.told())
        self.fds += chain.fds
        kept = self.comparison.kept
        follows = kept is not None and target
        bitmap = kept.base.checkpoint if kept is not None else ""
        self.comparison.tracks.append(track(target, bitmap, chain.top.fds[0]) if follows else None)
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
    machine: Machine,
    disks: Sequence[DiskSeen],
    stack: ExitStack,
    recall: Recall | None = None,
    anywhere: bool = False,
) -> Source:
    """The disks of a machine that is off, and has to be off when the scan is over. Raises StateUnusable.

    anywhere: whether what lies under them may lie anywhere on this host, though the definition is silent.
    """
    source = Source(machine.name, machine.uuid)
    compared: set[str] = set()
    if recall is not None:
        kept = recall.of_machine(machine.uuid, stack, source.notes.append)
        seen = [
            (disk.target, disk.path, disk.format, Reach(disk.below, anywhere))
            for disk in disks
            if disk.path is not None
        ]
        compared = _comparable(source, kept, seen)
    for disk in disks:
        try:
            if disk.path is None:
                raise BadImage(disk.why)
            target = disk.target if disk.target in compared else ""
            source.add(open_chain(disk.path, disk.format, stack, Reach(disk.below, anywhere)), target)
        except BadImage as error:
            source.problems.append((disk.target, str(error)))
    if machine.has_saved_memory():
        source.notes.append(
            "it was saved while it ran, and is read as it was then, without what was in memory"
        )
    source.after.append(lambda: _started(machine))
    return source


def _comparable(
    source: Source, kept: Kept | None, seen: Sequence[tuple[str, Path | None, str, Reach]]
) -> set[str]:
    """The targets of disks that can be compared with the scan before; others are noted."""
    if kept is None:
        return set()
    compared = set(comparable(kept.base, standings(seen, source.notes.append), source.notes.append))
    source.compare(kept if compared else None)
    return compared


def of_backup(
    machine: Machine, backup: Backup, stack: ExitStack, remembering: Remembering | None = None
) -> Source:
    """The disks of a machine that runs, as its backup has them."""
    source = Source(machine.name, machine.uuid, remembering=remembering)
    run = machine.running_as()
    if remembering is not None:
        source.compare(remembering.kept)
    for disk in backup.disks:
        asks = remembering is not None and remembering.is_compared(disk)
        try:
            fds = [_connected(backup.socket, machine, stack) for _ in range(2 if asks else 1)]
        except OSError as error:
            why = f"{backup.socket}: QEMU does not serve its backup there ({error.strerror or error})"
            source.problems.append((disk, why))
            continue
        source.disks.append([{"format": "nbd", "fds": [fds[0]], "export": disk}])
        source.comparison.tracks.append(None if remembering is None else remembering.track(disk, fds[-1]))
        source.fds += fds
        source.renewals.append(partial(_renew, fds, backup.socket, machine))
    source.after.append(lambda: _ended(machine, run))
    return source


def _renew(fds: Sequence[int], path: Path, machine: Machine) -> None:
    """Have other connections in the place of these. Raises OSError."""
    for fd in fds:
        with ExitStack() as stack:
            os.dup2(_connected(path, machine, stack), fd, inheritable=False)


def _connected(path: Path, machine: Machine, stack: ExitStack) -> int:
    """A connection to the QEMU of a machine, by its descriptor. Raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stack.callback(line.close)
    line.settimeout(_CONNECT_SECONDS)
    line.connect(str(path))
    other = uuid_of_peer(line)
    if other and other != machine.uuid:
        raise OSError(errno.EADDRINUSE, f"the machine {other} answers there; scan it again")
    line.setblocking(True)
    return line.fileno()


def _started(machine: Machine) -> str:
    try:
        run = _run_of(machine)
    except MachineGone as error:
        return str(error)
    except VirtError as error:
        return _unknown(machine, error)
    return "" if run < 0 else f"the machine {machine.name} was started while it was read: scan it again"


def _ended(machine: Machine, run: int) -> str:
    """run: the number of the run that the backup was made of."""
    try:
        now = _run_of(machine)
    except MachineGone as error:
        return f"{error}: it was moved to another host, or removed, while it was read; scan it there"
    except VirtError as error:
        return _unknown(machine, error)
    if now == run:
        return ""
    what = "ended, or was moved to another host," if now < 0 else "was started anew"
    return f"the machine {machine.name} {what} while it was read: scan it again"


def _run_of(machine: Machine) -> int:
    """Which run it is in, though libvirt was started anew meanwhile. Raises MachineGone, VirtError."""
    machine.host.revive(REVIVE_SECONDS)
    return machine.running_as()


def _unknown(machine: Machine, error: VirtError) -> str:
    return f"nobody says how {machine.name} fared while it was read ({error}): scan it again"


def of_file(
    path: Path, image_format: str, stack: ExitStack, reach: Reach = BESIDE, recall: Recall | None = None
) -> Source:
    """An image by its file. image_format: "" where nobody says it. Raises BadImage and StateUnusable."""
    source = Source(str(path))
    chain = open_chain(path, image_format, stack, reach)
    kept = recall.of_file(path, stack, source.notes.append) if recall is not None else None
    real = str(path.resolve())
    seen_as = [disk.target for disk in kept.base.disks if disk.path == real] if kept is not None else []
    if not seen_as:  # of what was kept when it was looked for, another scan may have made something else
        source.add(chain)
        return source
    target = seen_as[0]
    image_format = "" if chain.top.is_guessed else chain.top.format
    compared = _comparable(source, kept, [(target, path, image_format, reach)])
    source.add(chain, target if compared else "")
    return source
