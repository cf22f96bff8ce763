"""svm ksn ledger: what left for KSN, read beside a running SVM or without one."""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.cli.console import (
    DONE,
    NO,
    CommandError,
    Console,
    add_json_argument,
    exit_codes,
    pairs,
    plain,
)
from appliance.cli.ksn_words import tenant_name
from appliance.cli.times import iso, parse_past, shown
from appliance.config import load
from appliance.ksn.ledger import REQUEST, RESULT
from appliance.state.environment import StateEnvironment, StateError
from appliance.state.ledger import LedgerEntry, LedgerStore

NO_RESULT = "none was recorded yet"
MOST_OPEN = 4096  # requests whose result is waited for: more are never under way, by far

_DESCRIPTION = """\
Prints every request to the Kaspersky Security Network (KSN), each field with its value, as the
disclosure ledger has it: it is written there before it is sent. The ledger's own file is read and
not changed, so this works while the SVM serves, and when it does not."""

_EPILOG = f"""\
`svm ksn ledger verify` looks whether every entry is there and as it was written. It prints the last
chain value: whoever keeps that elsewhere can tell later whether the ledger was made anew.

examples:
  svm ksn ledger --since 2d
  svm ksn ledger --tenant acme --since 2030-01-31T12:00Z --json
  svm ksn ledger verify

{exit_codes("verify: an entry is missing, or not as it was written")}"""


@dataclass
class Disclosed:
    """A request that was written down, and how it ended. fields: as the ledger has them."""

    number: int
    at: float
    fields: dict[str, Any]
    result: str = ""


def add(verbs: Any) -> None:
    """Enter the command. verbs: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "ledger",
        help="what was sent; whether that account is whole",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("verify", nargs="?", choices=("verify",), help="look whether the ledger is whole")
    parser.add_argument("--tenant", metavar="T", type=tenant_name, help="only on behalf of this one")
    parser.add_argument("--since", metavar="WHEN", help="90m, 12h, 30d, 2w ago, or an ISO time")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    place.add_argument("--dir", metavar="DIR", type=Path, help="the SVM's state directory")
    add_json_argument(parser)
    parser.set_defaults(run=_ledger)


def _ledger(args: argparse.Namespace, console: Console) -> int:
    if args.verify and (args.tenant or args.since):
        raise CommandError("verify looks at the whole ledger: leave --tenant and --since out")
    since = parse_past(args.since, console.clock()) if args.since is not None else 0
    directory: Path = args.dir or load(args.config, console.environ).server.state_dir
    try:
        with closing(StateEnvironment.open_to_read(directory)) as environment:
            ledger = LedgerStore(environment)
            if args.verify:
                return _verify(ledger, args.json, console)
            chosen = (
                request
                for request in joined(ledger.entries())
                if request.at >= since and args.tenant in {None, request.fields.get("tenant")}
            )
            _print(chosen, args.json, console)
    except StateError as error:
        raise CommandError(str(error)) from error
    return DONE


def joined(entries: Iterable[LedgerEntry]) -> Iterator[Disclosed]:
    """Yield each request with its result, in the order in which they were written.

    Of the requests only those are held that wait for their result, MOST_OPEN at the most: a request whose
    result never came holds up no others for long. Raises CommandError for an entry of an unknown kind.
    """
    waiting: dict[int, Disclosed] = {}
    for entry in entries:
        kind = entry.payload.get("kind")
        if kind == REQUEST:
            waiting[entry.number] = Disclosed(entry.number, entry.at, dict(entry.payload))
        elif kind == RESULT:
            request = waiting.get(int(entry.payload["of"]))
            if request is not None:
                request.result = str(entry.payload["result"])
        else:
            raise CommandError(
                f"entry {entry.number} of the ledger is of the kind {kind!r}: use the newer svm"
            )
        while waiting and (len(waiting) > MOST_OPEN or next(iter(waiting.values())).result):
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _print(requests: Iterable[Disclosed], as_json: bool, console: Console) -> None:
    if as_json:
        console.say_json_list(_as_dict(request) for request in requests)
        return
    nothing = True
    for request in requests:
        console.say(*_as_text(request))
        nothing = False
    if nothing:
        console.say("nothing was sent")


def _as_text(request: Disclosed) -> list[str]:
    about = request.fields
    head = f"{request.number}  {shown(request.at)}  {about.get('call')} to {about.get('service')}"
    values = [(str(name), value) for name, value in about.get("fields", {}).items()]
    lines = pairs(
        [
            ("for", f"tenant {about.get('tenant')}, guest {about.get('guest')}"),
            ("by", f"{about.get('type')} Statement {about.get('statement')}, {about.get('mode')} mode"),
            *values,
            ("result", request.result or NO_RESULT),
        ]
    )
    return [plain(head), *(f"  {line}" for line in lines)]


def _as_dict(request: Disclosed) -> dict[str, Any]:
    about = {name: value for name, value in request.fields.items() if name not in {"kind", "at"}}
    return {"number": request.number, "at": iso(request.at), **about, "result": request.result or None}


def _verify(ledger: LedgerStore, as_json: bool, console: Console) -> int:
    check = ledger.verify()
    if as_json:
        console.say_json({"entries": check.entries, "problem": check.problem or None, "last": check.last})
    else:
        state = check.problem or "every entry is as it was written"
        console.say(*pairs([("entries", f"{check.entries:,}"), ("ledger", state), ("last", check.last)]))
    return NO if check.problem else DONE
