"""How often changes of a service were missed: what it had said before counts no more, over restarts too."""

from collections.abc import Awaitable, Callable
from typing import Protocol


class Forgets(Protocol):
    """Who has learnt from the service. `network.Ksn` is it."""

    epoch: int

    def forget(self, epoch: int) -> None:
        """Let nothing count any more that was learnt in an earlier epoch."""


class Epochs:
    """Of one service. Lives on one event loop."""

    def __init__(self, network: Forgets, kept: int, keep: Callable[[int], Awaitable[None]]) -> None:
        """kept: the epoch that was kept last, 0 for none. keep: keeps one; durable when it returns."""
        self._network = network
        self._keep = keep
        network.epoch = kept

    async def lost(self) -> None:
        """Changes were missed: begin another."""
        epoch = self._network.epoch + 1
        await self._keep(epoch)
        self._network.forget(epoch)
