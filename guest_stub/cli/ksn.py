"""`guest-stub ksn`: whether the Kaspersky Security Network is used for this guest, and how."""

import json
from collections.abc import Callable

from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.svm_link.ksn import ask_ksn
from guest_stub.svm_link.values import UNKNOWN, KsnReason, KsnUse

_SECONDS = 5.0
_NEWER = "unknown: the SVM is newer than this guest-stub"

_STATES = {
    "enabled": "enabled",
    "restricted": "enabled with restrictions",
    "off": "off: nothing is sent",
    UNKNOWN: _NEWER,
}
_TYPES = {
    "global": "global: hosted by its vendor",
    "private": "private: in your network, or at a service provider",
    UNKNOWN: _NEWER,
}
_MODES = {
    "standard": "standard: digests and addresses that are asked about, and usage statistics",
    "extended": "extended: also files and parts of files, as the Statement lists them",
    UNKNOWN: _NEWER,
}


async def ksn(setup: Setup, as_json: bool, say: Callable[[str], None]) -> int:
    """Say it in lines "name: value", or as one JSON object; 0. Raises SvmUnreachable without an answer."""
    use = await ask_ksn(setup.target, _SECONDS)
    for line in [_json(setup.svm, use)] if as_json else _lines(setup.svm, use):
        say(line)
    return 0


def _lines(svm: str, use: KsnUse) -> list[str]:
    lines = [f"svm: {printable(svm)}", f"ksn: {_STATES[use.state]}"]
    lines += [f"type: {_TYPES[use.type]}"] if use.type else []
    lines += [f"mode: {_MODES[use.mode]}"] if use.mode else []
    lines.append(f"statement: {_statement(use)}")
    return lines + [f"reason: {_reason(reason)}" for reason in use.reasons]


def _statement(use: KsnUse) -> str:
    accepted = f"version {use.statement_accepted} accepted" if use.statement_accepted else "none accepted"
    return f"{accepted}, version {use.statement_in_force} in force" if use.statement_in_force else accepted


def _reason(reason: KsnReason) -> str:
    """The SVM's sentence; where it has none the word, which is this stub's own."""
    return printable(reason.sentence) or reason.word


def _json(svm: str, use: KsnUse) -> str:
    return json.dumps(
        {
            "type": "ksn",
            "svm": svm,
            "state": use.state,
            "ksn_type": use.type or None,
            "ksn_mode": use.mode or None,
            "reasons": [reason._asdict() for reason in use.reasons],
            "statement_accepted": use.statement_accepted,
            "statement_in_force": use.statement_in_force,
        }
    )
