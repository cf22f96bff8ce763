"""svm ksn status|check|lookup, and the others: whether KSN is used, whether it answers, what it says.

`ksn_statement`, `ksn_preview` and `ksn_ledger` hold the verbs that need no running SVM.
"""

import argparse
from pathlib import Path
from typing import Any

from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.cli import ksn_ledger, ksn_preview, ksn_statement
from appliance.cli.console import (
    DONE,
    NO,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    pairs,
    table,
)
from appliance.cli.ksn_preview import file_digest
from appliance.cli.ksn_words import (
    add_tenant_option,
    mode_word,
    participation_dict,
    participation_pairs,
    type_word,
)
from appliance.domain.digest import BadDigest, parse_digest

_DESCRIPTION = """\
The Kaspersky Security Network (KSN) tells what is known of a file by its digest, before anybody
scans it. It is asked only on behalf of tenants that take part: see `svm policy`."""

_STATUS_EPILOG = f"""examples:
  svm ksn status
  svm ksn status --tenant acme --json

{exit_codes("KSN is off for the tenant; the reason is shown")}"""

_CHECK_EPILOG = f"""\
It asks KSN about one digest that everybody knows, on behalf of the tenant, also while KSN is left
alone; the question stands in the disclosure ledger. Then it tries the way there: the proxy where
one is set, the service's name, the connection and its TLS.

example:
  svm ksn check

{exit_codes("something that was tried is not good; its line says what to do")}"""

_LOOKUP_EPILOG = f"""\
A FILE is hashed here; its digest is asked about, its content stays. A URL, with http:// in front,
is asked about, then its host, then its registered domain, until KSN knows one; see
`svm ksn preview`. What KSN does not know is an answer, "not found". Each question stands in the
disclosure ledger.

examples:
  svm ksn lookup setup.exe
  svm ksn lookup DIGEST --tenant acme
  svm ksn lookup http://example.com/setup.exe

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser("ksn", help="the Kaspersky Security Network", description=_DESCRIPTION)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    status = _add_verb(verbs, "status", "whether and how KSN is used", _STATUS_EPILOG)
    add_json_argument(status)
    status.set_defaults(run=_status)
    check = _add_verb(verbs, "check", "try whether KSN answers", _CHECK_EPILOG)
    check.set_defaults(run=_check)
    lookup = _add_verb(verbs, "lookup", "what KSN says of a file or a web address", _LOOKUP_EPILOG)
    lookup.add_argument("subject", metavar="DIGEST|FILE|URL")
    lookup.set_defaults(run=_look_up)
    for room in (ksn_preview, ksn_statement, ksn_ledger):
        room.add(verbs)


def _add_verb(verbs: Any, name: str, does: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    add_tenant_option(parser)
    add_socket_arguments(parser)
    return parser


def _status(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        status = client.ksn_status(args.tenant)
    if args.json:
        console.say_json(_status_dict(args.tenant, status))
    else:
        console.say(*pairs([("tenant", args.tenant), *participation_pairs(status.participation)]))
        console.say("", *pairs(_provider_pairs(status)))
    return NO if status.participation.state == verdict_pb2.KSN_STATE_OFF else DONE


def _provider_pairs(status: admin_pb2.GetKsnStatusReply) -> list[tuple[str, object]]:
    """Return what the provider has set, and how the service does."""
    quota = f"{status.quota_left:,} questions left today" if status.HasField("quota_left") else "no limit"
    rows: list[tuple[str, object]] = [
        ("provider", "has enabled KSN" if status.enabled else "has not enabled KSN"),
        ("type", type_word(status.type)),
        ("mode limit", mode_word(status.mode_limit)),
        ("service", status.service),
        (
            "answers",
            "shared by those who take part" if status.shared_between_tenants else "each tenant's own",
        ),
        ("documents", "allowed, of tenants that allow it too" if status.documents_allowed else "never leave"),
        ("locked", ", ".join(status.locked) or "nothing"),
    ]
    if not status.enabled:
        return rows
    service: list[tuple[str, object]] = [
        ("takes", ", ".join(status.takes)),
        ("breaker", status.breaker),
        ("quota", quota),
    ]
    return [*rows, *service, *(("not sent", f"{notice.call}: {notice.said}") for notice in status.notices)]


def _status_dict(tenant: str, status: admin_pb2.GetKsnStatusReply) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "participation": participation_dict(status.participation),
        "enabled": status.enabled,
        "type": type_word(status.type),
        "mode_limit": mode_word(status.mode_limit),
        "service": status.service,
        "shared_between_tenants": status.shared_between_tenants,
        "documents_allowed": status.documents_allowed,
        "locked": list(status.locked),
        "breaker": status.breaker or None,
        "quota_left": status.quota_left if status.HasField("quota_left") else None,
        "takes": list(status.takes),
        "not_sent": [{"call": notice.call, "said": notice.said} for notice in status.notices],
    }


def _check(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        checks = client.check_ksn(args.tenant).checks
    rows = [(check.what, "good" if check.good else "NOT GOOD", check.said) for check in checks]
    console.say(*table(("tried", "result", "said"), rows))
    return DONE if checks and all(check.good for check in checks) else NO


def _look_up(args: argparse.Namespace, console: Console) -> int:
    is_url = "://" in args.subject
    digest = b"" if is_url else _digest(args.subject)
    with console.client(args) as client:
        if is_url:
            reply = client.look_up_url(args.tenant, args.subject)
        else:
            reply = client.look_up(args.tenant, digest)
    if not reply.zone:
        raise CommandError(f"{reply.why_not or 'KSN gave no answer'}; `svm ksn check` tries it step by step")
    outcome = verdict_pb2.Outcome.DESCRIPTOR.values_by_number.get(reply.outcome)
    means = outcome.name.removeprefix("OUTCOME_") if outcome and reply.outcome else ""
    about, _, of = reply.asked.partition(" ")
    nothing = "nothing is known of it" if is_url else "nothing: the content is scanned here"
    rows = [
        (about, of) if is_url else ("digest", digest.hex()),
        ("zone", reply.zone),
        ("means", means or nothing),
        ("threat", reply.threat),
        ("program", reply.program),
        ("category", reply.category),
    ]
    console.say(*pairs((name, value) for name, value in rows if value))
    return DONE


def _digest(subject: str) -> bytes:
    """Return a digest as it is written, or that of a file. A digest wins over a file of that name."""
    try:
        return parse_digest(subject)
    except BadDigest:
        return file_digest(Path(subject))
