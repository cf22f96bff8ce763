"""svm-host enrol: let one machine enrol, by somebody's order."""

import argparse
import asyncio
import time
from functools import partial
from typing import Any

from appliance.cli.console import DONE, NO, CommandError, Console, exit_codes, plain
from appliance.hypervisor.attest.allowance import Allowance
from appliance.hypervisor.attest.channel import ChannelError, opened
from appliance.hypervisor.attest.conversation import Conversation
from appliance.hypervisor.attest.tokens import Machine, Tokens
from appliance.hypervisor.cli.hosts import add_host_arguments, hosts, settings_of, tenant_of
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.svm_line import SvmLine
from appliance.hypervisor.virt.channels import Plugged, plug, unplug
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.finding import find
from appliance.hypervisor.vm import Vm

_EPILOG = f"""\
The machine gets a channel, a port of virtio-serial, if it has none yet; its guest-stub asks
on it, and is handed a token for its UUID and its key: at once where `guest-stub run` runs and is not
enrolled, or by `guest-stub enrol --from-host`. The channel stays. A guest that was revoked comes back by
this. Where svm-host serve attends to the machine already, there is nothing to do but to ask.

examples:
  svm-host enrol web-1
  svm-host enrol web-1 --tenant acme --wait 1800
  svm-host enrol web-1 --remove

{exit_codes("the machine did not ask in that time, or (--remove) it had no channel")}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser("enrol", help="let one machine enrol", epilog=_EPILOG)
    parser.add_argument("machine", metavar="VM", help="its name or UUID")
    parser.add_argument(
        "--tenant",
        metavar="T",
        default="",
        help="whose guest it will be (as metadata and settings say, or the SVM's default)",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=_seconds, default=300.0, help="how long it may take to ask (300)"
    )
    parser.add_argument("--remove", action="store_true", help="take the channel away instead")
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _seconds(text: str) -> float:
    """Up to a day; raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 86400):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time to wait: give 1 to 86400 seconds")
    return float(text)


def _run(args: argparse.Namespace, console: Console) -> int:
    settings = settings_of(args, console)
    with hosts(args, console) as opened_hosts:
        host, vm = find(opened_hosts, args.machine)
        if args.remove:
            return _remove(host, vm, console)
        machine = Machine(vm.uuid, tenant_of(settings, vm, args.tenant), by_order=True)
        plugged = plug(host, vm.uuid)
    console.say(plain(_told(vm, plugged)))
    if plugged.socket is None:
        return DONE
    try:
        given = asyncio.run(_attend(settings, (vm, plugged), machine, args.wait))
    except ChannelError as error:
        raise CommandError(f"{vm.name}: {error}") from error
    if given:
        console.say(plain(f"{vm.name} was handed a token for guest {vm.uuid}"))
        return DONE
    console.say(
        f"{plain(vm.name)} got nothing within {args.wait:g} s: in the machine, is guest-stub there and "
        "running? What went wrong here stands above"
    )
    return NO


def _remove(host: VirtHost, vm: Vm, console: Console) -> int:
    had = unplug(host, vm.uuid)
    console.say(plain(f"{vm.name} has no channel any more" if had else f"{vm.name} had no channel"))
    return DONE if had else NO


def _told(vm: Vm, plugged: Plugged) -> str:
    got = f"{vm.name} {'got' if plugged.added else 'has'} its channel"
    if plugged.socket is None:
        return f"{got}, and does not run: it can enrol when it does"
    return f"{got}; waiting for it to ask"


async def _attend(settings: HostSettings, whose: tuple[Vm, Plugged], machine: Machine, seconds: float) -> int:
    """How many tokens were handed over. Raises ChannelError."""
    vm, plugged = whose
    svm = SvmLine(settings.svm)
    tokens = Tokens(svm, settings.enrolment.svm)
    talk = Conversation(vm.name, partial(tokens.offer, machine), Allowance(time.monotonic))
    assert plugged.socket is not None
    try:
        async with asyncio.timeout(seconds), opened(plugged.socket) as line:
            await talk.hold(line, once=True)
    except TimeoutError:
        return 0
    finally:
        svm.close()
    return talk.given
