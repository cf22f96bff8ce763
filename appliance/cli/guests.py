"""svm guests list|files|...: which guests there are, what one holds.

`scans` has the verbs about scans, `enrolments` those about who a guest is, `tokens` those about tokens that
were made.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from lightagent.v1 import exposure_pb2, verdict_pb2

from appliance.cli import enrolments, scans, tokens
from appliance.cli.console import (
    DONE,
    NO,
    Console,
    add_json_argument,
    add_socket_arguments,
    check_limit,
    exit_codes,
    plain,
    table,
)
from appliance.cli.machines import HEAD, Entry, Guest, Machine, joined
from appliance.cli.times import iso, shown
from appliance.domain.vm import MAX_VMS
from appliance.rpc.exposure_admin import MAX_FILES, MAX_GUESTS

_DESCRIPTION = """\
Guests of this SVM. A guest is named by its connection: by the UUID in its certificate on TCP, and by
uid-N.pid-N on a unix socket, where each process is a guest of its own."""

_LIST_EPILOG = f"""\
Those that are attached come first, then the one that was seen last, then those that have enrolled and
were not here yet. Times are known to the hour. What a guest held that was not here for exposure.keep_days
is forgotten. A guest's certificate is good, expired, revoked or cloned; of one on a unix socket there is
none.

Where host agents tell of the virtual machines of their hosts, each stands with its guest, and those without
one come last: protected, stub silent (it has enrolled, and its stub is not attached), not enrolled, powered
off (and when all of it was scanned last), excluded, or an SVM itself. Of a machine on a host of which nothing
was told for long it says how it was.

examples:
  svm guests list
  svm guests list --unprotected --json

{exit_codes("no guest was ever here; with --unprotected, every machine is protected")}"""

_FILES_EPILOG = f"""\
A guest's files are known by their SHA-256, from what it asked about; a line is that, what is known of it
now, and when it was seen first and last. With --malicious only what is malicious or suspicious by an
override, or by a verdict that is still kept.

examples:
  svm guests files 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --malicious
  svm guests files 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --limit 1000000 --json

{exit_codes("nothing of the kind is known")}"""


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser(
        "guests", help="which guests there are; who they are; scans of them", description=_DESCRIPTION
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listing = _add_verb(verbs, "list", "which guests are, or were, here", _LIST_EPILOG, _list)
    listing.add_argument(
        "--limit", metavar="N", type=int, default=100, help=f"the first N, at most {MAX_GUESTS} (100)"
    )
    listing.add_argument(
        "--unprotected", action="store_true", help="only machines that should be protected and are not"
    )
    files = _add_verb(verbs, "files", "what a guest holds", _FILES_EPILOG, _files)
    files.add_argument("guest", metavar="GUEST")
    files.add_argument("--malicious", action="store_true", help="only what is malicious or suspicious")
    files.add_argument(
        "--limit", metavar="N", type=int, default=100, help=f"the first N, at most {MAX_FILES} (100)"
    )
    enrolments.add(verbs)
    tokens.add(verbs)
    scans.add(verbs)


def _add_verb(verbs: Any, name: str, does: str, epilog: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    add_json_argument(parser)
    add_socket_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _list(args: argparse.Namespace, console: Console) -> int:
    check_limit(args.limit, MAX_GUESTS)
    with console.client(args) as client:
        guests = client.guests(MAX_GUESTS if args.unprotected else args.limit).guests
        machines = client.vms(MAX_VMS).vms
    found = list(islice(_entries(guests, machines, args.unprotected), args.limit))
    if args.json:
        console.say_json([entry.fields() for entry in found])
    elif found:
        console.say(*table(HEAD, (entry.row() for entry in found)))
    else:
        console.say("every machine is protected" if args.unprotected else "no guest was ever here")
    return DONE if found else NO


def _entries(guests: Sequence[Guest], machines: Sequence[Machine], unprotected: bool) -> Iterator[Entry]:
    """Those that are asked for."""
    return (entry for entry in joined(guests, machines) if entry.is_unprotected or not unprotected)


def _files(args: argparse.Namespace, console: Console) -> int:
    check_limit(args.limit, MAX_FILES)
    request = exposure_pb2.ListGuestFilesRequest(guest=args.guest, malicious=args.malicious, limit=args.limit)
    found = 0

    with console.client(args) as client:
        files = client.guest_files(request)
        if args.json:

            def dicts() -> Any:
                nonlocal found
                for file in files:
                    found += 1
                    yield _file_dict(file)

            console.say_json_list(dicts())
        else:
            for file in files:
                found += 1
                console.say(_file_text(file))
    if not found and not args.json:
        console.say("nothing of the kind is known")
    return DONE if found else NO


def _file_text(file: exposure_pb2.GuestFile) -> str:
    words = [
        file.sha256.hex(),
        f"{_outcome(file.outcome) or '-':<12}",
        shown(file.first.seconds),
        shown(file.last.seconds),
        file.threat,
    ]
    return plain("  ".join(words)).rstrip()


def _file_dict(file: exposure_pb2.GuestFile) -> dict[str, Any]:
    return {
        "digest": file.sha256.hex(),
        "outcome": _outcome(file.outcome) or None,
        "threat": file.threat or None,
        "first": iso(file.first.seconds),
        "last": iso(file.last.seconds),
    }


def _outcome(number: verdict_pb2.Outcome.ValueType) -> str:
    """Return "MALICIOUS" for that outcome, "" where nothing is known."""
    if not number:
        return ""
    value = verdict_pb2.Outcome.DESCRIPTOR.values_by_number.get(number)
    return value.name.removeprefix("OUTCOME_") if value else str(number)
