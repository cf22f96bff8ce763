"""Tells the log when something cannot be written, once, and when it can again."""

import structlog

from appliance.events.log import EventLog
from appliance.verdicts.store import VerdictStore

log = structlog.get_logger("svm")


class CacheTrouble:
    """Writes a line when the cache cannot be written, and one when it can again."""

    def __init__(self, store: VerdictStore) -> None:
        """Begin with nothing told."""
        self._store = store
        self._told = ""

    def tell(self) -> None:
        """Write a line where the store says something else than it did before. Call it now and then."""
        problem = self._store.problem
        if problem and problem != self._told:
            log.warning("cache problem", why=problem)
        elif self._told and not problem:
            log.info("cache is written again")
        self._told = problem


class EventsTrouble:
    """The same of the events."""

    def __init__(self, events: EventLog) -> None:
        """Begin with nothing told."""
        self._events = events
        self._told = ""

    def tell(self) -> None:
        """Write a line where the log says something else than it did before. Call it now and then."""
        problem = self._events.problem
        if problem and problem != self._told:
            log.warning("events problem", why=problem)
        elif self._told and not problem:
            log.info("events are written again")
        self._told = problem
