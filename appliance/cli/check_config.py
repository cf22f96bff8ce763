"""svm check-config: whether a settings file can be used, before anything is started with it."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, NO, Console, add_json_argument, exit_codes, plain
from appliance.config import CONFIG_VARIABLE, load
from appliance.config_file import ConfigError

_DESCRIPTION = """Reads the settings as `svm serve` would, and prints every problem with its line.
Nothing is started, no socket and no directory is touched."""

_EPILOG = f"""examples:
  svm check-config /etc/kvm-light-agent/svm.toml
  svm check-config --json          print every setting with the value that counts

{exit_codes("the settings cannot be used; each problem is on stderr")}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check-config", help="check a settings file", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="default: what KVMLA_CONFIG names")
    add_json_argument(parser)
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace, console: Console) -> int:
    try:
        settings = load(args.file, console.environ)
    except ConfigError as error:
        for problem in error.problems:
            console.complain(problem)
        return NO
    if args.json:
        console.say(json.dumps(asdict(settings), indent=2, default=str))
    else:
        where = args.file or console.environ.get(CONFIG_VARIABLE) or "the embedded defaults"
        console.say(f"{plain(str(where))}: can be used")
    return DONE
