"""svm-host scan-image: what lies on the disks of a machine, or on an image, without a guest's help."""

import argparse
import asyncio
import os
import signal
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightagent.v1 import images_pb2

from appliance.cli.console import CommandError, Console, add_json_argument
from appliance.hypervisor.cli.hosts import (
    add_host_arguments,
    addresses,
    hosts,
    is_remote,
    settings_of,
    tenant_of,
)
from appliance.hypervisor.cli.svm import add_svm_arguments, svm_line
from appliance.hypervisor.disks.comparing import Recall, Wish
from appliance.hypervisor.disks.headers import FORMATS, BadImage
from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.disks.progress import Progress
from appliance.hypervisor.disks.reader import CannotRead, DiskReader, find_sandbox, reader_version
from appliance.hypervisor.disks.report import Report, shown
from appliance.hypervisor.disks.running import of_machine_running
from appliance.hypervisor.disks.scanning import DiskScan, Limits
from appliance.hypervisor.disks.source import Source, of_file, of_machine_off
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.finding import uuid_in
from appliance.hypervisor.virt.machine import find_machine
from appliance.hypervisor.vm import Power
from appliance.rpc.admin_line import AdminError, AdminLine
from appliance.rpc.images_client import ImageClient

_MOST = (1 << 64) - 1  # that the wire counts
_DESCRIPTION = """\
Scans disks from outside: nothing runs in the guest, and nothing on its disks is changed but for the
checkpoint of --incremental. Digests are asked first; content is sent only where the SVM knows nothing of it.
What reads the disk is a program of its own behind walls."""

