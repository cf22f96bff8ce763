"""Policies and KSN in the words that the `svm policy` and `svm ksn` commands share."""

import argparse
from typing import Any

from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.cli.times import iso, shown
from appliance.domain.policy import DEFAULT_TENANT, TENANT_RULE, is_tenant

TEXT_DIGITS = 16  # of the SHA-256 of a text, so many tell it from all others
HISTORY_HEAD = ("no.", "time", "tenant", "who", "did", "type", "version", "text")

_STATES = {"enabled": "enabled", "restricted": "enabled with restrictions", "off": "off"}


def tenant_name(text: str) -> str:
    """Return a tenant's name, for argparse."""
    if not is_tenant(text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no name of a tenant: {TENANT_RULE}")
    return text


def add_tenant_option(parser: argparse.ArgumentParser) -> None:
    """Enter --tenant."""
    parser.add_argument(
        "--tenant",
        metavar="T",
        type=tenant_name,
        default=DEFAULT_TENANT,
        help=f"on whose behalf ({DEFAULT_TENANT}: guests that nobody assigned to another)",
    )


def type_word(number: int) -> str:
    """Return "global" or "private"; "" for none."""
    return _word(verdict_pb2.KsnType.DESCRIPTOR, number)


def mode_word(number: int) -> str:
    """Return "standard" or "extended"; "" for none."""
    return _word(verdict_pb2.KsnMode.DESCRIPTOR, number)


def settings_words(mode: int, documents: bool) -> str:
    """Return "extended mode, with documents", or "standard mode, no documents"."""
    return f"{mode_word(mode)} mode, {'with' if documents else 'no'} documents"


def state_word(participation: verdict_pb2.KsnParticipation) -> str:
    """Return "enabled", "enabled with restrictions" or "off"."""
    word = _word(verdict_pb2.KsnState.DESCRIPTOR, participation.state)
    return _STATES.get(word, word)


def decision_word(consent: admin_pb2.Consent) -> str:
    """Return "accepted" or "declined"."""
    return "accepted" if consent.decision.accept else "declined"


def participation_pairs(participation: verdict_pb2.KsnParticipation) -> list[tuple[str, object]]:
    """Return how KSN is used, and why not further, as names and values."""
    accepted, in_force = participation.statement_accepted, participation.statement_in_force
    took = f"version {accepted} accepted" if accepted else "not accepted"
    return [
        ("KSN", state_word(participation)),
        *(("because", sentence) for sentence in participation.sentences),
        ("type", type_word(participation.type) or "-"),
        ("mode", mode_word(participation.mode) or "-"),
        ("documents", "leave where a threat is found" if participation.documents else "never leave"),
        ("Statement", f"{took}; version {in_force} is in force" if in_force else took),
    ]


def participation_dict(participation: verdict_pb2.KsnParticipation) -> dict[str, Any]:
    """Return how KSN is used, for programs."""
    reasons = zip(participation.reasons, participation.sentences, strict=False)
    return {
        "state": _word(verdict_pb2.KsnState.DESCRIPTOR, participation.state),
        "type": type_word(participation.type) or None,
        "mode": mode_word(participation.mode) or None,
        "reasons": [
            {"reason": _word(verdict_pb2.KsnReason.DESCRIPTOR, reason), "sentence": sentence}
            for reason, sentence in reasons
        ],
        "statement_accepted": participation.statement_accepted,
        "statement_in_force": participation.statement_in_force,
        "documents": participation.documents,
    }


def policy_pairs(policy: admin_pb2.TenantPolicy) -> list[tuple[str, object]]:
    """Return a policy as names and values."""
    return [
        ("tenant", policy.tenant),
        ("active", "yes" if policy.active else "no"),
        ("wants at most", settings_words(policy.mode, policy.documents)),
        *(
            (
                f"{type_word(consent.decision.type)} KSN",
                f"{decision_word(consent)} version {consent.decision.version} "
                f"on {shown(consent.at.seconds)} by {consent.author}",
            )
            for consent in policy.decided
        ),
        *participation_pairs(policy.participation),
    ]


def policy_dict(policy: admin_pb2.TenantPolicy) -> dict[str, Any]:
    """Return a policy, for programs."""
    return {
        "tenant": policy.tenant,
        "scope": policy.scope,
        "active": policy.active,
        "mode": mode_word(policy.mode),
        "documents": policy.documents,
        "decided": [consent_dict(consent) for consent in policy.decided],
        "participation": participation_dict(policy.participation),
    }


def consent_dict(consent: admin_pb2.Consent) -> dict[str, Any]:
    """Return a decision, for programs."""
    return {
        "number": consent.number,
        "at": iso(consent.at.seconds),
        "tenant": consent.tenant,
        "author": consent.author,
        "decision": "accept" if consent.decision.accept else "decline",
        "type": type_word(consent.decision.type),
        "version": consent.decision.version,
        "sha256": consent.decision.sha256.hex(),
    }


def history_dict(entry: admin_pb2.HistoryEntry) -> dict[str, Any]:
    """Return an entry of the history, for programs."""
    kind = entry.WhichOneof("what")
    if kind == "decision":
        return {"kind": kind, **consent_dict(entry.decision)}
    if kind == "settings":
        change = entry.settings
        return {
            "kind": kind,
            "number": change.number,
            "at": iso(change.at.seconds),
            "tenant": change.tenant,
            "author": change.author,
            "active": change.active,
            "mode": mode_word(change.mode),
            "documents": change.documents,
        }
    return {"kind": "unknown"}  # the SVM is newer than this program


def history_row(entry: admin_pb2.HistoryEntry) -> tuple[object, ...]:
    """Return an entry of the history as cells below HISTORY_HEAD."""
    kind = entry.WhichOneof("what")
    if kind is None:
        return ("-", "-", "-", "-", "what only a newer svm knows: update this one", "-", "-", "-")
    if kind == "decision":
        said = entry.decision
        did = decision_word(said)
        text = said.decision.sha256.hex()[:TEXT_DIGITS]
        about: tuple[object, ...] = (type_word(said.decision.type), said.decision.version, text)
        return (said.number, shown(said.at.seconds), said.tenant, said.author, did, *about)
    change = entry.settings
    settings = settings_words(change.mode, change.documents)
    did = f"set: {'active' if change.active else 'not active'}, {settings}"
    return (change.number, shown(change.at.seconds), change.tenant, change.author, did, "-", "-", "-")


def _word(descriptor: Any, number: int) -> str:
    """Return "quota_spent" for KSN_REASON_QUOTA_SPENT, "" for 0, the bare number of an unknown one."""
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    unspecified: str = descriptor.values_by_number[0].name
    prefix = unspecified.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix).lower() if number else ""
