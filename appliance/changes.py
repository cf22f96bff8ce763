"""Changes that are made whole, whoever goes away meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Done = TypeVar("Done")


class Changes:
    """The changes of one part of the SVM that are under way. For one loop."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def whole(self, change: Coroutine[Any, Any, Done]) -> Done:
        """Return what a change returns, or raise what it raises, when it is over.

        Who is cancelled meanwhile is so when the change is over, and no sooner: what he holds for his call,
        such as a place among calls, he holds as long as the SVM works for it. Else one who asks and goes
        away, again and again, would have any number of changes wait.
        """
        task = asyncio.get_running_loop().create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        gone: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                gone = error
        if gone is not None:
            if not task.cancelled():
                task.exception()  # nobody is left to be told
            raise gone
        return task.result()

    async def finish(self) -> None:
        """Return when no change is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)
