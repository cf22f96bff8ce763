"""An event that waits for its answer: it gets exactly one, whatever happens, and within its budget."""

import asyncio
import os
from collections.abc import Callable
from typing import Final, Protocol

from guest_stub.on_access.fanotify import OPEN_EXEC_PERM, Event
from guest_stub.on_access.policy import AccessPolicy, Operation

_GONE: Final = " (deleted)"


class Answers(Protocol):
    """Where answers go. `fanotify.Group` is it."""

    def answer(self, event: Event, allow: bool) -> None:
        """Let the process go on, or have it fail with EPERM. May raise OSError."""


class Waiting:
    """One process that waits. Made on the loop; it owns the event's descriptor until it is answered.

    operation: what the process wants to do.
    """

    def __init__(
        self,
        event: Event,
        kernel: Answers,
        policy: AccessPolicy,
        out_of_time: Callable[["Waiting"], None],
    ) -> None:
        """out_of_time: called once when the budget is spent; it has to answer."""
        self.event = event
        self.operation = Operation.EXEC if event.mask & OPEN_EXEC_PERM else Operation.OPEN
        self._kernel = kernel
        loop = asyncio.get_running_loop()
        budget = policy.budget(self.operation)
        self._until = loop.time() + budget
        self._timer = loop.call_later(budget, out_of_time, self)
        self._answered = False

    @property
    def seconds_left(self) -> float:
        """Of the budget."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    @property
    def answered(self) -> bool:
        """Whether the process waits no more."""
        return self._answered

    def path(self) -> str:
        """What the file is called now, "" where it has no name any more."""
        return path_of(self.event.fd)

    def answer(self, allow: bool) -> None:
        """Answer, the first time; later calls do nothing. Lets go of the descriptor."""
        if self._answered:
            return
        self._answered = True
        self._timer.cancel()
        respond(self._kernel, self.event, allow)


def respond(kernel: Answers, event: Event, allow: bool) -> None:
    """Answer an event and close its descriptor. From any thread; raises nothing.

    The kernel refuses an answer to a process that was killed meanwhile: then nobody waits for it.
    """
    try:
        kernel.answer(event, allow)
    except OSError:
        pass
    finally:
        os.close(event.fd)


def path_of(fd: int) -> str:
    """What an open file is called now, "" where that cannot be told.

    The kernel writes a word behind a name that is gone, and a file may have a name that ends in that word.
    """
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith(_GONE) and not os.path.samestat(os.lstat(path), os.fstat(fd)):
            return ""
    except OSError:
        return ""
    return path
