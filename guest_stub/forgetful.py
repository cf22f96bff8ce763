"""In place of a store of decisions that cannot be opened: keeps nothing, so that a daemon still protects."""

import time
from threading import Lock

from guest_stub.decisions import Decisions, StateUnavailable, StoreSettings


class Forgetful(Decisions):
    """A store that is gone from the beginning. notice: why, and what follows."""

    def __init__(self, settings: StoreSettings, why: str) -> None:
        """Nothing is opened."""
        self.notice = f"{why}; until the next start nothing that is decided is kept, which costs time only"
        self._settings = settings
        self._clock = time.time
        self._lock = Lock()
        self._gone, self._keeping = True, False

    def close(self) -> None:
        """Nothing is open."""


def decisions_or_none(settings: StoreSettings) -> Decisions:
    """The store, or one that keeps nothing where the disk is full or cannot be written.

    Raises StateRefused for a directory that is somebody else's: that is a mistake in the settings.
    """
    try:
        return Decisions(settings, reopens=False)
    except StateUnavailable as problem:
        return Forgetful(settings, str(problem))
