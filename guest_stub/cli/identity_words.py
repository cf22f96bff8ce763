"""The words of `guest-stub enrol`, `identity` and `renew`."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from guest_stub.identity.pinning import fingerprint_of

GUESTS_PORT, ENROLMENT_PORT = 7443, 7444
MAX_TOKEN_BYTES = 128
_ENROL = """\
The key is made in this guest and never leaves it. The SVM's authority is known by its fingerprint, which `svm
init` has printed; then the token is exchanged for a certificate. A token stands in the list of processes
while this runs: to keep it out of there give --token-file, with - for the standard input. --svm and
--ca-fingerprint go with a token; --from-host needs neither: the host of this virtual machine knows which it
is, and hands it a token of its own on a port that it has plugged. guest-stub run does that by itself.

exit codes:
  0  this guest is enrolled
  2  it is not, and what it was before it still is
"""
_TOKEN = re.compile(r"[0-9A-Za-z_.~+/=-]+")
_BRACKETS = re.compile(r"\[([^\[\]]+)\](?::(\d{1,5}))?")
_PLAIN = re.compile(r"([^:\[\]/\s]+)(?::(\d{1,5}))?")

Add = Callable[[argparse.ArgumentParser], None]


def add_identity(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", add_common: Add) -> None:
    """Add the three."""
    raw = argparse.RawDescriptionHelpFormatter
    enrol = commands.add_parser(
        "enrol",
        help="get this guest's certificate from an SVM, by a token or by this machine's host",
        formatter_class=raw,
        epilog=_ENROL,
    )
    enrol.add_argument(
        "--svm", dest="place", type=host_and_port, metavar="HOST[:PORT]",
        help=f"the SVM, and the port where guests ask it (default {GUESTS_PORT})",
    )  # fmt: skip
    enrol.add_argument(
        "--enrolment-port", type=port, default=ENROLMENT_PORT, metavar="PORT",
        help=f"the port where guests enrol (default {ENROLMENT_PORT})",
    )  # fmt: skip
    by = enrol.add_mutually_exclusive_group(required=True)
    by.add_argument("--token", type=token, metavar="TOKEN", help="as `svm guests token` has printed it")
    by.add_argument("--token-file", metavar="FILE", help="it stands in a file; - for the standard input")
    by.add_argument(
        "--from-host", action="store_true", help="this machine's host hands out all of it (svm-host enrol)"
    )
    enrol.add_argument(
        "--wait", type=seconds, default=60.0, metavar="SECONDS",
        help="for what the host hands out (default 60)",
    )  # fmt: skip
    enrol.add_argument(
        "--ca-fingerprint", type=fingerprint, metavar="SHA256",
        help="of the certificate of the SVM's authority: 64 hexadecimal digits",
    )  # fmt: skip
    _add_places(enrol)
    shown = commands.add_parser(
        "identity", help="who this guest is to its SVM", formatter_class=raw,
        epilog="exit codes:\n  0  it is enrolled\n  2  it is not, or that cannot be read",
    )  # fmt: skip
    shown.add_argument("--json", action="store_true", help="one JSON object")
    _add_places(shown)
    renew = commands.add_parser(
        "renew", help="get the next certificate: guest-stub run does it by itself", formatter_class=raw,
        epilog="exit codes:\n  0  it was renewed, or it is too early for that\n  2  it was not",
    )  # fmt: skip
    renew.add_argument("--now", action="store_true", help="also before it is due")
    add_common(renew)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(svm=None)
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the identity is kept, among others")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, instead of those in /etc")


def host_and_port(text: str) -> tuple[str, int]:
    """What a text such as "svm", "10.0.0.1:7443" or "[::1]:7443" names; raises ArgumentTypeError."""
    plain = text.strip().removeprefix("tcp:")
    match = _BRACKETS.fullmatch(plain) or _PLAIN.fullmatch(plain)
    if match is None and plain.count(":") > 1 and re.fullmatch(r"[0-9A-Fa-f:.]+", plain):
        return plain, GUESTS_PORT
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no SVM: write HOST, HOST:PORT or [ADDRESS]:PORT")
    return match[1], port(match[2]) if match[2] else GUESTS_PORT


def port(text: str) -> int:
    """A port; raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number from 1 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """Up to an hour; raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 3600):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time to wait: write a number of seconds from 1 to 3600"
        )
    return float(text)


def token(text: str) -> str:
    """A token, without what surrounds it; raises ArgumentTypeError, which does not repeat it."""
    inner = text.strip()
    if not (_TOKEN.fullmatch(inner) and len(inner) <= MAX_TOKEN_BYTES):
        raise argparse.ArgumentTypeError(
            f"this is no token: it is one word of at most {MAX_TOKEN_BYTES} letters and digits, as "
            "`svm guests token` has printed it"
        )
    return inner


def fingerprint(text: str) -> bytes:
    """32 bytes; raises ArgumentTypeError."""
    try:
        return fingerprint_of(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
