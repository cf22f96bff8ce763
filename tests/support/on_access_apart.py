"""Real fanotify in tests: in a process, a mount namespace and a file system of its own, never on another.

What is marked there is seen by nobody else, and when the process ends the kernel lets everybody go on.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from guest_stub.on_access.fanotify import FanotifyUnavailable, Group
from tests.support.apart import ROOT, environment

REQUIRED = "TESTS_MUST_WATCH"  # in the environment: without the right to watch files tests fail
SECONDS = 60.0  # that a program may take; generous, since machines are slow

_MOUNTED = 'mount -t tmpfs none "$1" && exec "$2" -c "$3" "$1"'


def _can_watch() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        Group(asks=True).close()
    except FanotifyUnavailable:
        return False
    return True


def _are_skipped() -> bool:
    """Whether tests that watch files are skipped. Raises RuntimeError where that is not to be."""
    if _can_watch():
        return False
    if os.environ.get(REQUIRED):
        raise RuntimeError(
            f"files cannot be watched here, and {REQUIRED} says that they have to be: "
            "run the tests as root with CAP_SYS_ADMIN, on a kernel with fanotify"
        )
    return True


watching = pytest.mark.skipif(_are_skipped(), reason="files can be watched by root only")


def run_apart(inside: Callable[[Path], None], top: Path) -> None:
    """Run a function of a module in a process of its own, where a file system of its own is at `top`.

    What it asserts is asserted here.
    """
    top.mkdir(exist_ok=True)
    program = (
        f"import sys; from pathlib import Path; from {inside.__module__} import {inside.__name__} as inside; "
        "inside(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNTED, "sh", str(top),
         sys.executable, program],
        env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def opening(path: Path) -> "subprocess.Popen[str]":
    """A process that prints a file."""
    return subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def opened(path: Path) -> bool:
    """Whether another process can open a file; for one who answers it by another thread, or not at all."""
    process = opening(path)
    process.communicate(timeout=SECONDS)
    return process.returncode == 0
