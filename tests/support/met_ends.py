"""Writes of grpc.aio that meet the end of their call, which else takes a busy machine and luck."""

from typing import Any

from grpc import aio


def write_meets_end(call: aio.Call) -> None:
    """Have a write of a call fail when the other side has ended it, as grpc.aio does: see its `_write`."""
    inner: Any = call

    async def write(_message: object) -> None:
        await inner.code()
        inner._cython_call.set_internal_error("a batch failed")
        await inner._raise_for_status()

    inner.write = write
