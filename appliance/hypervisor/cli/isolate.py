"""svm-host isolate|release: cuts a machine off from its networks, and gives them back as they were."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from appliance.cli.console import DONE, FAILED, NO, CommandError, Console, exit_codes, plain
from appliance.domain.identity import MAX_REASON_BYTES
from appliance.hypervisor.cli.hosts import add_host_arguments, hosts, settings_of
from appliance.hypervisor.cli.telling import tell_svm
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.isolation.enforcing import isolator_of
from appliance.hypervisor.isolation.isolator import Done, Isolator, Order
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.finding import NoMachine, find, uuid_in
from appliance.hypervisor.vm import Vm

_ISOLATE = f"""\
Every network link of the machine goes down, but for those of the networks that `svm-host deploy` made for
guests and of isolation.keep of the settings, in the running machine and in its definition; it runs on. How
each was is kept in state_dir before anything is changed, and `svm-host release` sets that again. While
`svm-host serve` runs, what comes anew is cut off too: interfaces, links that somebody sets up, and the
machine when it is started anew.

With --snapshot one is made when it is cut off: of its memory too where its disks allow that.

examples:
  svm-host isolate web-3 --reason "ransom note on its desktop" --snapshot
  svm-host isolate 6ba7b810-9dad-11d1-80b4-00c04fd430c8

{exit_codes()}"""

_RELEASE = f"""\
Its links are set as they were before `svm-host isolate`. Of a machine that no host has any more, what was
kept is forgotten.

example:
  svm-host release web-3

{exit_codes("it was not cut off")}"""

_Act = Callable[[Isolator, VirtHost, Vm], Done]


def add(commands: Any) -> None:
    """Enter both commands. commands: what argparse's add_subparsers gave."""
    isolate = commands.add_parser("isolate", help="cut a machine off from its networks", epilog=_ISOLATE)
    isolate.add_argument("machine", metavar="VM", help="its name or UUID")
    isolate.add_argument("--snapshot", action="store_true", help="make a snapshot of it")
    isolate.add_argument("--reason", metavar="TEXT", default="", help="for the record")
    add_host_arguments(isolate)
    isolate.set_defaults(run=_isolate, forgets=False)
    release = commands.add_parser("release", help="give a machine its networks back", epilog=_RELEASE)
    release.add_argument("machine", metavar="VM", help="its name or UUID")
    add_host_arguments(release)
    release.set_defaults(run=_release, forgets=True)


def _isolate(args: argparse.Namespace, console: Console) -> int:
    reason = args.reason.strip() or "by order"
    if len(reason.encode(errors="replace")) > MAX_REASON_BYTES:
        raise CommandError(f"--reason is longer than {MAX_REASON_BYTES} bytes: say less")
    order = Order(reason, "svm-host isolate", args.snapshot)
    vm, done = _do(args, console, lambda isolator, host, vm: isolator.isolate(host, vm.uuid, vm.name, order))
    far = done.how_far
    if done.already and not done.up:
        far = far.replace("is cut off", "was cut off already")
    console.say(f"{_called(vm)} {far}")
    if done.snapshot:
        console.say(f"snapshot: {done.snapshot}")
    return _ended(done, console, DONE)


def _release(args: argparse.Namespace, console: Console) -> int:
    vm, done = _do(
        args, console, lambda isolator, host, vm: isolator.release(host, vm.uuid, "svm-host release")
    )
    if done.already:
        console.say(f"{_called(vm)} was not cut off")
        return NO
    how = "not all of its links" if done.problems else f"its {done.links} links"
    console.say(f"{_called(vm)} has {how} as they were")
    return _ended(done, console, DONE)


def _do(args: argparse.Namespace, console: Console, act: _Act) -> tuple[Vm, Done]:
    """Do something to the machine, and tell the SVM."""
    settings = settings_of(args, console)
    isolator = isolator_of(settings)
    try:
        with hosts(args, console) as opened:
            host, vm = _found(opened, args, isolator)
            done = act(isolator, host, vm)
            tell_svm(settings, host, console)
            return vm, done
    except StateUnusable as error:
        raise CommandError(str(error)) from error


def _called(vm: Vm) -> str:
    """Who named it may be a tenant: its name must not steer a terminal."""
    return f"{plain(vm.name)} ({vm.uuid})"


def _found(opened: Sequence[VirtHost], args: argparse.Namespace, isolator: Isolator) -> tuple[VirtHost, Vm]:
    try:
        return find(opened, args.machine)
    except NoMachine:
        if args.forgets:
            _forget(args, isolator)
        raise


def _forget(args: argparse.Namespace, isolator: Isolator) -> None:
    """Forget what was kept of a machine that is gone from every host it can be on. Raises CommandError."""
    uuid = uuid_in(args.machine)
    kept = [record for each in isolator.records.uuids() if (record := isolator.records.get(each)) is not None]
    meant = [record for record in kept if uuid == record.uuid or (not uuid and record.name == args.machine)]
    if len(meant) > 1:
        uuids = ", ".join(sorted(record.uuid for record in meant))
        raise CommandError(
            f"several machines that are gone were called {args.machine} ({uuids}): give a UUID"
        )
    for record in meant:
        called = f"{record.name} ({record.uuid})"
        if args.connect and args.connect != record.host:
            raise CommandError(
                f"{called} was cut off on {record.host}, which was not asked: leave --connect out"
            )
        with isolator.records.changing():
            isolator.records.remove(record.uuid)
        raise CommandError(f"no host has the machine {called} any more: that it was cut off is forgotten")


def _ended(done: Done, console: Console, code: int) -> int:
    for problem in done.problems:
        console.complain(problem)
    return FAILED if done.problems or done.up else code
