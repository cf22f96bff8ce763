"""How long one step may take, and what is said of one that failed: parsers here meet hostile bytes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from appliance.disk_reader.protocol import MAX_WORDS

STEP_SECONDS: Final = 20.0
_AGAIN_SECONDS: Final = 0.5


class TookTooLong(Exception):
    """A step was not over in its time: it may be one without an end."""


class DiskGone(Exception):
    """The disk itself can be read no more: there is no use in going on to the next file."""


class Patience:
    """Ends a step that does not end by itself, by the process's alarm. Not nested."""

    def __init__(self, step_seconds: float = STEP_SECONDS) -> None:
        self._seconds = step_seconds
        self._is_on = False
        signal.signal(signal.SIGALRM, self._ring)

    @contextmanager
    def for_step(self) -> Iterator[None]:
        """Raise TookTooLong within, when it takes too long."""
        self._is_on = True
        # Again and again: the first may ring where an exception goes nowhere, in a finalizer say.
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)
        try:
            yield
        finally:
            self._is_on = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_on:
            raise TookTooLong("it does not come to an end")


def why(error: BaseException) -> str:
    """What an exception says, in one short line."""
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        said = "it asks for more memory than there may be"
    elif isinstance(error, RecursionError):
        said = "it is nested without an end"
    elif isinstance(error, EOFError):
        said = "it ends too early"
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror  # without a number
    return (said or type(error).__name__)[:MAX_WORDS]
