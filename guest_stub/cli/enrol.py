"""`guest-stub enrol`: gets this guest its certificate. `guest-stub renew`: gets it the next one."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable

from guest_stub.cli.identity import moment
from guest_stub.cli.identity_words import token as token_of
from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.identity.enrolling import Machine, Place, enrol_by_host, enrol_guest, renew_guest
from guest_stub.identity.host_offer import Offer, ask
from guest_stub.identity.kept import Identity
from guest_stub.identity.machine import hardware
from guest_stub.identity.port import Ports
from guest_stub.svm_link.target import IdentityProblem

_MOST_BYTES = 4096  # of a file with a token


async def enrol(options: Namespace, setup: Setup, say: Callable[[str], None]) -> int:
    """Enrol; 0. Raises IdentityProblem, SvmUnreachable, OSError."""
    identity, is_new = await (_by_host(options, setup) if options.from_host else _by_token(options, setup))
    how = "enrolled" if is_new else "was enrolled by this token before"
    say(f"{how}: guest {identity.guest} of tenant {printable(identity.tenant)}")
    say(f"svm: {identity.svm}")
    if not is_new:
        say("nothing was asked: `guest-stub status` tells whether that still counts")
    if setup.is_svm_set:
        say(
            f"note: the settings say svm = {printable(setup.svm)}, and that counts: take it out, or change it"
        )
    if is_new:
        say("a `guest-stub run` that is running notices when it next connects")
    return 0


async def _by_token(options: Namespace, setup: Setup) -> tuple[Identity, bool]:
    """Who this guest is by now, and whether that is news."""
    if options.place is None or options.ca_fingerprint is None:
        raise IdentityProblem(
            "give --svm and --ca-fingerprint with the token, as `svm guests token` has printed them all"
        )
    host, port = options.place
    place = Place(host, port, options.enrolment_port, options.ca_fingerprint)
    token = options.token or _read(options.token_file)
    return await enrol_guest(setup.identity, place, token, _machine(setup))


async def _by_host(options: Namespace, setup: Setup) -> tuple[Identity, bool]:
    """The same; news each time."""
    if options.place is not None or options.ca_fingerprint is not None:
        raise IdentityProblem("--from-host goes without --svm and --ca-fingerprint: the host says them")

    def asks(key_sha256: bytes) -> Offer:
        return ask(Ports(), key_sha256, options.wait)

    return await enrol_by_host(setup.identity, asks, _machine(setup), hardware()), True


def _machine(setup: Setup) -> Machine:
    return Machine(setup.labels.machine, setup.labels.host_name)


async def renew(options: Namespace, setup: Setup, say: Callable[[str], None]) -> int:
    """Renew, if it is time; 0. Raises IdentityProblem, SvmUnreachable."""
    identity, is_new = await renew_guest(setup.identity, setup.svm, _machine(setup), options.now)
    if is_new:
        say(f"renewed: until {moment(identity.ends)}")
    else:
        say(f"not due before {moment(identity.renew_at)}: --now renews it all the same")
    return 0


def _read(file: str) -> str:
    """The token that stands in a file. Raises IdentityProblem, OSError."""
    if file == "-":
        said = sys.stdin.buffer.read(_MOST_BYTES + 1)
    else:
        with open(file, "rb") as opened:
            said = opened.read(_MOST_BYTES + 1)
    try:
        return token_of(said.decode("ascii", "replace") if len(said) <= _MOST_BYTES else "")
    except argparse.ArgumentTypeError as problem:
        raise IdentityProblem(f"{'the standard input' if file == '-' else file}: {problem}") from problem
