"""Where an event goes: to the gate where somebody waits for it, to what looks afterwards, or nowhere."""

import logging
import os
from typing import Protocol

from guest_stub.on_access.answering import Answers, respond
from guest_stub.on_access.exclusions import Exclusions
from guest_stub.on_access.fanotify import OVERFLOW, PERMISSION, Event

log = logging.getLogger("guest-stub")


class Takes(Protocol):
    """Who takes an event, and closes its descriptor. `gate.Gate` is it, and `afterwards.Afterwards`."""

    def event(self, event: Event) -> None:
        """Take it."""


class Looks(Takes, Protocol):
    """Who looks at files afterwards. `afterwards.Afterwards` is it."""

    def overflow(self, why: str) -> None:
        """Something may have been written that nobody looks at."""


class Sorting:
    """Serves one event loop. unread: events for which the kernel could open no file."""

    def __init__(self, exclusions: Exclusions, kernel: Answers, gate: Takes, afterwards: Looks) -> None:
        """kernel: answers what is excluded and waits."""
        self.unread = 0
        self._exclusions = exclusions
        self._kernel = kernel
        self._gate = gate
        self._afterwards = afterwards

    def take(self, events: list[Event]) -> None:
        """Take what the reader brings; a fault at one of them is not the others'."""
        for event in events:
            try:
                self._take(event)
            except Exception:
                log.exception("an event could not be taken as it should")

    def unopened(self, why: str) -> None:
        """The kernel could open no file for an event, and has refused whoever waited for its answer."""
        self.unread += 1
        self._afterwards.overflow(f"an event could not be read: {why}")

    def _take(self, event: Event) -> None:
        if event.mask & OVERFLOW:
            self._afterwards.overflow("the kernel's queue of events was full")
        elif self._is_excluded(event):
            self._let_go(event)
        elif event.mask & PERMISSION:
            self._gate.event(event)
        else:
            self._afterwards.event(event)

    def _is_excluded(self, event: Event) -> bool:
        """Whether the settings leave it alone; a fault excludes nothing, and the event gets its answer."""
        try:
            return self._exclusions.match(event.fd, event.pid)
        except Exception:
            log.exception("it could not be told whether a file is excluded")
            return False

    def _let_go(self, event: Event) -> None:
        if event.mask & PERMISSION:
            respond(self._kernel, event, True)
        else:
            os.close(event.fd)
