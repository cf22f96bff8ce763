"""svm verdicts show|set|clear|exposure: what is known of a digest, and an administrator's word."""

import argparse
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.cli import exposure
from appliance.cli.console import (
    DONE,
    NO,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    pairs,
    plain,
)
from appliance.cli.ksn_words import tenant_name
from appliance.cli.times import iso, parse_expiry, shown
from appliance.domain.digest import parse_digest

_DESCRIPTION = """Shows what the SVM knows of a file, and sets an administrator's word over it.

A DIGEST is the SHA-256 of the file's content in hexadecimal, as `sha256sum FILE` prints it.
An override is answered to every guest, or to those of one tenant, whatever engines say, until it
expires or is cleared; the provider's, which is for every guest, wins. Who administers one tenant
sees and sets what is its own.
Every change is in the audit (`svm audit`), with who made it and why."""

_SHOW_EPILOG = f"""example:
  svm verdicts show $(sha256sum < setup.exe | cut -d' ' -f1)

{exit_codes("nobody knows the digest")}"""

_SET_EPILOG = f"""examples:
  svm verdicts set DIGEST --allow --reason "our own installer, ticket 4711" --expires 30d
  svm verdicts set DIGEST --block --reason "seen in the incident of May" --expires 2030-01-31T12:00Z

{exit_codes()}"""

