"""When the daemon has its certificate renewed. That is done by `guest-stub renew`, a program of its own."""

import asyncio
import logging
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Protocol

from guest_stub.console import printable
from guest_stub.identity.child import Command, run
from guest_stub.identity.store import IdentityRefused, IdentityStore

LOOK_SECONDS = 600.0  # clocks are set, machines are suspended: it is looked at the clock now and then
FIRST_PAUSE_SECONDS = 60.0  # after one that failed; doubles each time
LONGEST_PAUSE_SECONDS = 6 * 3600.0
PATIENCE_SECONDS = 120.0  # for one of them; it has its own deadlines
NO_SVM_SECONDS = 5.0  # until it is looked for again
_chance = SystemRandom().random
log = logging.getLogger("guest-stub")


class Links(Protocol):
    """The way to the SVM. `standing.StandingLine` is it."""

    @property
    def current(self) -> object | None:
        """The link in use, None while there is none."""

    def anew(self) -> None:
        """Have another link opened in its place."""


class Renewing:
    """Serves one event loop."""

    def __init__(self, store: IdentityStore, links: Links, command: Command) -> None:
        """Nothing happens before run()."""
        self._store = store
        self._links = links
        self._command = command

    async def run(self) -> None:
        """Have it renewed whenever it is due and an SVM is there, until cancelled."""
        failures, wait = 0, 0.0
        while True:
            await asyncio.sleep(wait)
            due_in, left = self._due_in()
            if due_in > 0:
                failures, wait = 0, min(max(due_in, 1.0), LOOK_SECONDS)
                continue
            if self._links.current is None:  # nobody would answer
                wait = NO_SVM_SECONDS
                continue
            why = await run(self._command, PATIENCE_SECONDS)
            if not why:
                log.info("the certificate of this guest was renewed")
                self._links.anew()
                failures, wait = 0, 1.0
                continue
            log.warning("the certificate of this guest was not renewed: %s", printable(why))
            wait = pause_before(failures, left, _chance)
            failures += 1

    def _due_in(self) -> tuple[float, float]:
        """In how many seconds it is to be renewed, and ends; far away where there is nothing to renew."""
        try:
            identity = self._store.read()
        except IdentityRefused:
            identity = None
        now = time.time()
        return (LOOK_SECONDS, 0.0) if identity is None else (identity.renew_at - now, identity.ends - now)


def pause_before(failures: int, left: float, chance: Callable[[], float]) -> float:
    """How many seconds to wait after so many failures before this one.

    left: until the certificate ends, in seconds: shortly before that it is tried more often. chance: from 0
    up to 1.
    """
    longest = min(LONGEST_PAUSE_SECONDS, max(left / 10, FIRST_PAUSE_SECONDS))
    return min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 16)) * (0.5 + chance() / 2)
