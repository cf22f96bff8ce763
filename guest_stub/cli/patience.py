"""How `guest-stub scan` waits for a slot: it says so, and gives up when its patience has run out."""

import asyncio
from collections.abc import Callable

from guest_stub.console import printable
from guest_stub.turn import Turn

SAY_SECONDS = 2.0  # before a word is said of it: a slot mostly comes within a millisecond
_WAITS = "waiting for a slot: the host is busy"
_AWAY = "waiting for the SVM, which is gone: "


class Patience:
    """Serves one event loop."""

    def __init__(self, turn: Turn, seconds: float, note: Callable[[str], None]) -> None:
        """seconds: that one wait may take. note: told once for each wait that is worth a word."""
        self._says = False
        self._turn = turn
        self._seconds = seconds
        self._note = note

    @property
    def shown(self) -> str:
        """What the progress line says instead; "" while the scan has its slot."""
        if not self._says:
            return ""
        return printable(_AWAY + self._turn.away) if self._turn.away else _WAITS

    async def run_out(self) -> str:
        """Return why no slot is waited for any more, when it comes to that."""
        while True:
            await self._turn.waiting.wait()
            try:
                async with asyncio.timeout(self._seconds):
                    await self._until_granted()
            except TimeoutError:
                return (
                    f"no slot for a scan within {self._seconds:g} s, since the host is busy: "
                    "try again later, or wait longer with --patience"
                )
            finally:
                self._says = False

    async def _until_granted(self) -> None:
        try:
            async with asyncio.timeout(SAY_SECONDS):
                await self._turn.granted.wait()
        except TimeoutError:
            self._says = True
            self._note(self.shown)
            await self._turn.granted.wait()
