"""What a test wants to know of descriptors that are left open."""

import gc
import os
from contextlib import suppress
from pathlib import Path


def open_descriptors() -> int:
    """How many this process has; what earlier tests left to the garbage collector is not counted.

    What they left to threads of gRPC may close at any time: compare by `<=`.
    """
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def processes_that_hold(file: Path) -> set[int]:
    """Living processes of the whole machine that have a file open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink() == file:
                found.add(int(link.parts[2]))
    return found
