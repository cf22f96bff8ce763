"""Asks clamd for its version now and then: its signatures change without a word to us."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.config import ClamdSettings
from appliance.scanning.engines.clamd import clamd_version
from appliance.scanning.engines.engine import EngineFailure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClamdSeen:
    """How clamd was when it was last asked.

    version: what it says of itself and its signatures; the last that was heard where it is gone.
    problem: "" when it answers. directory: device and inode of its socket's directory, which a
    worker keeps as it was when the worker started.
    """

    version: str = ""
    problem: str = ""
    directory: tuple[int, int] | None = None


class ClamdWatch:
    """Polls clamd in a thread, so that one that is silent holds nothing up."""

    def __init__(self, settings: ClamdSettings, polled: Callable[[ClamdSeen], None]) -> None:
        """polled: called on the loop after every poll but the first, which `start` waits for."""
        self.seen = ClamdSeen(problem="clamd has not been asked yet")
        self._settings = settings
        self._polled = polled
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, and then every `poll_seconds` until `close`."""
        self.seen = await self._poll()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            seen = await self._poll()
            if bool(seen.problem) != bool(self.seen.problem):
                _log.warning("clamd: %s", seen.problem or f"answers again ({seen.version})")
            self.seen = seen
            self._polled(seen)

    async def _poll(self) -> ClamdSeen:
        return await asyncio.to_thread(self._ask, self.seen.version)

    def _ask(self, last_version: str) -> ClamdSeen:
        """Blocks for poll_seconds at most, so that answers are never older than two of them."""
        path, seconds = self._settings.socket, self._settings.poll_seconds
        try:
            version = clamd_version(path, min(seconds, self._settings.timeout_seconds))
        except EngineFailure as failure:
            return ClamdSeen(last_version, str(failure), directory_identity(path.parent))
        return ClamdSeen(version, "", directory_identity(path.parent))


def directory_identity(directory: Path) -> tuple[int, int] | None:
    """Device and inode of a directory, None where there is none."""
    with contextlib.suppress(OSError):
        status = os.stat(directory)
        return status.st_dev, status.st_ino
    return None
