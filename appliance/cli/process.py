"""A program of the appliance as a process: its arguments, environment, streams and exit code."""

import os
import sys
import time
from collections.abc import Callable, Sequence

from appliance.cli.console import FAILED, Console, print_what_there_is


def run_process(program: str, run: Callable[[Sequence[str], Console], int]) -> int:
    """Run a program with this process's arguments, environment and streams; return the exit code.

    What it does not catch is FAILED too, behind a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        print_what_there_is(stream)
    console = Console(os.environ, sys.stdout, sys.stderr, time.time, program=program)
    try:
        code = run(sys.argv[1:], console)
    except Exception:
        # Python would end with 1, which is an answer: that something was found, or is not so.
        console.complain_of_fault("it could not do its work")
        code = FAILED
    try:
        sys.stdout.flush()
    except OSError:
        # Told already. Python writes out what it still holds when it ends, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
