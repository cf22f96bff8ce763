"""Detected files that were reached by way of a mount which the stub does not have, while places are excluded.

Whoever has a mount namespace of his own reaches a file of an excluded place by a path that is not excluded:
what was opened so is denied, and nobody is to have the stub destroy it. It is noted, and looked for by its
inode under the paths that the stub itself sees: where nothing excludes them it is looked at and acted on.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

from guest_stub.journal import Entry
from guest_stub.on_access.answering import path_of
from guest_stub.on_access.judging import Judged
from guest_stub.records import identify

WALK_SECONDS: Final = 60.0  # between two walks that are begun for such files; the rest waits for its turn
MOST: Final = 256  # files that are noted in this time
MOST_KNOWN: Final = 1024  # that were noted, so that one which is opened over and over is not walked for again
WHY: Final = (
    "it was reached by way of a mount that the stub does not have, and may lie where exclude leaves files "
    "alone: it is looked for under the paths that the stub sees"
)
CROWDED: Final = (
    "it was reached by way of a mount that the stub does not have, and may lie where exclude leaves files "
    f"alone; {MOST} such files are looked for already"
)


class Noting(Protocol):
    """Who looks at files later, wherever they are. `replaying.Replaying` is it."""

    def take(self, entry: Entry, name: int) -> bool:
        """Look at a file, soon; False where there is no room to keep it until then."""


class Notes(Protocol):
    """Where files are noted to be looked at some time. `journal.Journal` is it."""

    def note(self, entry: Entry, name: int) -> bool:
        """Keep an entry, unless it is kept already; whether it is. Raises nothing."""


class Elsewhere:
    """Serves one event loop. counts: files that were noted."""

    def __init__(
        self,
        notes: Notes,
        noting: Noting,
        left: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """left: told the path and why nothing is done with a file now, see acting.Reports."""
        self.counts = dict.fromkeys(("elsewhere",), 0)
        self._notes = notes
        self._noting = noting
        self._left = left
        self._clock = clock
        self._known: dict[bytes, None] = {}
        self._since = float("-inf")
        self._noted = 0

    def detected(self, fd: int, judged: Judged) -> None:
        """Have a detected file looked for; the descriptor stays the caller's."""
        key, stamp = identify(judged.file)
        if key in self._known:
            return
        now, path = self._clock(), path_of(fd)
        first = now - self._since >= WALK_SECONDS
        if first:
            self._since, self._noted = now, 0
        if self._noted >= MOST:
            self._left(path, CROWDED)
            return
        entry, name = Entry("", time.time(), "elsewhere", key), hash((key, stamp, "elsewhere"))
        kept = self._noting.take(entry, name) if first else self._notes.note(entry, name)
        if not kept:
            self._left(path, "the journal has no room for it")
            return
        self._noted += 1
        self.counts["elsewhere"] += 1
        self._known[key] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._left(path, WHY)
