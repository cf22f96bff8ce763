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
_MODEST = 5


def idle() -> str:
    """Take the lowest priority, for this thread and those it starts later.

    Returns "", or a sentence on what was not possible.
    """
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    return idle_disk()


def reads_beside_others() -> str:
    """As idle(), for a thread that reads much in a process in which others answer.

    The lowest priority for the disk, but not for the processor: it would keep the interpreter from them while
    it waits for its turn (decision 0027).
    """
    os.setpriority(os.PRIO_PROCESS, 0, _MODEST)
    return idle_disk()


def walks_beside_others() -> str:
    """As that, for a thread that reads by way of what others wait for: the store of decisions."""
    os.setpriority(os.PRIO_PROCESS, 0, _MODEST)
    return _disk(_LAST_OF_ORDINARY)


def idle_disk() -> str:
    """Take the lowest priority for the disk alone: for a thread of a process in which others answer.

    One that had the lowest priority for the processor too would keep the interpreter from them while it waits
    for its turn. Returns as idle() does.
    """
    return _disk(_CLASS_IDLE)


def _disk(priority: int) -> str:
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is None:
        return f"the disk priority was left alone: not known how to set it on {os.uname().machine}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _WHO_PROCESS, 0, priority) != 0:
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
