"""svm packet-filter: rules for this machine's packet filter, by which no address has a whole door."""

import argparse
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, exit_codes
from appliance.config import load
from appliance.packet_filter.doors import tcp_doors
from appliance.packet_filter.nft import PacketFilterError, apply
from appliance.packet_filter.rules import rules

_DESCRIPTION = """Prints rules for nftables by the settings: at the doors of guests, enrolment and
administration that are on TCP, an address opens new_connections_per_second, and has
connections_per_address at once. What is more is dropped and counted.

svm-packet-filter.service puts them in place before `svm serve` opens its doors."""

_EPILOG = f"""examples:
  svm packet-filter --config /etc/kvm-light-agent/svm.toml
  svm packet-filter --config /etc/kvm-light-agent/svm.toml --apply
  nft list counters table inet kvmla       what was dropped
  nft delete table inet kvmla              take them away

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "packet-filter",
        help="rules for this machine's packet filter",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    parser.add_argument(
        "--apply", action="store_true", help="put them in place of the older ones instead; as root"
    )
    parser.set_defaults(run=_packet_filter)


def _packet_filter(args: argparse.Namespace, console: Console) -> int:
    settings = load(args.config, console.environ)
    text = rules(settings)
    if not args.apply:
        console.say(text.rstrip("\n"))
        return DONE
    try:
        apply(text)
    except PacketFilterError as error:
        raise CommandError(str(error)) from error
    guarded = ", ".join(door.name for door in tcp_doors(settings.server))
    console.say(f"guarded now: {guarded}" if guarded else "nothing is filtered: all doors are unix sockets")
    return DONE
