"""What an ordered scan detects: noted as what was let through is, and looked at again and acted on as that.

The note is on the disk before the scan is over, so that a killed stub acts on it in its next run.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Semaphore
from typing import Final, Protocol

from guest_stub.ends import FOUND, DirectoryLeft, End
from guest_stub.journal import Entry
from guest_stub.report import Ending, FileEnd

MOST_ON_THEIR_WAY: Final = 256  # from the walking thread to the loop
HOLD_SECONDS: Final = 1.0  # the longest that one is held


class Notes(Protocol):
    """Where detected files are noted. `replaying.Replaying` is it."""

    def take(self, entry: Entry, name: int) -> object:
        """Look at a file, soon; where there is no room to note it that is said. See Journal.note."""


class Findings:
    """A Report. What it finds is said at once: who hides it by then does not hide that it was there."""

    def __init__(self, notes: Notes, tell: Callable[[FileEnd], None]) -> None:
        """tell: told of each, on the loop."""
        self._notes = notes
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._places = Semaphore(MOST_ON_THEIR_WAY)

    def wants(self, end: End) -> bool:
        """See Report."""
        return end in FOUND

    def file(self, file: FileEnd, wait: bool = False) -> None:
        """See Report."""
        if wait:
            self._places.acquire(timeout=HOLD_SECONDS)
        with suppress(RuntimeError):  # the loop is closed: the stub ends
            self._loop.call_soon_threadsafe(self._note, file, wait)

    def _note(self, file: FileEnd, waited: bool) -> None:
        if waited:
            self._places.release()
        self._tell(file)
        entry = Entry(file.path, time.time(), "scan", file.inode, file.handle)
        self._notes.take(entry, hash((file.path, file.sha256)))

    def directory(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See Report: the tally counts them."""

    def ending(self, ending: Ending) -> None:
        """See Report."""
