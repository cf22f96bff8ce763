"""SIGTERM, and SIGHUP when an ssh session breaks, have a command take back what it made, as Ctrl-C does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_like_by_ctrl_c() -> Iterator[None]:
    """Have those signals raise KeyboardInterrupt within, once: nothing of them breaks off the taking back.

    One that is ignored already (nohup) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # where no handler can be set, and nobody is meant by a signal
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {
        number: signal.getsignal(number)
        for number in _ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
