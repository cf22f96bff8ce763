"""A scan that nobody notices: low priority for processor and disk, and a rate that it keeps."""

import ctypes
import os
import time
from collections.abc import Callable
from threading import Lock

# ioprio_set(2): there is no wrapper in libc, so by its number.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_WHO_PROCESS = 1
_CLASS_IDLE = 3 << 13
_LAST_OF_ORDINARY = 2 << 13 | 7


def idle() -> str:
    """Take the lowest priority, for this thread and those it starts later.

    Returns "", or a sentence on what was not possible.
    """
    return _step_back(19, _CLASS_IDLE)


def reads_beside_others() -> str:
    """As idle(), for a thread that reads much in a process with others that somebody waits for.

    The lowest priority for the disk, but not for the processor: it would hold the interpreter and not be let
    run (decision 0027).
    """
    return _step_back(5, _CLASS_IDLE)


def walks_beside_others() -> str:
    """As idle(), for a thread that also uses what others wait for while it reads: the store of decisions."""
    return _step_back(5, _LAST_OF_ORDINARY)


def _step_back(nice: int, disk: int) -> str:
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is None:
        return f"the disk priority was left alone: not known how to set it on {os.uname().machine}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _WHO_PROCESS, 0, disk) != 0:
        return f"the disk priority was left alone: {os.strerror(ctypes.get_errno())}"
    return ""


class RateLimit:
    """Bytes a second over several threads, without bursts longer than one piece."""

    def __init__(
        self,
        bytes_a_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """clock: seconds, never going back. sleep: may return early, when the scan ends."""
        self._rate = bytes_a_second
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._free_at = clock()

    def __call__(self, count: int) -> None:
        """Wait for the turn of `count` bytes."""
        wait = self.charge(count)
        if wait > 0:
            self._sleep(wait)

    def charge(self, count: int) -> float:
        """Take the room of `count` bytes without waiting; seconds until it is their turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._free_at)
            self._free_at = turn + count / self._rate
            return turn - now