_CLEAR_EPILOG = f"""example:
  svm verdicts clear DIGEST --reason "false positive is fixed upstream"

{exit_codes("there was neither an override nor a verdict")}"""


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser(
        "verdicts", help="what is known of a file; overrides", description=_DESCRIPTION
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_set(verbs)
    exposure.add(verbs)
    show = _add_verb(verbs, "show", "what is known of a digest", _SHOW_EPILOG)
    show.add_argument("digest", metavar="DIGEST")
    show.set_defaults(run=_show)
    clear = _add_verb(verbs, "clear", "end an override, forget a verdict", _CLEAR_EPILOG)
    clear.add_argument("digest", metavar="DIGEST")
    clear.add_argument("--reason", metavar="TEXT", default="", help="why, for the audit")
    clear.set_defaults(run=_clear)


def _add_set(verbs: Any) -> None:
    parser = _add_verb(verbs, "set", "allow or block a digest", _SET_EPILOG)
    parser.add_argument("digest", metavar="DIGEST")
    word = parser.add_mutually_exclusive_group(required=True)
    word.add_argument("--allow", action="store_true", help="answer CLEAN")
    word.add_argument("--block", action="store_true", help="answer MALICIOUS")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the audit")
    parser.add_argument("--expires", metavar="WHEN", help="90m, 12h, 30d, 2w, or an ISO time (no end)")
    parser.set_defaults(run=_set)


def _add_verb(verbs: Any, name: str, does: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    parser.add_argument("--tenant", metavar="T", type=tenant_name, help="of this tenant alone")
    add_json_argument(parser)
    add_socket_arguments(parser)
    return parser


def _show(args: argparse.Namespace, console: Console) -> int:
    digest = parse_digest(args.digest)
    with console.client(args) as client:
        reply = client.verdict(digest, args.tenant or "")
    if args.json:
        console.say_json(_reply_dict(digest, reply))
    else:
        console.say(*_reply_text(digest, reply))
    return DONE if reply.known else NO


def _set(args: argparse.Namespace, console: Console) -> int:
    digest = parse_digest(args.digest)
    request = admin_pb2.SetOverrideRequest(
        sha256=digest, allow=args.allow, reason=_utf8(args.reason), tenant=args.tenant or ""
    )
    if args.expires is not None:
        request.expires.CopyFrom(Timestamp(seconds=parse_expiry(args.expires, console.clock())))
    with console.client(args) as client:
        override = client.set_override(request)
    if args.json:
        console.say_json({"digest": digest.hex(), "override": _override_dict(override)})
    else:
        console.say(f"{digest.hex()} is {_override_text(override)}")
    return DONE


def _clear(args: argparse.Namespace, console: Console) -> int:
    digest = parse_digest(args.digest)
    with console.client(args) as client:
        cleared = client.clear(digest, _utf8(args.reason), args.tenant or "")
    if args.json:
        console.say_json({"digest": digest.hex(), "cleared": cleared})
    else:
        console.say(f"{digest.hex()}: {'cleared' if cleared else 'there was nothing to clear'}")
    return DONE if cleared else NO


def _utf8(text: str) -> str:
    """Return a text of the command line, or raise CommandError for bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CommandError("the reason is not UTF-8: give it in UTF-8, as the SVM keeps it") from error
    return text


def _reply_text(digest: bytes, reply: admin_pb2.GetVerdictReply) -> list[str]:
    lines = [digest.hex()]
    if reply.HasField("override"):
        lines.append(f"  override: {_override_text(reply.override)}")
    if reply.HasField("verdict"):
        verdict = reply.verdict
        lines += [f"  {line}" for line in pairs(_verdict_pairs(verdict))]
    elif not reply.known:
        lines.append("  nobody knows it")
    return lines


def _verdict_pairs(verdict: admin_pb2.StoredVerdict) -> list[tuple[str, object]]:
    detail = verdict.detail
    by_engine = detail.source == verdict_pb2.SOURCE_ENGINE
    state = "current" if verdict.current else "of other signatures than those in use: it is scanned anew"
    rows = [
        ("verdict", _outcome(verdict.outcome)),
        ("threat", detail.threat),
        ("inside", detail.member),
        ("engine", detail.engine),
        ("category", detail.category),
        ("source", _source(detail.source)),
        ("generation", f"{verdict.generation:016x}, {state}" if by_engine else ""),
        ("counts", "" if by_engine or verdict.current else "no: changes at KSN were missed since"),
        ("stored", f"{shown(verdict.stored.seconds)}, to the hour"),
        ("expires", shown(verdict.expires.seconds) if verdict.HasField("expires") else ""),
        ("scope", _scope(verdict)),
    ]
    return [(name, value) for name, value in rows if value]


def _scope(verdict: admin_pb2.StoredVerdict) -> str:
    if not verdict.scope:
        return "public"
    return f"{verdict.scope}, tenant {verdict.tenant}" if verdict.tenant else str(verdict.scope)


def _override_text(override: admin_pb2.Override) -> str:
    word = "allowed" if override.allow else "blocked"
    word += f" for tenant {override.tenant}" if override.tenant else ""
    end = f"until {shown(override.expires.seconds)}" if override.HasField("expires") else "without end"
    why = f": {override.reason}" if override.reason else ""
    return plain(f"{word} {end} by {override.author} on {shown(override.set.seconds)}{why}")


def _reply_dict(digest: bytes, reply: admin_pb2.GetVerdictReply) -> dict[str, Any]:
    return {
        "digest": digest.hex(),
        "known": reply.known,
        "verdict": _verdict_dict(reply.verdict) if reply.HasField("verdict") else None,
        "override": _override_dict(reply.override) if reply.HasField("override") else None,
    }


def _verdict_dict(verdict: admin_pb2.StoredVerdict) -> dict[str, Any]:
    return {
        "outcome": _outcome(verdict.outcome),
        "threat": verdict.detail.threat,
        "member": verdict.detail.member,
        "engine": verdict.detail.engine,
        "category": verdict.detail.category,
        "source": _source(verdict.detail.source),
        "generation": f"{verdict.generation:016x}",
        "current": verdict.current,
        "stored": iso(verdict.stored.seconds),
        "expires": _end(verdict),
        "scope": verdict.scope,
        "tenant": verdict.tenant or None,
    }


def _override_dict(override: admin_pb2.Override) -> dict[str, Any]:
    return {
        "action": "allow" if override.allow else "block",
        "reason": override.reason,
        "author": override.author,
        "set": iso(override.set.seconds),
        "expires": _end(override),
        "tenant": override.tenant or None,
    }


def _end(message: admin_pb2.StoredVerdict | admin_pb2.Override) -> str | None:
    """Return when it ends, None where it has no end."""
    return iso(message.expires.seconds) if message.HasField("expires") else None


def _outcome(number: verdict_pb2.Outcome.ValueType) -> str:
    """Return "NOT_DETECTED" for that outcome, and the bare number of one that this program does not know."""
    value = verdict_pb2.Outcome.DESCRIPTOR.values_by_number.get(number)
    return value.name.removeprefix("OUTCOME_") if value else str(number)


def _source(number: verdict_pb2.Source.ValueType) -> str:
    """Return "ENGINE" for that source, as _outcome does."""
    value = verdict_pb2.Source.DESCRIPTOR.values_by_number.get(number)
    return value.name.removeprefix("SOURCE_") if value else str(number)
