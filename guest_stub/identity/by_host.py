"""When the daemon has this machine enrol by its host: where it is nobody yet, or is not taken for who it was.

That is done by `guest-stub enrol --from-host`, a program of its own: the daemon never loads what that takes.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Protocol

from guest_stub.console import printable
from guest_stub.identity.child import Command, run
from guest_stub.identity.port import Ports
from guest_stub.identity.store import IdentityStore
from guest_stub.svm_link.target import NotEnrolled

LOOK_SECONDS = 2.0  # it is looked whether it is wanted, and the host is at the port
FIRST_PAUSE_SECONDS = 5.0  # after one that failed; doubles each time
LONGEST_PAUSE_SECONDS = 300.0
SETTLE_SECONDS = 30.0  # after one that did not
PATIENCE_SECONDS = 600.0  # for one of them; it has its own deadlines, but a slow machine is slow to begin it
_chance = SystemRandom().random
log = logging.getLogger("guest-stub")


class Links(Protocol):
    """The way to the SVM. `standing.StandingLine` is it."""

    @property
    def refused(self) -> bool:
        """Whether the SVM does not take this guest's certificate."""

    def anew(self) -> None:
        """Have another link opened in its place."""


class ByHost:
    """Serves one event loop."""

    def __init__(
        self, store: IdentityStore, links: Links, command: Command, ports: Ports | None = None
    ) -> None:
        """command: what enrols. Nothing happens before run()."""
        self._store = store
        self._links = links
        self._command = command
        self._ports = ports or Ports()

    async def run(self) -> None:
        """Have it done whenever it is wanted and the port is there, until cancelled."""
        failures, wait = 0, 0.0
        while True:
            await asyncio.sleep(wait)
            if not self._is_wanted() or not self._ports.is_attended():
                failures, wait = 0, LOOK_SECONDS
                continue
            why = await run(self._command, PATIENCE_SECONDS)
            if not why:
                log.info("this guest was enrolled by its host")
                self._links.anew()
                failures, wait = 0, SETTLE_SECONDS
                continue
            log.warning("this guest was not enrolled by its host: %s", printable(why))
            wait = pause_before(failures, _chance)
            failures += 1

    def _is_wanted(self) -> bool:
        try:
            proof = self._store.proof()
        except NotEnrolled:
            return True
        return self._links.refused or time.time() >= proof.ends


def pause_before(failures: int, chance: Callable[[], float]) -> float:
    """How many seconds to wait after so many failures before this one. chance: from 0 up to 1."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 16)) * (0.5 + chance() / 2)
