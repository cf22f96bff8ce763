"""svm audit: who changed what, and how it was before."""

import argparse
from typing import Any

from lightagent.v1 import admin_pb2

from appliance.cli.console import (
    DONE,
    Console,
    add_json_argument,
    add_socket_arguments,
    check_limit,
    exit_codes,
    plain,
)
from appliance.cli.times import iso, shown

_DESCRIPTION = """Shows what administrators changed, the newest first: who, what, how it was and how it is.

Overrides, policies and consent, tokens and who enrolled with them, certificates and guests, scans
that were ordered or called off, signatures that were read anew. An administrator of a tenant sees
what is of that tenant."""

_EPILOG = f"""The SVM keeps the newest changes, as many as state.audit_entries of its settings says, and
of one tenant a tenth of that. What else happened by itself, and what guests did, renewals among
it, is under `svm events`.

examples:
  svm audit --limit 20
  svm audit --tenant acme --json

{exit_codes()}"""

MAX_ENTRIES = 1000


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "audit", help="who changed what", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument(
        "--limit", metavar="N", type=int, default=100, help=f"the newest N, at most {MAX_ENTRIES} (100)"
    )
    parser.add_argument("--tenant", metavar="T", default="", help="only what is of one tenant")
    add_json_argument(parser)
    add_socket_arguments(parser)
    parser.set_defaults(run=_audit)


def _audit(args: argparse.Namespace, console: Console) -> int:
    check_limit(args.limit, MAX_ENTRIES)
    with console.client(args) as client:
        entries = client.audit(args.limit, args.tenant).entries
    if args.json:
        console.say_json([_dict(entry) for entry in entries])
    elif not entries:
        console.say("nothing was changed yet")
    else:
        for entry in entries:
            console.say(*_lines(entry))
    return DONE


def _lines(entry: admin_pb2.AuditEntry) -> list[str]:
    """One entry: a line of who did what, and under it how that was and is, and why."""
    whose = f" [{entry.tenant}]" if entry.tenant else ""
    about = entry.sha256.hex() or entry.subject
    what = f"{shown(entry.at.seconds)}  {entry.author}{whose}  {entry.action}  {about}"
    under = [("before", entry.before), ("after", entry.after)]
    if not entry.after.endswith(entry.reason):
        under.append(("why", entry.reason))
    return [plain(what), *(f"    {name + ':':<8}{plain(said)}" for name, said in under if said)]


def _dict(entry: admin_pb2.AuditEntry) -> dict[str, Any]:
    return {
        "at": iso(entry.at.seconds),
        "author": entry.author,
        "action": entry.action,
        "digest": entry.sha256.hex() or None,
        "subject": entry.subject or None,
        "tenant": entry.tenant or None,
        "before": entry.before or None,
        "after": entry.after or None,
        "reason": entry.reason,
        "expires": iso(entry.expires.seconds) if entry.HasField("expires") else None,
    }
