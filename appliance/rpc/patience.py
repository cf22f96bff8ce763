"""How long an answer of many messages waits for its reader: who takes nothing has a place others need."""

import asyncio
from dataclasses import dataclass
from typing import Any

from appliance.rpc.identity import Context
from appliance.rpc.places import NoPlace

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """seconds: that a reader may take nothing."""

    seconds: float = PATIENCE_SECONDS

    async def send(self, context: Context, reply: Any) -> None:
        """Send one message of an answer. Raises NoPlace where the reader has taken nothing for so long."""
        try:
            async with asyncio.timeout(self.seconds):
                await context.write(reply)
        except TimeoutError:  # somebody else has the place by the time that this one hears of it
            why = f"nothing was taken for {self.seconds:g} s: read faster, or ask for less"
            raise NoPlace(why) from None
