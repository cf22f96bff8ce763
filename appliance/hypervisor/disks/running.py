"""The disks of a machine that runs: a backup of this moment, compared with the last scan where it can be."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from appliance.hypervisor.disks.comparing import Wish
from appliance.hypervisor.disks.reader import reader_version
from appliance.hypervisor.disks.remembering import Remembering
from appliance.hypervisor.disks.source import Source, of_backup
from appliance.hypervisor.disks.turn import turn
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.virt.backups import Backup, BackupLeft, Since, backup
from appliance.hypervisor.virt.connection import VirtError
from appliance.hypervisor.virt.machine import DiskSeen, Machine


def of_machine_running(
    machine: Machine, disks: Sequence[DiskSeen], settings: HostSettings, wish: Wish, stack: ExitStack
) -> Source:
    """What is to be scanned; the backup ends with the stack. Raises VirtError and StateUnusable."""
    directory = Path(settings.disks.backup_dir) if settings.disks.backup_dir else None
    readable = [disk.target for disk in disks if disk.path is not None]
    if not readable:
        source = Source(machine.name, machine.uuid)
    else:
        stack.enter_context(turn(machine, settings.state_dir))
        remembering = Remembering(machine, settings.state_dir, reader_version(), wish)
        stack.enter_context(remembering)  # first: it settles when the backup is over
        begin: Callable[[Since], Backup] = lambda since: stack.enter_context(  # noqa: E731
            backup(machine, readable, directory, since)
        )
        source = of_backup(machine, _begun(begin, remembering, disks), stack, remembering)
    source.problems += [(disk.target, disk.why) for disk in disks if disk.path is None]
    return source


def _begun(begin: Callable[[Since], Backup], remembering: Remembering, disks: Sequence[DiskSeen]) -> Backup:
    """A backup that tells what changed, else one without that, else one that keeps nothing for the next."""
    since = remembering.plan(disks)
    if since.checkpoint:
        try:
            return begin(since)
        except BackupLeft:
            raise
        except VirtError as error:
            since = remembering.not_compared(str(error))
    if since.new:
        try:
            return begin(since)
        except BackupLeft:
            raise
        except VirtError as error:
            since = remembering.not_kept(str(error))
    return begin(since)
