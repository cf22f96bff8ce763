"""svm-host vms: which machines this host has."""

import argparse
from typing import Any

from appliance.cli.console import DONE, NO, Console, add_json_argument, exit_codes, table
from appliance.hypervisor.cli.hosts import add_host_arguments, hosts
from appliance.hypervisor.virt.domains import vms

_EPILOG = f"""\
Running or not, as libvirt tells it.

examples:
  svm-host vms
  svm-host vms --connect qemu+ssh://root@host-2/system --json

{exit_codes("it has none")}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser("vms", help="which machines this host has", epilog=_EPILOG)
    add_json_argument(parser)
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    with hosts(args, console) as opened:
        found = [(host.uri, vm) for host in opened for vm in vms(host)]
    if args.json:
        console.say_json(
            [{"host": uri, "uuid": vm.uuid, "name": vm.name, "power": vm.power} for uri, vm in found]
        )
    elif found:
        rows = [(vm.name, vm.uuid, vm.power, uri) for uri, vm in found]
        console.say(*table(("name", "uuid", "power", "host"), rows))
    else:
        console.say("this host has no machine")
    return DONE if found else NO
