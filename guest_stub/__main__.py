"""`guest-stub`, or `python -m guest_stub`: runs a command, turns what went wrong into one line and a code."""

import asyncio
import os
import sys

from guest_stub.cli.arguments import parse
from guest_stub.cli.scan import Streams, scan
from guest_stub.cli.setup import prepare
from guest_stub.cli.status import status
from guest_stub.config import ConfigError
from guest_stub.console import printable
from guest_stub.decisions import StateRefused
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.tally import Uncounted


def main() -> int:
    """Run the command of sys.argv; the exit code."""
    options = parse(sys.argv[1:])
    try:
        setup = prepare(options, os.environ)
        if options.command == "status":
            return asyncio.run(status(setup, print))
        return asyncio.run(scan(options, setup, Streams(sys.stdout, sys.stderr)))
    except (ConfigError, StateRefused, SvmUnreachable, Uncounted, OSError) as problem:
        print(f"guest-stub: {printable(str(problem))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("guest-stub: interrupted", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
