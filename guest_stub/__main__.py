"""`guest-stub`, or `python -m guest_stub`: runs a command, turns what went wrong into one line and a code."""

import guest_stub.lean  # noqa: F401 - before what would load what it leaves out

# isort: split
import asyncio
import gc
import os
import sys
from argparse import Namespace
from functools import partial

from guest_stub.cli.arguments import parse
from guest_stub.cli.check_url import check_url
from guest_stub.cli.doctor import doctor
from guest_stub.cli.ksn import ksn
from guest_stub.cli.quarantine import Says, quarantine
from guest_stub.cli.run import run
from guest_stub.cli.scan import Streams, scan
from guest_stub.cli.setup import Setup, prepare
from guest_stub.cli.status import status
from guest_stub.config import ConfigError
from guest_stub.console import printable
from guest_stub.decisions import StateRefused
from guest_stub.on_access.fanotify import FanotifyUnavailable
from guest_stub.remediation.done import Refused
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.tally import Uncounted

_ALLOCATIONS_TO_A_COLLECTION = 20_000  # objects that may be garbage in a circle: a few MB at most


def main() -> int:
    """Run the command of sys.argv; the exit code."""
    options = parse(sys.argv[1:])
    spare_the_collector()
    try:
        setup = prepare(options, os.environ)
        if options.command == "quarantine":
            return quarantine(options, setup, Says(print, partial(print, file=sys.stderr)))
        return asyncio.run(_command(options, setup))
    except (
        ConfigError,
        FanotifyUnavailable,
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


async def _command(options: Namespace, setup: Setup) -> int:
    match options.command:
        case "status":
            return await status(setup, print)
        case "doctor":
            return await doctor(setup, print)
        case "run":
            return await run(options, setup)
        case "ksn":
            return await ksn(setup, options.json, print)
        case "check-url":
            return await check_url(setup, options.urls, options.json, print)
        case _:
            return await scan(options, setup, Streams(sys.stdout, sys.stderr))


def spare_the_collector() -> None:
    """Have the collector look rarely, and never at what is loaded by now, of which nothing is let go of.

    What a scan lets go of, thousands of objects a second, is freed without it; it costs a scan some 5 %.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_TO_A_COLLECTION)


if __name__ == "__main__":
    sys.exit(main())
