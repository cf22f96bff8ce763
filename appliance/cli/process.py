"""A program of the appliance as a process: its arguments, environment, streams and exit code."""

import os
import sys
import time
from collections.abc import Callable, Sequence

from appliance.cli.console import Console, print_what_there_is


def run_process(program: str, run: Callable[[Sequence[str], Console], int]) -> int:
    """Run a program with this process's arguments, environment and streams; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        print_what_there_is(stream)
    code = run(sys.argv[1:], Console(os.environ, sys.stdout, sys.stderr, time.time, program=program))
    try:
        sys.stdout.flush()
    except OSError:
        # Told already. Python writes out what it still holds when it ends, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
