"""Whether the time of this machine can be right."""

import ctypes
from collections.abc import Iterator

from appliance.doctor.findings import Finding, amiss, long, note, ok

SLACK_SECONDS = 120.0  # by which a file may be newer than now

_TIMEX_BYTES = 512  # struct timex takes 208 on 64-bit machines
_STATUS = 5 * ctypes.sizeof(ctypes.c_long)  # int status, after modes and four longs
_STA_UNSYNC = 0x40  # include/uapi/linux/timex.h
_TIME_ERROR = 5


def clock_findings(now: float, newest: float, where: str, synchronized: bool | None) -> Iterator[Finding]:
    """Compare the clock with what was written before.

    newest: the latest time that something has, `where`; 0 for none. synchronized: what the kernel says of it.
    """
    if newest > now + SLACK_SECONDS:
        ahead = long(newest - now)
        yield amiss("clock", f"{where} is {ahead} ahead of the clock, which went back or is wrong: set it")
    else:
        yield ok("clock", "nothing here is newer than it")
    if synchronized is None:
        yield note("time source", "the kernel does not say whether the clock follows one")
    elif synchronized:
        yield ok("time source", "the clock follows one")
    else:
        yield note("time source", "the clock follows none: have NTP set it, since certificates hang on it")


def is_synchronized() -> bool | None:
    """Whether the kernel's clock is kept right by somebody, by adjtimex(2); None where that is not told."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # zeros: nothing is to be changed
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(timex, _STATUS).value
    return state != _TIME_ERROR and not status & _STA_UNSYNC
