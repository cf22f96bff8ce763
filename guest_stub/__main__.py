"""`guest-stub`, or `python -m guest_stub`: runs a command, turns what went wrong into one line and a code."""

import guest_stub.lean  # noqa: F401 - before what would load what it leaves out

# isort: split
import asyncio
import gc
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine
from functools import partial

from guest_stub.cli.arguments import parse
from guest_stub.cli.setup import Setup, prepare
from guest_stub.config import ConfigError
from guest_stub.console import printable
from guest_stub.decisions import StateRefused
from guest_stub.on_access.fanotify import FanotifyUnavailable
from guest_stub.remediation.done import Refused
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.target import IdentityProblem
from guest_stub.tally import Uncounted

_ALLOCATIONS_TO_A_COLLECTION = 20_000  # objects that may be garbage in a circle: a few MB at most


def main() -> int:
    """Run the command of sys.argv; the exit code."""
    options = parse(sys.argv[1:])
    run = _of_this_guest(options) or _on_a_loop(options)
    if options.command == "run":
        gc.collect()  # what has read the command line, which would else stay for as long as the daemon
    spare_the_collector()
    try:
        setup = prepare(options, os.environ)
        return run(setup)
    except (
        ConfigError,
        FanotifyUnavailable,
        IdentityProblem,
        Refused,
        StateRefused,
        SvmUnreachable,
        Uncounted,
        OSError,
    ) as problem:
        print(f"guest-stub: {printable(str(problem))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("guest-stub: interrupted", file=sys.stderr)
    return 2


def _of_this_guest(options: Namespace) -> Callable[[Setup], int] | None:
    """What runs a command about this guest itself; None for the others."""
    match options.command:
        case "quarantine":
            from guest_stub.cli.quarantine import Says, quarantine  # noqa: PLC0415

            return lambda setup: quarantine(options, setup, Says(print, partial(print, file=sys.stderr)))
        case "identity":
            from guest_stub.cli.identity import identity  # noqa: PLC0415

            return lambda setup: identity(setup, options.json, print)
        case "enrol" | "renew":
            from guest_stub.cli.enrol import enrol, renew  # noqa: PLC0415

            command = enrol if options.command == "enrol" else renew
            return lambda setup: asyncio.run(command(options, setup, print))
        case _:
            return None


def _on_a_loop(options: Namespace) -> Callable[[Setup], int]:
    command = _command(options)
    return lambda setup: asyncio.run(command(setup))


def _command(options: Namespace) -> Callable[[Setup], Coroutine[None, None, int]]:
    """What runs a command. No other's modules are imported: the daemon is to stay small."""
    match options.command:
        case "status":
            from guest_stub.cli.status import status  # noqa: PLC0415

            return lambda setup: status(setup, print)
        case "doctor":
            from guest_stub.cli.doctor import doctor  # noqa: PLC0415

            return lambda setup: doctor(setup, print)
        case "run":
            from guest_stub.cli.run import run  # noqa: PLC0415

            return lambda setup: run(options, setup)
        case "ksn":
            from guest_stub.cli.ksn import ksn  # noqa: PLC0415

            return lambda setup: ksn(setup, options.json, print)
        case "check-url":
            from guest_stub.cli.check_url import check_url  # noqa: PLC0415

            return lambda setup: check_url(setup, options.urls, options.json, print)
        case _:
            from guest_stub.cli.scan import Streams, scan  # noqa: PLC0415

            return lambda setup: scan(options, setup, Streams(sys.stdout, sys.stderr))


def spare_the_collector() -> None:
    """Have the collector look rarely, and never at what is loaded by now, of which nothing is let go of.

    What a scan lets go of, thousands of objects a second, is freed without it; it costs a scan some 5 %.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_TO_A_COLLECTION)


if __name__ == "__main__":
    sys.exit(main())
