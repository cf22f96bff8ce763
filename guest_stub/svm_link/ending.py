"""How a call ended, as the SVM has said it: grpc.aio forgets that where a write meets the end."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import grpc
from grpc import aio

# What grpc.aio says of a call then, also to whoever reads.
WRITE_FAILED = "Internal error from Core"

Status = tuple[grpc.StatusCode, str]
Said = TypeVar("Said")


class Endable(Protocol):
    """A call of grpc.aio."""

    def add_done_callback(self, callback: Any, /) -> None:
        """Have it called with the call whenever its status is set."""


class Ending:
    """Of one call, which has just begun."""

    def __init__(self, call: Endable) -> None:
        self._told: Status | None = None
        call.add_done_callback(self._set)

    def status(self, code: grpc.StatusCode, details: str) -> Status:
        """What the SVM said, where all that the call says is that a write failed."""
        return self._told if self._told is not None and details == WRITE_FAILED else (code, details)

    def of(self, error: aio.AioRpcError) -> aio.AioRpcError:
        """The same for what the call raised."""
        code, details = self.status(error.code(), error.details() or "")
        return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), details, error.debug_error_string())

    def _set(self, call: aio.Call) -> None:
        """Read it before anybody else runs: who wrote may run next, and then it is written over."""
        details = _at_once(call.details()) or ""
        if self._told is None and details != WRITE_FAILED:
            self._told = _at_once(call.code()), details


def _at_once(answer: Coroutine[Any, Any, Said]) -> Said:
    """What a coroutine returns that has nothing to wait for."""
    try:
        answer.send(None)
    except StopIteration as end:
        said: Said = end.value
        return said
    answer.close()
    raise RuntimeError("the status of a call that is over is not there")
