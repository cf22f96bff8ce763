"""What `guest-stub doctor` says of who this guest is: there, its owner's alone, and in force, or not."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from guest_stub.cli.identity import moment
from guest_stub.cli.setup import Setup
from guest_stub.identity.kept import Identity
from guest_stub.identity.machine import machine
from guest_stub.identity.store import IdentityRefused
from guest_stub.svm_link.refusals import ANEW
from guest_stub.svm_link.target import NOT_ENROLLED, host_and_port

_GRACE_SECONDS = 86_400.0  # for a renewal that is due: as long it may have had no SVM, or waited for its turn


class Finding(NamedTuple):
    """One line. good: None where it is neither good nor bad."""

    what: str
    good: bool | None
    said: str


def identity_findings(setup: Setup) -> Iterator[Finding]:
    """Look at the files and at the clock. That the SVM lets this guest in is another line."""
    over_tcp = bool(host_and_port(setup.svm))
    try:
        known = setup.identity.read()
    except IdentityRefused as problem:
        yield Finding("identity", False, str(problem))
        return
    if known is None:
        why = NOT_ENROLLED if over_tcp else "not enrolled, which is not needed on a unix socket"
        yield Finding("identity", False if over_tcp else None, why)
        return
    yield Finding("identity", True, f"guest {known.guest} of tenant {known.tenant}")
    if not over_tcp:
        why = f"the SVM is reached by {setup.svm}, where the certificate is not used"
        yield Finding("certificate", None, why)
        return
    yield _certificate(known, time.time())
    if not machine():
        why = "this machine has no /etc/machine-id: run systemd-machine-id-setup, or it cannot be renewed"
        yield Finding("machine", False, why)


def _certificate(known: Identity, now: float) -> Finding:
    if now >= known.ends:
        return Finding("certificate", False, f"it has run out on {moment(known.ends)}: {ANEW}")
    if now < known.begins:
        why = (
            f"it counts from {moment(known.begins)}, and this guest's clock says {moment(now)}: set the clock"
        )
        return Finding("certificate", False, why)
    if now > known.renew_at + _GRACE_SECONDS:
        why = f"it ends on {moment(known.ends)}, and was to be renewed on {moment(known.renew_at)}"
        return Finding("certificate", False, f"{why}: does guest-stub run run? Try guest-stub renew")
    if now >= known.renew_at:
        return Finding(
            "certificate", None, f"it ends on {moment(known.ends)}, and is renewed by guest-stub run now"
        )
    return Finding(
        "certificate", True, f"until {moment(known.ends)}, renewed from {moment(known.renew_at)} on"
    )
