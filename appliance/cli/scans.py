"""svm guests scan|scans|cancel-scan: scans of whole guests, which these do themselves."""

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import scans_pb2

from appliance.cli.console import (
    DONE,
    FAILED,
    NO,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    check_limit,
    exit_codes,
    plain,
    table,
)
from appliance.cli.times import iso, parse_later, shown
from appliance.domain.scan import ScanState, shown_paths
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.scans_admin import MAX_SCANS

LEAST_DIGITS = 4  # of an id that is named by its first ones

_DESCRIPTION = """\
Scans of whole guests: each guest's daemon looks at its own files, as many guests at once as the SVM has
slots for; `svm status` shows these. What a guest says of its scan is its own word."""

_SCAN_EPILOG = """\
A scan is kept until it is over, also when the SVM or the guest is started anew. One of a guest that is away
waits until its daemon (`guest-stub run`) is attached, scans.wait_days at the most. A guest that has the same
scan open already keeps that one; of two times the earlier counts then. On the unix socket a guest is a
process: it can be named while it is attached, and --all leaves out those that are gone.

TIME is 22:30, the next time that this machine's clock shows that, or a span from now (90m, 12h, 3d), or an
ISO time, which is UTC where it has no zone. Ctrl-C ends the waiting, and no scan; so does an SVM that is
started anew. With --wait --json there is an object for each guest: how its scan ended, or as `refused` why it
was not given one.

examples:
  svm guests scan 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --wait
  svm guests scan --all --at 22:30
  svm guests scan 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --path /home --path /srv

exit codes:
  0  ordered; with --wait: nothing was found
  1  a guest was not given the scan; with --wait: something malicious or suspicious was found
  2  the command could not do its work, see stderr; with --wait also: a guest was not given the scan, or did
     not look at everything"""

_SCANS_EPILOG = f"""\
The newest come last. A state is scheduled (its time has not come), away (its guest's daemon is not attached),
waiting (for a slot), running, and at the end done, incomplete, cancelled or expired. With --follow a line
comes whenever one changes, with --follow --json an object a line, until Ctrl-C or until the SVM stops.

examples:
  svm guests scans
  svm guests scans --open --follow

{exit_codes("no scan is kept, or none that is asked for")}"""

_CANCEL_EPILOG = f"""\
ID is what `svm guests scans` shows, or its first digits, {LEAST_DIGITS} at least. The guest is told at once
where it is attached. What it has found until then stays.

examples:
  svm guests cancel-scan 4f1c9a02
  svm guests cancel-scan --all

{exit_codes("none of them was open any more")}"""


def add(verbs: Any) -> None:
    """Enter the verbs of `svm guests`. verbs: what argparse's add_subparsers gave."""
    scan = _add_verb(verbs, "scan", "have guests scan all their files", _SCAN_EPILOG, _scan)
    scan.add_argument("guests", metavar="GUEST", nargs="*")
    scan.add_argument("--all", action="store_true", help="every guest that is known")
    scan.add_argument("--at", metavar="TIME", help="when it is to begin (now)")
    scan.add_argument(
        "--path", metavar="P", action="append", default=[], help="only this and what is below; repeatable"
    )
    scan.add_argument("--wait", action="store_true", help="show progress, and end when the scans do")
    listing = _add_verb(verbs, "scans", "how scans stand that were ordered", _SCANS_EPILOG, _scans)
    listing.add_argument("--follow", action="store_true", help="go on with those that change, until Ctrl-C")
    listing.add_argument("--open", action="store_true", help="only those that are not over")
    listing.add_argument("--guest", metavar="G", default="", help="only of this guest")
    listing.add_argument("--limit", metavar="N", type=int, default=MAX_SCANS, help="the newest N (all)")
    cancel = _add_verb(verbs, "cancel-scan", "call scans off", _CANCEL_EPILOG, _cancel)
    cancel.add_argument("scans", metavar="ID", nargs="*")
    cancel.add_argument("--all", action="store_true", help="every one that is open")


