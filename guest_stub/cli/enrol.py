"""`guest-stub enrol`: gets this guest its certificate. `guest-stub renew`: gets it the next one."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable

from guest_stub.cli.identity import moment
from guest_stub.cli.identity_words import token as token_of
from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.identity.enrolling import Machine, Place, enrol_guest, renew_guest
from guest_stub.svm_link.target import IdentityProblem

_MOST_BYTES = 4096  # of a file with a token


async def enrol(options: Namespace, setup: Setup, say: Callable[[str], None]) -> int:
    """Enrol; 0. Raises IdentityProblem, SvmUnreachable, OSError."""
    host, port = options.place
    place = Place(host, port, options.enrolment_port, options.ca_fingerprint)
    token = options.token or _read(options.token_file)
    machine = Machine(setup.labels.machine, setup.labels.host_name)
    identity = await enrol_guest(setup.identity, place, token, machine)
    say(f"enrolled: guest {identity.guest} of tenant {printable(identity.tenant)}")
    say(f"svm: {identity.svm}")
    if setup.is_svm_set:
        say(
            f"note: the settings say svm = {printable(setup.svm)}, and that counts: take it out, or change it"
        )
    say("If guest-stub run runs already, start it anew: systemctl restart guest-stub")
    return 0


async def renew(options: Namespace, setup: Setup, say: Callable[[str], None]) -> int:
    """Renew, if it is time; 0. Raises IdentityProblem, SvmUnreachable."""
    machine = Machine(setup.labels.machine, setup.labels.host_name)
    identity, is_new = await renew_guest(setup.identity, setup.svm, machine, options.now)
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
