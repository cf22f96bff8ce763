"""svm events: what happened on this host."""

import argparse
import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import events_pb2

from appliance.cli.console import (
    DONE,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    plain,
)
from appliance.cli.ksn_words import tenant_name
from appliance.cli.times import iso, parse_past, shown
from appliance.domain.event import EventKind
from appliance.rpc.events_admin import MAX_EVENTS

_KINDS = [kind.value for kind in EventKind]  # the words themselves: a complaint lists them
FOLLOWED = 10  # events that --follow begins with

_DESCRIPTION = """\
Shows what happened on this host, the newest last: guests that came and went, detections, outbreaks,
what administrators changed or ordered, new signatures, and what guests say they did.

A line is: when, what kind, which guest, what. All that follows "guest says:" is the guest's word
alone, threat and digest too: a detection without it is the SVM's own. With --json, such an event
has "said"."""

_EPILOG = f"""\
kinds:
  {", ".join(_KINDS[:11])},
  {", ".join(_KINDS[11:])}

With --json it prints one list; with --follow --json one object a line, as they come.

examples:
  svm events
  svm events --kind detection --kind outbreak --since 2d
  svm events --guest 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --limit 1000
  svm events --follow --json | jq 'select(.kind == "outbreak")'

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "events", help="what happened on this host", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--follow", action="store_true", help="go on with those that come, until Ctrl-C")
    parser.add_argument("--since", metavar="WHEN", help="90m, 12h, 30d, 2w ago, or an ISO time")
    parser.add_argument(
        "--kind", metavar="K", action="append", choices=_KINDS, help="only of this kind; repeatable"
    )
    parser.add_argument("--guest", metavar="G", default="", help="only of this guest")
    parser.add_argument("--tenant", metavar="T", type=tenant_name, help="only of this tenant")
    parser.add_argument(
        "--limit", metavar="N", type=int, help=f"the newest N (100, with --follow {FOLLOWED}; since: all)"
    )
    add_json_argument(parser)
    add_socket_arguments(parser)
    parser.set_defaults(run=_events)


def _events(args: argparse.Namespace, console: Console) -> int:
    if args.limit is not None and not 1 <= args.limit <= MAX_EVENTS:
        raise CommandError(f"--limit is {args.limit}: give 1 to {MAX_EVENTS}")
    usual = MAX_EVENTS if args.since is not None else FOLLOWED if args.follow else 0
    request = events_pb2.ListEventsRequest(
        limit=args.limit or usual,
        kinds=args.kind or (),
        guest=args.guest,
        follow=args.follow,
        tenant=args.tenant or "",
    )
    if args.since is not None:
        request.since.CopyFrom(Timestamp(seconds=max(0, parse_past(args.since, console.clock()))))
    with console.client(args) as client:
        events = client.events(request)
        if args.json and not args.follow:
            console.say_json_list(_as_dict(event) for event in events)
        else:
            _print(events, args.json, console)
    return DONE


def _print(events: Iterable[events_pb2.Event], as_json: bool, console: Console) -> None:
    for event in events:
        console.say(json.dumps(_as_dict(event)) if as_json else _as_text(event))
        console.out.flush()


def _as_text(event: events_pb2.Event) -> str:
    said = event.said
    guests = ", ".join(event.guests)
    more = event.count - len(event.guests)
    told = (
        event.threat,
        said.path.decode(errors="replace"),
        f"by {said.process}" if said.process else "",
        said.action,
        event.text,
        f"{event.count:,} of them" if event.count and not guests else "",
        f"guests {guests}{f' and {more:,} more' if more > 0 else ''}" if guests else "",
        event.sha256.hex(),
        f"by {event.author}" if event.author else "",
    )
    what = "; ".join(filter(None, told))
    if event.HasField("said"):
        what = f"guest says: {what}"
    line = f"{shown(event.at.seconds)}  {event.kind:<10}  {event.guest or '-'}  {what}"
    return plain(line).rstrip()


def _as_dict(event: events_pb2.Event) -> dict[str, Any]:
    said = event.said
    return {
        "number": event.number,
        "at": iso(event.at.seconds),
        "kind": event.kind,
        "guest": event.guest or None,
        "digest": event.sha256.hex() or None,
        "threat": event.threat or None,
        "text": event.text or None,
        "author": event.author or None,
        "count": event.count or None,
        "guests": list(event.guests),
        "tenant": event.tenant or None,
        "said": {
            "number": said.number,
            "at": iso(said.at.seconds) if said.HasField("at") else None,
            "path": said.path.decode(errors="surrogateescape") or None,
            "process": said.process or None,
            "action": said.action or None,
        }
        if event.HasField("said")
        else None,
    }
