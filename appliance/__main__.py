"""The program `svm`."""

import os
import sys
import time

from appliance.cli.console import Console, print_what_there_is
from appliance.cli.program import run


def main() -> int:
    """Run `svm` with this process's arguments, environment and streams; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        print_what_there_is(stream)
    code = run(sys.argv[1:], Console(os.environ, sys.stdout, sys.stderr, time.time))
    try:
        sys.stdout.flush()
    except OSError:
        # Told already. Python writes out what it still holds when it ends, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
