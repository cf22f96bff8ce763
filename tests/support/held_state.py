"""An LMDB file that another process writes to for as long as a test wants: whoever else writes waits."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOLDER = """
import sys, lmdb
with lmdb.open(sys.argv[1], subdir=False, max_dbs=8, map_size=1 << 30) as env:
    with env.begin(write=True) as txn:
        print("held", flush=True)
        sys.stdin.read()
        txn.abort()
"""


@contextmanager
def nobody_can_write(path: Path) -> Iterator[Callable[[], None]]:
    """Hold the file's one write transaction until the function that is given is called, or the body ends."""
    command = [sys.executable, "-c", HOLDER, os.fspath(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.stdin.close
        finally:
            process.stdin.close()
            assert process.wait(30) == 0
