"""svm guests tokens|withdraw: the tokens that were made, and how one is taken back."""

import argparse
from typing import Any

from lightagent.v1 import identity_pb2

from appliance.cli.console import (
    DONE,
    NO,
    Console,
    add_json_argument,
    add_socket_arguments,
    beginning_of,
    check_limit,
    exit_codes,
    table,
)
from appliance.cli.times import iso, shown
from appliance.domain.identity import token_id
from appliance.identity.tokens import BEGINNING, digest_of
from appliance.rpc.identity_admin import DEFAULT_TOKENS, MAX_TOKENS

_LIST_EPILOG = f"""\
Those whose time is not over, the one that ends soonest first. A token itself is shown by nothing:
the SVM has only its SHA-256, of which the first digits name it here and in `svm audit`. Guest is
the one that it is for, or that has enrolled with it. A host agent sees those that it has made.

examples:
  svm guests tokens
  svm guests tokens --tenant acme --json

{exit_codes("there is none")}"""

_WITHDRAW_EPILOG = f"""\
The token is refused from then on like one that never was. It is named by the first 8, 10, 12 or
more digits of its SHA-256, as `svm guests tokens` shows them, or by itself, which does not leave
this machine then. One that was used already is not taken back: the guest that enrolled with it is
to be revoked.

example:
  svm guests withdraw 3fa94c01bd27 --reason "sent to the wrong list"

{exit_codes()}"""


def add(verbs: Any) -> None:
    """Enter the verbs. verbs: what add_subparsers of `svm guests` gave."""
    listing = verbs.add_parser("tokens", help="which tokens there are", epilog=_LIST_EPILOG)
    listing.add_argument("--tenant", metavar="T", default="", help="only those for guests of one tenant")
    listing.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=DEFAULT_TOKENS,
        help=f"the first N, at most {MAX_TOKENS} ({DEFAULT_TOKENS})",
    )
    add_json_argument(listing)
    withdraw = verbs.add_parser("withdraw", help="take a token back", epilog=_WITHDRAW_EPILOG)
    withdraw.add_argument("token", metavar="ID", help="by which `svm guests tokens` knows it")
    withdraw.add_argument("--reason", metavar="TEXT", default="", help="for the record")
    for parser, run in ((listing, _list), (withdraw, _withdraw)):
        add_socket_arguments(parser)
        parser.set_defaults(run=run)


def _list(args: argparse.Namespace, console: Console) -> int:
    check_limit(args.limit, MAX_TOKENS)
    request = identity_pb2.ListTokensRequest(limit=args.limit, tenant=args.tenant)
    with console.client(args) as client:
        found = client.tokens(request).tokens
    if args.json:
        console.say_json(list(map(_dict, found)))
    elif found:
        head = ("id", "used", "tenant", "guest", "made by", "made", "good until")
        console.say(*table(head, map(_row, found)))
    else:
        console.say("there is no token: make one with `svm guests token`")
    return DONE if found else NO


def _row(token: identity_pb2.Token) -> tuple[object, ...]:
    made = (token.author, shown(token.created.seconds))
    used = "yes" if token.used else "no"
    return (
        token_id(token.sha256),
        used,
        token.tenant,
        token.uuid or "-",
        *made,
        shown(token.expires.seconds),
    )


def _dict(token: identity_pb2.Token) -> dict[str, Any]:
    return {
        "id": token_id(token.sha256),
        "sha256": token.sha256.hex(),
        "used": token.used,
        "tenant": token.tenant,
        "guest": token.uuid or None,
        "author": token.author,
        "created": iso(token.created.seconds),
        "expires": iso(token.expires.seconds),
    }


def _withdraw(args: argparse.Namespace, console: Console) -> int:
    itself = args.token.startswith(BEGINNING)
    sha256 = digest_of(args.token.strip()) if itself else beginning_of(args.token)
    with console.client(args) as client:
        token = client.withdraw_token(sha256, args.reason)
    whose = f"the guest {token.uuid}" if token.uuid else "a new guest"
    console.say(f"{token_id(token.sha256)} is withdrawn: it was for {whose} of tenant {token.tenant}")
    return DONE
