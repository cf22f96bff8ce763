"""svm cache stats: how full the verdict cache is, read beside a running SVM or without one."""

import argparse
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, add_json_argument, exit_codes, pairs
from appliance.config import load
from appliance.verdicts.environment import StoreError
from appliance.verdicts.store import StoreStats, read_stats

_DESCRIPTION = """Shows how full the verdict cache is. It reads the cache's own files and changes
nothing, so it works while the SVM serves, and when it does not."""

_EPILOG = f"""examples:
  svm cache stats
  svm cache stats --dir /var/lib/kvm-light-agent --json

{exit_codes()}"""


MIB = 1 << 20
_SHOWN = ("entries", "used_bytes", "file_bytes", "map_bytes")  # the rest only the SVM itself knows


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    nouns = commands.add_parser("cache", help="the verdict cache", description=_DESCRIPTION)
    verbs = nouns.add_subparsers(metavar="VERB", required=True)
    parser: argparse.ArgumentParser = verbs.add_parser(
        "stats", help="how full it is", description=_DESCRIPTION, epilog=_EPILOG
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    place.add_argument("--dir", metavar="DIR", type=Path, help="the SVM's state directory")
    add_json_argument(parser)
    parser.set_defaults(run=_stats)


def _stats(args: argparse.Namespace, console: Console) -> int:
    directory: Path = args.dir or load(args.config, console.environ).server.state_dir
    try:
        stats = read_stats(directory)
    except StoreError as error:
        raise CommandError(str(error)) from error
    if args.json:
        console.say_json({"directory": str(directory), **{name: getattr(stats, name) for name in _SHOWN}})
    else:
        console.say(*_as_text(directory, stats))
    return DONE


def _as_text(directory: Path, stats: StoreStats) -> list[str]:
    each = f", {stats.used_bytes / stats.entries:,.0f} bytes each" if stats.entries else ""
    full = 100 * stats.used_bytes / stats.map_bytes
    return pairs(
        [
            ("directory", directory),
            ("verdicts", f"{stats.entries:,}{each}"),
            ("used", f"{stats.used_bytes / MIB:,.1f} MiB of {stats.map_bytes / MIB:,.0f} MiB ({full:.1f} %)"),
            ("on disk", f"{stats.file_bytes / MIB:,.1f} MiB"),
        ]
    )
