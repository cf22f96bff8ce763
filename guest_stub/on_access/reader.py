"""The thread that takes events from the kernel: it never waits for anything but them.

It answers at once what this process itself opens, so that the stub never waits on itself: its other threads
may open files, and while they do they wait for this one. So nothing here may open a file, nor wait for the
loop, and what is imported later must not hold the interpreter while it opens a file: extension modules do,
and have to be imported before anything is watched.
"""

import os
import select
import threading
from collections.abc import Callable
from typing import Final

from guest_stub.on_access.answering import respond
from guest_stub.on_access.fanotify import PERMISSION, Event, Group

UNOPENED: Final = (
    "the kernel could not open its file, on which somebody may hold a lease, and refused who waited; "
    "or whoever waited was killed"
)


class Reader:
    """Reads groups until it is stopped. ours: answered without a question, by the process."""

    def __init__(
        self,
        groups: dict[int, Group],
        take: Callable[[list[Event]], None],
        lost: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:
        """groups: by descriptor. Called in the thread: take, with others' events; lost, with why one could
        not be read; failed, with why none can be read any more.
        """
        self._groups = groups
        self._take = take
        self._lost = lost
        self._failed = failed
        self._ours = os.getpid()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fanotify", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        poll = select.poll()
        for fd in (*self._groups, self._wake):
            poll.register(fd, select.POLLIN)
        try:
            while not self._stopping:
                for fd, _ in poll.poll():
                    if fd in self._groups:
                        self._read(self._groups[fd])
        except Exception as error:  # without this thread whoever opens a file would wait for good
            self._failed(f"events cannot be read any more: {error}")

    def _read(self, group: Group) -> None:
        others = []
        waiting = group.waiting()
        try:
            events = group.read()
        except OSError as error:
            # The kernel has denied what it could open no descriptor for: no memory, or too many are open.
            self._lost(error.strerror or str(error))
            return
        if len(events) < waiting:
            self._lost(UNOPENED)
        for event in events:
            if event.pid != self._ours:
                others.append(event)
            elif group.asks and event.mask & PERMISSION:
                respond(group, event, True)
            elif event.fd >= 0:
                os.close(event.fd)
        if others:
            self._take(others)
