"""`guest-stub identity`: who this guest is to its SVM, and until when."""

import json
import time
from collections.abc import Callable

from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.identity.kept import Identity
from guest_stub.svm_link.target import NOT_ENROLLED, NotEnrolled


def identity(setup: Setup, as_json: bool, say: Callable[[str], None]) -> int:
    """Say it in lines "name: value", or as one JSON object; 0. Raises NotEnrolled."""
    known = setup.identity.read()
    if known is None:
        raise NotEnrolled(NOT_ENROLLED)
    for line in [_json(known)] if as_json else _lines(known):
        say(line)
    return 0


def moment(seconds: float) -> str:
    """A time as people read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _lines(known: Identity) -> list[str]:
    over = ": it has run out: enrol anew" if time.time() > known.ends else ""
    return [
        f"guest: {known.guest}",
        f"tenant: {printable(known.tenant)}",
        f"svm: {printable(known.svm)}",
        f"ca fingerprint: {known.fingerprint}",
        f"ends: {moment(known.ends)}{over}",
        f"renew at: {moment(known.renew_at)}",
    ]


def _json(known: Identity) -> str:
    return json.dumps(
        {
            "type": "identity",
            "guest": known.guest,
            "tenant": known.tenant,
            "svm": known.svm,
            "ca_fingerprint": known.fingerprint,
            "begins": int(known.begins),
            "ends": int(known.ends),
            "renew_at": int(known.renew_at),
        }
    )
