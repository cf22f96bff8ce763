"""`guest-stub`, or `python -m guest_stub`: runs a command, turns what went wrong into one line and a code."""

import asyncio
import gc
import os
import sys

from guest_stub.cli.arguments import parse
from guest_stub.cli.check_url import check_url
from guest_stub.cli.ksn import ksn
from guest_stub.cli.scan import Streams, scan
from guest_stub.cli.setup import prepare
from guest_stub.cli.status import status
from guest_stub.config import ConfigError
from guest_stub.console import printable
from guest_stub.decisions import StateRefused
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.tally import Uncounted

_ALLOCATIONS_TO_A_COLLECTION = 20_000  # objects that may be garbage in a circle: a few MB at most


def main() -> int:
    """Run the command of sys.argv; the exit code."""
    options = parse(sys.argv[1:])
    spare_the_collector()
    try:
        setup = prepare(options, os.environ)
        if options.command == "status":
            return asyncio.run(status(setup, print))
        if options.command == "ksn":
            return asyncio.run(ksn(setup, options.json, print))
        if options.command == "check-url":
            return asyncio.run(check_url(setup, options.urls, options.json, print))
        return asyncio.run(scan(options, setup, Streams(sys.stdout, sys.stderr)))
    except (ConfigError, StateRefused, SvmUnreachable, Uncounted, OSError) as problem:
        print(f"guest-stub: {printable(str(problem))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("guest-stub: interrupted", file=sys.stderr)
    return 2


def spare_the_collector() -> None:
    """Have the collector look rarely, and never at what is loaded by now, of which nothing is let go of.

    What a scan lets go of, thousands of objects a second, is freed without it; it costs a scan some 5 %.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_TO_A_COLLECTION)


if __name__ == "__main__":
    sys.exit(main())
