"""One scan of a running machine at a time: its backup, its checkpoints and its records have one owner.

The lock is `scans/UUID.lock` of the state directory; it says who holds it, and ends with that process.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.virt.machine import Machine

_MOST_BYTES: Final = 100


@contextmanager
def turn(machine: Machine, state_dir: Path) -> Iterator[None]:
    """Hold the lock of a machine for the length of a `with`. Raises StateUnusable where another has it."""
    fd = _locked(machine.name, state_dir / "scans" / f"{machine.uuid}.lock")
    try:
        yield
    finally:
        os.close(fd)


def _locked(name: str, path: Path) -> int:
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            stack.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _say_who(fd)
        except BlockingIOError as error:
            said = os.pread(fd, _MOST_BYTES, 0).decode("ascii", "replace").strip()
            who = f" ({said})" if said else ""
            raise StateUnusable(
                f"{name} is scanned by another svm-host{who}: wait for that to end"
            ) from error
        except OSError as error:
            raise StateUnusable(f"{path}: {error.strerror}; see that svm-host may write there") from error
        stack.pop_all()
        return fd


def _say_who(fd: int) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"process {os.getpid()}, since {since}\n".encode(), 0)
