"""The program `private-ksn`."""

import os
import sys
import time

from appliance.private_ksn.console import Console
from appliance.private_ksn.program import run


def main() -> int:
    """Run `private-ksn` with this process's arguments and streams; return the exit code."""
    code = run(sys.argv[1:], Console(sys.stdout, sys.stderr, time.time))
    try:
        sys.stdout.flush()
    except OSError:
        # Told already. Python writes out what it still holds when it ends, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