_EPILOG = """\
WHAT is a file, where it has a / in it or there is one of the name, else a machine of libvirt; what has
the form of a UUID is a machine (./UUID is a file). One that is off is read as it is, one that runs by a
backup of this moment. qcow2 (with what lies under it), raw, vmdk; partitions, LVM; ext4, xfs, btrfs, NTFS,
FAT.

Of a machine that was scanned with --incremental while it ran, later scans read what was written to since and
nothing else, by a checkpoint of libvirt's (kvm-light-agent-...), for as long as that is there. The digests of
all files are asked again all the same. --full reads everything and, of a machine that runs, takes the
checkpoint away; with --incremental it begins anew.

With --seed what is found is entered for everybody: clones of the image find every file of it known, and send
nothing.

examples:
  svm-host scan-image /var/lib/libvirt/images/template.qcow2 --seed
  svm-host scan-image web-1 --tenant acme
  svm-host scan-image web-1 --incremental
  svm-host scan-image ./disk.vmdk --json

exit codes:
  0  nothing was found, and everything was looked at
  1  something was found
  2  nothing was found, but not everything was looked at, or the scan could not be done; the reason is told"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser(
        "scan-image",
        help="scan the disks of a machine, or an image",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("what", metavar="WHAT", help="a file, or a machine")
    parser.add_argument("--seed", action="store_true", help="enter what is found for everybody (see below)")
    parser.add_argument(
        "--tenant",
        metavar="NAME",
        default="",
        help="whose disk it is, in place of what metadata and settings say",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="", help="of a file, where its name does not say"
    )
    parser.add_argument(
        "--incremental",
        action="store_true",
        help="keep what is read of a running machine: later scans read only what changed",
    )
    parser.add_argument("--full", action="store_true", help="read everything, and keep nothing of before")
    parser.add_argument(
        "--backing-anywhere",
        action="store_true",
        help="follow what an image names as lying under it anywhere on this host, devices too, and not only "
        "beside the image: whoever made it may have named any file",
    )
    parser.add_argument("--no-progress", action="store_true", help="no bar, on a terminal either")
    add_json_argument(parser)
    add_svm_arguments(parser)
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    if args.seed and args.tenant:
        raise CommandError("--seed enters for everybody: give no --tenant with it")
    report = _scanned(args, console)
    if args.json:
        console.say_json(report.as_dict())
    else:
        console.say(*report.lines())
    return report.exit_code


def _scanned(args: argparse.Namespace, console: Console) -> Report:
    """What came of it, also where something of it could not be cleared up behind it: a note of it, then."""
    settings = settings_of(args, console)
    line = svm_line(args, settings)
    progress = Progress(console.err, time.monotonic, not args.no_progress)
    report: Report | None = None
    try:
        with ExitStack() as stack:
            try:
                source = _source(args, console, settings, stack)
                report = asyncio.run(_scan(args, settings, line, source, progress))
            except (BadImage, CannotRead, VirtError, StateUnusable) as error:
                raise CommandError(str(error)) from error
            finally:
                progress.clear()
    except CommandError as error:
        if report is None:
            raise
        report.note(str(error))
    return report


def _source(args: argparse.Namespace, console: Console, settings: HostSettings, stack: ExitStack) -> Source:
    """What is to be scanned, open."""
    path = Path(args.what)
    if "/" in args.what or (not uuid_in(args.what) and (path.is_file() or path.is_block_device())):
        reach = Reach(anywhere=args.backing_anywhere)
        return of_file(path, args.format, stack, reach, _recall(args, settings))
    if args.format:
        raise CommandError("--format is for files: the format of a machine's disks is in its definition")
    machine = find_machine(stack.enter_context(_hosts_here(args, console)), args.what)
    tenant = "" if args.seed else tenant_of(settings, machine.vm(), args.tenant)
    disks = machine.disks()
    if machine.vm().power is Power.OFF:
        source = of_machine_off(machine, disks, stack, _recall(args, settings), args.backing_anywhere)
    else:
        wish = Wish(args.incremental, args.full, args.backing_anywhere)
        source = of_machine_running(machine, disks, settings, wish, stack)
    source.tenant = tenant
    if not disks:
        source.problems.append((machine.name, "it has no disks"))
    return source


def _hosts_here(args: argparse.Namespace, console: Console) -> AbstractContextManager[list[VirtHost]]:
    """Those whose disks are this machine's: paths of another host's would be opened here."""
    uris = addresses(args, console)
    here = [uri for uri in uris if not is_remote(uri)]
    if not here:
        raise CommandError(
            f"{' and '.join(uris)}: disks are read on the host that has them; run svm-host scan-image there"
        )
    return hosts(args, console, here)


def _recall(args: argparse.Namespace, settings: HostSettings) -> Recall | None:
    return None if args.full else Recall(settings.state_dir, reader_version())


def _nothing(_layout: bytes, _sha256: bytes) -> None:
    """Nothing is kept."""


async def _scan(
    args: argparse.Namespace, settings: HostSettings, line: AdminLine, source: Source, progress: Progress
) -> Report:
    """Scan, tell the SVM what came of it, and return that. Raises AdminError and CannotRead."""
    report = Report(source.label)
    report.notes += source.notes
    if args.incremental and source.remembering is None:
        report.note("--incremental begins with a machine that runs: nothing is kept of this scan")
    for name, why in source.problems:
        report.problem(name, b"", why)
    tenant = "" if args.seed else args.tenant or source.tenant
    begin = images_pb2.ImageScan(
        image=_told(source.label)[:400], machine=source.machine, tenant=tenant, seed=args.seed
    )
    if source.remembering is not None:
        report.notes += source.remembering.to_tell()
        source.remembering.report = report
    disks = settings.disks
    limits = Limits(disks.files, disks.file_mib << 20, disks.hours * 3600)
    sandbox = find_sandbox()
    async with ImageClient(line, begin) as svm:
        record = source.remembering.record if source.remembering is not None else _nothing
        start = source.anew(partial(DiskReader, sandbox, source.fds))
        scan = DiskScan(start, svm, report, limits, progress, record)
        await _until_signal(scan.run(source.disks, source.comparison), report)
        for look in source.after:
            if wrong := look():
                report.cut(source.label, b"", wrong)
        with suppress(AdminError) if report.problem_count else ExitStack():
            await svm.done(_summary(report))
    return report


async def _until_signal(running: Any, report: Report) -> None:
    """Run it; a signal ends it, and the report says so."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(running)
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
        report.cut("all disks", b"", "it was interrupted")


def _summary(report: Report) -> images_pb2.ImageSummary:
    return images_pb2.ImageSummary(
        files=_counted(report.files),
        bytes=_counted(report.read),
        malicious=_counted(report.malicious),
        suspicious=_counted(report.suspicious),
        unanswered=_counted(report.problem_count),
        sent=_counted(report.sent),
        complete=report.is_complete,
        text=_told(report.problems[0][2])[:200] if report.problems else "",
    )


def _counted(number: int) -> int:
    """As the wire takes it, whatever was added up."""
    return min(number, _MOST)


def _told(text: str) -> str:
    """As the wire takes it: a name of a file may be no text."""
    return shown(os.fsencode(text))