def _add_verb(verbs: Any, name: str, does: str, epilog: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    add_json_argument(parser)
    add_socket_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _scan(args: argparse.Namespace, console: Console) -> int:
    _check_named(args.guests, args.all, "name guests, or give --all; see `svm guests list`")
    request = scans_pb2.OrderScansRequest(
        guests=args.guests, all=args.all, paths=[os.fsencode(path) for path in args.path]
    )
    if args.at is not None:
        request.at.CopyFrom(Timestamp(seconds=parse_later(args.at, console.clock())))
    with console.client(args) as client:
        placed = client.order_scans(request).scans
        refused = [scan for scan in placed if not scan.scan]
        for scan in refused:
            console.complain(f"{scan.guest}: {scan.why}")
        if args.wait:
            return _wait(client, placed, args.json, console)
    if args.json:
        console.say_json(list(map(_placed_dict, placed)))
    else:
        console.say(*(_placed_text(scan) for scan in placed if scan.scan))
    return NO if refused else DONE


def _check_named(named: Sequence[str], all_of_them: bool, what_to_name: str) -> None:
    if named and all_of_them:
        raise CommandError(f"{named[0][:80]!r} and --all were given: leave one of them out")
    if not named and not all_of_them:
        raise CommandError(what_to_name)


@contextmanager
def _watching() -> Iterator[None]:
    """Say of what ends the watching of scans that it ends none of them."""
    try:
        yield
    except AdminError as error:
        raise CommandError(f"{error}; scans that were ordered go on: see `svm guests scans`") from error


def _wait(
    client: AdminClient, placed: Sequence[scans_pb2.PlacedScan], as_json: bool, console: Console
) -> int:
    """Show how scans go on until the last is over; clamscan's exit code for what they found."""
    ended: dict[bytes, scans_pb2.OrderedScan] = {}
    wanted = [scan.scan for scan in placed if scan.scan]
    if wanted:
        with _watching():
            for scan in client.scans(scans_pb2.ListScansRequest(scans=wanted, follow=True)):
                if not as_json:
                    console.say(_line(scan))
                    console.out.flush()
                if scan.HasField("ended"):
                    ended[scan.scan] = scan
    if as_json:
        refused = [_placed_dict(scan) for scan in placed if not scan.scan]
        console.say_json([*({**_as_dict(scan), "refused": None} for scan in ended.values()), *refused])
    if any(scan.malicious or scan.suspicious for scan in ended.values()):
        return NO
    whole = [scan for scan in ended.values() if scan.state == ScanState.DONE and not scan.unanswered]
    return DONE if len(whole) == len(placed) else FAILED


def _scans(args: argparse.Namespace, console: Console) -> int:
    check_limit(args.limit, MAX_SCANS)
    request = scans_pb2.ListScansRequest(
        guest=args.guest, open=args.open, follow=args.follow, limit=args.limit
    )
    with console.client(args) as client:
        scans = client.scans(request)
        if args.follow:
            _follow(scans, args.json, console)
            return DONE
        found = list(scans)
    if args.json:
        console.say_json(list(map(_as_dict, found)))
    elif found:
        head = ("id", "guest", "state", "ordered", "due", "files", "found", "paths", "what it says")
        console.say(*table(head, map(_row, found)))
    else:
        console.say("no scan is kept that is asked for")
    return DONE if found else NO


def _follow(scans: Iterable[scans_pb2.OrderedScan], as_json: bool, console: Console) -> None:
    with _watching():
        for scan in scans:
            console.say(json.dumps(_as_dict(scan)) if as_json else _line(scan))
            console.out.flush()


def _cancel(args: argparse.Namespace, console: Console) -> int:
    _check_named(
        args.scans, args.all, "name scans by their ids, or give --all; see `svm guests scans --open`"
    )
    with console.client(args) as client:
        request = scans_pb2.CancelScansRequest(all=args.all)
        if args.scans:
            kept = [scan.scan for scan in client.scans(scans_pb2.ListScansRequest())]
            request.scans.extend(_named(word, kept) for word in args.scans)
        cancelled = client.cancel_scans(request)
    if args.json:
        console.say_json({"cancelled": cancelled})
    else:
        console.say(f"{cancelled:,} scans are called off" if cancelled != 1 else "1 scan is called off")
    return DONE if cancelled else NO


def _named(word: str, kept: Sequence[bytes]) -> bytes:
    """Return the id that begins with these digits."""
    digits = word.lower()
    if len(digits) < LEAST_DIGITS or set(digits) - set("0123456789abcdef"):
        raise CommandError(f"{word[:40]!r} is no id: give at least {LEAST_DIGITS} of its digits")
    found = [scan for scan in kept if scan.hex().startswith(digits)]
    if len(found) == 1:
        return found[0]
    what = f"begins {len(found)} ids: give more of its digits" if found else "is the id of no scan"
    raise CommandError(f"{word[:40]} {what}; see `svm guests scans`")


def _line(scan: scans_pb2.OrderedScan) -> str:
    found = f"{scan.malicious:,} malicious, {scan.suspicious:,} suspicious"
    words = [
        scan.scan.hex()[:8],
        scan.guest,
        f"{scan.state:<10}",
        f"{_files(scan)} files, {found}",
        scan.text,
    ]
    return plain("  ".join(words)).rstrip()


def _row(scan: scans_pb2.OrderedScan) -> tuple[str, ...]:
    return (
        scan.scan.hex()[:8],
        scan.guest,
        scan.state,
        shown(scan.ordered.seconds),
        shown(scan.due.seconds),
        _files(scan),
        f"{scan.malicious + scan.suspicious:,}",
        shown_paths(scan.paths) if scan.paths else "all",
        scan.text,
    )


def _files(scan: scans_pb2.OrderedScan) -> str:
    """Return how far it is: "1,200 of 5,000"."""
    known = scan.expected_files > scan.files and not scan.HasField("ended")
    return f"{scan.files:,} of {scan.expected_files:,}" if known else f"{scan.files:,}"


def _placed_text(scan: scans_pb2.PlacedScan) -> str:
    what = "was ordered before" if scan.already else "is ordered"
    return plain(f"{scan.scan.hex()[:8]}  {scan.guest}  {what}, due {shown(scan.due.seconds)}")


def _placed_dict(scan: scans_pb2.PlacedScan) -> dict[str, Any]:
    return {
        "id": scan.scan.hex() or None,
        "guest": scan.guest,
        "already": scan.already,
        "due": iso(scan.due.seconds) if scan.HasField("due") else None,
        "refused": scan.why or None,
    }


def _as_dict(scan: scans_pb2.OrderedScan) -> dict[str, Any]:
    return {
        "id": scan.scan.hex(),
        "guest": scan.guest,
        "paths": [path.decode(errors="surrogateescape") for path in scan.paths],
        "author": scan.author,
        "state": scan.state,
        "ordered": iso(scan.ordered.seconds),
        "due": iso(scan.due.seconds),
        "ended": iso(scan.ended.seconds) if scan.HasField("ended") else None,
        "files": scan.files,
        "expected_files": scan.expected_files or None,
        "bytes": scan.bytes,
        "malicious": scan.malicious,
        "suspicious": scan.suspicious,
        "unanswered": scan.unanswered,
        "text": scan.text or None,
    }
