"""Files with several names: each is looked at under one of them. Until that is done, the others wait for it.

A name may go away, or be given to another file, after the walk has met it. Then another is looked at, so
that nobody hides a file from a scan by taking one of its names away. No I/O.
"""

from enum import Enum, auto
from threading import Lock

from guest_stub.found import FoundFile

MAX_FILES = 100_000  # remembered, of which more names may come; of more than these each name is looked at


class Name(Enum):
    """What a name is that the walk has met."""

    FIRST = auto()  # its file is to be looked at under it
    WAITING = auto()  # its file is being looked at under another one
    DONE = auto()  # its file was looked at under another one


class Links:
    """The files with several names that a scan has met. Safe for several threads.

    What waits is bounded by the Room, in which each name that waits has its place.
    """

    def __init__(self) -> None:
        """No file was met yet."""
        self._lock = Lock()
        self._to_come: dict[bytes, int] = {}  # names that the walk has still to meet, by key
        self._waiting: dict[bytes, list[FoundFile]] = {}  # of files that are being looked at, by key

    def meet(self, name: FoundFile, wait: bool) -> Name:
        """Take a name of a file that has several. wait: where it is WAITING, let it wait here.

        Without `wait` a WAITING name is to be met again.
        """
        key = name.key
        with self._lock:
            to_come = self._to_come.get(key)
            if to_come is None:
                if len(self._to_come) < MAX_FILES:
                    self._to_come[key] = name.names - 1
                    self._waiting[key] = []
                return Name.FIRST
            waiting = self._waiting.get(key)
            if waiting is None:
                self._count(key)
                return Name.DONE
            if wait:
                waiting.append(name)
                self._to_come[key] -= 1
            return Name.WAITING

    def done(self, name: FoundFile) -> list[FoundFile]:
        """The file was looked at under this name; the names that have waited for it."""
        with self._lock:
            waiting = self._waiting.pop(name.key, [])
            if self._to_come.get(name.key, 1) <= 0:
                del self._to_come[name.key]
            return waiting

    def missed(self, name: FoundFile) -> FoundFile | None:
        """The file could not be looked at under this name; the name to look at it under instead.

        None: no other has come so far. The next one to come is the first then.
        """
        with self._lock:
            waiting = self._waiting.get(name.key)
            if waiting:
                return waiting.pop()
            if waiting is not None:
                del self._waiting[name.key], self._to_come[name.key]
            return None

    def _count(self, key: bytes) -> None:
        """One more name was met; a file is forgotten when all were, since it takes memory."""
        if self._to_come[key] <= 1:
            del self._to_come[key]
        else:
            self._to_come[key] -= 1
