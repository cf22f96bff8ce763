"""svm verdicts exposure: which guests hold a file."""

import argparse
from typing import Any

from lightagent.v1 import exposure_pb2

from appliance.cli.console import (
    DONE,
    NO,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    table,
)
from appliance.cli.times import iso, shown
from appliance.domain.digest import parse_digest

_DESCRIPTION = """\
Shows which guests hold a file: those that asked about its SHA-256, the one that was seen last first.

The first and the last time are known to the hour, the last may be up to a day too early. A guest that
has deleted the file since stands here until exposure.keep_days are over: nobody tells of that."""

_EPILOG = f"""example:
  svm verdicts exposure $(sha256sum < setup.exe | cut -d' ' -f1)

{exit_codes("no guest is known to hold it")}"""


def add(verbs: Any) -> None:
    """Enter the command. verbs: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "exposure", help="which guests hold a file", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("digest", metavar="DIGEST")
    add_json_argument(parser)
    add_socket_arguments(parser)
    parser.set_defaults(run=_exposure)


def _exposure(args: argparse.Namespace, console: Console) -> int:
    digest = parse_digest(args.digest)
    with console.client(args) as client:
        holders = client.exposure(digest).holders
    if args.json:
        console.say_json({"digest": digest.hex(), "holders": [_as_dict(holder) for holder in holders]})
    elif holders:
        rows = [
            (
                holder.guest,
                "yes" if holder.attached else "no",
                shown(holder.first.seconds),
                shown(holder.last.seconds),
            )
            for holder in holders
        ]
        console.say(*table(("guest", "attached", "first seen", "last seen"), rows))
    else:
        console.say(f"{digest.hex()}: no guest is known to hold it")
    return DONE if holders else NO


def _as_dict(holder: exposure_pb2.Holder) -> dict[str, Any]:
    return {
        "guest": holder.guest,
        "attached": holder.attached,
        "first": iso(holder.first.seconds),
        "last": iso(holder.last.seconds),
    }
