"""Counts of a scan. Every entry that is seen ends exactly once; a sum that does not come out is a bug."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from guest_stub.ends import ASKED, DIRECTORY_FAILED, FAILED, FOUND, DirectoryLeft, End, Left


class Uncounted(Exception):
    """Entries have no end, or two: an error of this program, said instead of a summary that is not true."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts at one time.

    seen: directory entries that are no directories; the sum of `ends` once the scan is over.
    from_decisions, at_once, later: files answered from kept decisions; by the SVM in its first reply;
    and after an upload or a wait. known_digests: asked about without being read. Bytes: of all files
    to decide on; read and hashed; sent to the SVM.
    """

    seen: int = 0
    ends: Mapping[End, int] = field(default_factory=dict)
    directories: int = 0
    directories_left: Mapping[DirectoryLeft, int] = field(default_factory=dict)
    from_decisions: int = 0
    at_once: int = 0
    later: int = 0
    known_digests: int = 0
    bytes: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0

    @property
    def ended(self) -> int:
        """Entries that have their end."""
        return sum(self.ends.values())

    @property
    def files(self) -> int:
        """Entries that something was to be decided on: regular files, each under one of its names."""
        return sum(count for end, count in self.ends.items() if end in ASKED)

    @property
    def found(self) -> int:
        """Files that something was found in."""
        return sum(self.ends.get(end, 0) for end in FOUND)

    @property
    def failed(self) -> int:
        """Files and directories that should have been looked at and could not."""
        files = sum(self.ends.get(end, 0) for end in FAILED)
        return files + sum(self.directories_left.get(why, 0) for why in DIRECTORY_FAILED)


class Tally:
    """Counts from several threads. Each call is one short hold of a lock: call it for batches."""

    def __init__(self) -> None:
        """Everything at zero."""
        self._lock = Lock()
        self._ends: Counter[End] = Counter()
        self._directories_left: Counter[DirectoryLeft] = Counter()
        self._counts: Counter[str] = Counter()
        self._closed = False

    def seen(self, files: int, size: int = 0) -> None:
        """Entries were met; each must end. size: bytes of all of them."""
        with self._lock:
            if not self._closed:
                self._counts["seen"] += files
                self._counts["bytes"] += size

    def end(self, end: End, files: int = 1) -> None:
        """Entries that were seen end here."""
        with self._lock:
            if not self._closed:
                self._ends[end] += files

    def add(self, count: str, number: int) -> None:
        """Add to a field of Totals that is a plain number."""
        with self._lock:
            self._counts[count] += number

    def directory_left(self, why: DirectoryLeft) -> None:
        """A directory was not entered, or not read to its end."""
        with self._lock:
            self._directories_left[why] += 1

    def interrupt(self) -> None:
        """What has no end gets none any more, and nothing more is seen: the scan was ended.

        A thread may still hang in a file system that does not answer.
        """
        with self._lock:
            self._closed = True
            self._ends[Left.INTERRUPTED] += self._counts["seen"] - self._ends.total()

    def totals(self) -> Totals:
        """The counts now."""
        with self._lock:
            ends = {end: count for end, count in self._ends.items() if count}
            return Totals(ends=ends, directories_left=dict(self._directories_left), **self._counts)

    def final(self) -> Totals:
        """The counts of a scan that is over; raises Uncounted where an entry has no end, or two."""
        totals = self.totals()
        if totals.ended != totals.seen:
            raise Uncounted(f"{totals.seen:,} files were seen and {totals.ended:,} ended; please report this")
        return totals
