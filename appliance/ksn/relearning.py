"""After changes were missed: has KSN asked again about what engines found nothing in.

What KSN itself had said counts no more at once (`Ksn.forget`). But a file of which it said nothing, and which
engines passed, would be asked about by nobody as long as that verdict counts. So all of those are gone
through, as `later` has room for them. That it is to be done is kept: after a restart it begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from appliance.domain.guest import Guest
from appliance.domain.verdict import Verdict

AT_ONCE: Final = 512  # records that are read at a time
MOST_WAITING: Final = 8192  # digests that wait to be asked about: the rest is left to what comes new
_IDLE_SECONDS: Final = 1.0
_GUEST: Final = "svm"  # on whose behalf it is asked

Page = tuple[Sequence[tuple[bytes, Verdict]], bytes | None]


class Asks(Protocol):
    """What digests are handed to. `later.Later` is it."""

    def scanned(self, guest: Guest, digest: bytes, answer: Verdict) -> None:
        """Have KSN asked about a content in which engines found nothing."""

    def __len__(self) -> int:
        """How many wait."""


class Relearning:
    """Serves one event loop. counts: how often it began, and verdicts that were gone through."""

    def __init__(
        self,
        later: Asks,
        scopes: Callable[[], list[int]],
        page: Callable[[int, bytes, int], Page],
        keep: Callable[[bool], Awaitable[None]],
    ) -> None:
        """page: verdicts of a scope from a digest on, and where to go on, None for nowhere.

        keep: that it is to be done, or is done; durable when it returns.
        """
        self.counts = {"begun": 0, "looked_at": 0}
        self._later = later
        self._scopes = scopes
        self._page = page
        self._keep = keep
        self._wanted = asyncio.Event()

    def begin(self) -> None:
        """Go through everything, from the beginning."""
        self._wanted.set()

    async def run(self) -> None:
        """Go through everything whenever that is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self.counts["begun"] += 1
            await self._keep(True)
            for scope in self._scopes():
                await self._go_through(scope)
            if not self._wanted.is_set():
                await self._keep(False)

    async def _go_through(self, scope: int) -> None:
        start: bytes | None = b""
        while start is not None and not self._wanted.is_set():
            if len(self._later) >= MOST_WAITING:
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            verdicts, start = self._page(scope, start, AT_ONCE)
            for digest, verdict in verdicts:
                self._later.scanned(Guest(_GUEST, scope), digest, verdict)
            self.counts["looked_at"] += len(verdicts)
            await asyncio.sleep(0)
