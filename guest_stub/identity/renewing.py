"""When the daemon has its certificate renewed. That is done by `guest-stub renew`, a program of its own.

It is begun in a thread, and by fork(2): the kernel asks this daemon whether the program may be opened, so its
loop has to go on until that has happened, which vfork(2) would not let it.
"""

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Protocol

from guest_stub.console import printable
from guest_stub.identity.store import IdentityRefused, IdentityStore

LOOK_SECONDS = 600.0  # clocks are set, machines are suspended: it is looked at the clock now and then
FIRST_PAUSE_SECONDS = 60.0  # after one that failed; doubles each time
LONGEST_PAUSE_SECONDS = 6 * 3600.0
PATIENCE_SECONDS = 120.0  # for one of them; it has its own deadlines
NO_SVM_SECONDS = 5.0  # until it is looked for again
_MOST_SAID = 2048
_chance = SystemRandom().random
log = logging.getLogger("guest-stub")


class Links(Protocol):
    """The way to the SVM. `standing.StandingLine` is it."""

    @property
    def current(self) -> object | None:
        """The link in use, None while there is none."""

    def anew(self) -> None:
        """Have another link opened in its place."""


@dataclass(frozen=True, slots=True)
class Command:
    """What renews, and in which environment."""

    words: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


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
            why = await self._renewed()
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

    async def _renewed(self) -> str:
        """Why it was not; "" when it was."""
        loop = asyncio.get_running_loop()
        try:
            process = await loop.run_in_executor(None, self._start)
        except OSError as problem:
            return f"{self._command.words[0]}: {problem.strerror}"
        try:
            code = await loop.run_in_executor(None, process.wait, PATIENCE_SECONDS)
            return _said(process) if code else ""
        except subprocess.TimeoutExpired:
            return f"it took more than {PATIENCE_SECONDS:g} s"
        finally:
            if process.returncode is None:
                process.kill()
                loop.run_in_executor(None, process.wait)  # its end may wait for an answer of this loop's
            assert process.stderr is not None
            process.stderr.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        """Begin it; for a thread. Raises OSError."""
        before, subprocess._USE_VFORK = subprocess._USE_VFORK, False  # type: ignore[misc] # see the module
        try:
            return subprocess.Popen(
                self._command.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=dict(self._command.environ),
            )
        finally:
            subprocess._USE_VFORK = before  # type: ignore[misc]


def _said(process: "subprocess.Popen[bytes]") -> str:
    """The last line that an ended program has said."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    lines = (process.stderr.read(_MOST_SAID) or b"").decode(errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("guest-stub: ") if lines else ""
    return said or f"guest-stub renew ended with {process.returncode}"


def pause_before(failures: int, left: float, chance: Callable[[], float]) -> float:
    """How many seconds to wait after so many failures before this one.

    left: until the certificate ends, in seconds: shortly before that it is tried more often. chance: from 0
    up to 1.
    """
    longest = min(LONGEST_PAUSE_SECONDS, max(left / 10, FIRST_PAUSE_SECONDS))
    return min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 16)) * (0.5 + chance() / 2)
