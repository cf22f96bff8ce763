"""The quarantine: what the daemon and the commands call. All of it blocks: never on a loop.

Several programs may have it open at once. What it does on files raises fanotify events of this process (it
opens a file for writing to empty it): whoever answers those must not wait for it.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guest_stub.remediation.bounds import Bounds, TooLarge
from guest_stub.remediation.cipher import KeyRefused
from guest_stub.remediation.done import Done, Result
from guest_stub.remediation.facts import Entry, Judged
from guest_stub.remediation.removal import Changed
from guest_stub.remediation.restoring import NotRestored, restore
from guest_stub.remediation.room import Room
from guest_stub.remediation.sealed import Damaged, SealReader
from guest_stub.remediation.sealing import delete, describe, judged_path, seal_and_remove
from guest_stub.remediation.store import SEALED, Busy, NoSuchEntry, QuarantineRefused, Store
from guest_stub.remediation.tidying import tidy

_EXPECTED = (OSError, Changed, TooLarge, KeyRefused, QuarantineRefused)
_OVER_BOUND = "it is larger than the whole quarantine may be (quarantine_mib)"
DIRECTORY = "quarantine"  # below the state directory


@dataclass(frozen=True, slots=True)
class QuarantineSettings:
    """directory: made with mode 0700."""

    directory: Path
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Broken:
    """An entry that cannot be opened, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Restored:
    """left: what could not be given back to the file, as sentences. problem: why it stays, or ""."""

    entry: Entry
    left: tuple[str, ...] = ()
    problem: str = ""


class Quarantine:
    """An open quarantine. Any thread may call."""

    def __init__(
        self,
        settings: QuarantineSettings,
        clock_ns: Callable[[], int] = time.time_ns,
        *,
        waits: bool = False,
    ) -> None:
        """Open or make it. Raises store.QuarantineRefused. clock_ns: nanoseconds since the epoch.

        waits: whether one that the disk does not let be opened is tried again with each use.
        """
        self._store = Store(settings.directory, waits=waits)
        self._clock_ns = clock_ns
        self._room = Room(self._store, settings.bounds, clock_ns)

    def close(self) -> None:
        """Nothing is kept in memory that would have to be written."""
        self._store.close()

    def in_use(self) -> bool:
        """Whether anything is in it."""
        try:
            return bool(self._store.names(SEALED))
        except QuarantineRefused:
            return False

    def take(self, fd: int, judged: Judged) -> Done:
        """Seal the file of a descriptor that is open for reading, and remove it from its place. Never raises
        for what a file, a disk or a bound can do: then the file is where it was, and Done says why.
        """
        path = judged_path(fd, judged)
        try:
            entry = describe(fd, judged, self._clock_ns())
            key = self._store.key(make=True)
            assert key is not None
            removed, dropped = seal_and_remove(self._store, key, self._room.make, fd, entry)
        except _EXPECTED as problem:
            return _not_done(path, problem)
        return Done(
            Result.QUARANTINED, path, entry.id, removed.note, removed.other_names, removed.emptied,
            tuple(dropped),
        )  # fmt: skip

    def delete(self, fd: int, judged: Judged) -> Done:
        """Remove the file of a descriptor for good, under the same conditions as take()."""
        path = judged_path(fd, judged)
        try:
            removed = delete(self._store, fd, judged)
        except _EXPECTED as problem:
            return _not_done(path, problem)
        return Done(Result.DELETED, path, "", removed.note, removed.other_names, removed.emptied)

    def tidy(self) -> list[str]:
        """At a start: see through what an end in the middle left; a sentence for each that matters."""
        return tidy(self._store) + self.expire()

    def expire(self) -> list[str]:
        """Drop what is too old; a sentence for each."""
        return self._room.expire()

    def entries(self) -> Iterator[Entry | Broken]:
        """All that is in the quarantine, oldest first."""
        for kept in self._store.kept():
            try:
                yield self.entry(kept.id)
            except NoSuchEntry:
                continue  # gone since
            except (Damaged, OSError) as problem:
                yield Broken(kept.id, str(problem))

    def entry(self, id: str) -> Entry:
        """One entry. Raises NoSuchEntry, Damaged, KeyRefused."""
        with self.opened(id) as (entry, _):
            return entry

    @contextmanager
    def opened(self, id: str) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """An entry and its content (SealReader.content). Raises NoSuchEntry, Damaged, KeyRefused, OSError."""
        fd = self._store.read(id)
        try:
            reader = SealReader(fd, self._store.key(make=False))
            entry = reader.entry(id)
            yield entry, reader.content(entry)
        finally:
            os.close(fd)

    def restore(self, id: str, to: bytes | None = None) -> Restored:
        """Put the file back, or `to` another place, and drop the entry.

        Raises NotRestored, NoSuchEntry, Busy, Damaged, KeyRefused and OSError: then the entry stays.
        """
        with self._store.held(id) as fd:
            reader = SealReader(fd, self._store.key(make=False))
            entry = reader.entry(id)
            left = restore(reader, entry, to)
            self._store.forget(id, SEALED)
        return Restored(entry, tuple(left))

    def release(self, sha256: bytes) -> list[Restored]:
        """Restore all that was taken for this digest, each to where it was. Never raises for one of them."""
        found = [one for one in self.entries() if isinstance(one, Entry) and one.judged.sha256 == sha256]
        return [self._release(entry) for entry in found]

    def _release(self, entry: Entry) -> Restored:
        try:
            return self.restore(entry.id)
        except (NotRestored, NoSuchEntry, Busy, Damaged, KeyRefused) as problem:
            return Restored(entry, problem=str(problem))
        except OSError as problem:
            return Restored(entry, problem=problem.strerror or str(problem))

    def drop(self, id: str) -> None:
        """Drop an entry for good, whether or not it can be opened. Raises NoSuchEntry, Busy and OSError."""
        with self._store.held(id):
            self._store.forget(id, SEALED)


def _not_done(path: bytes, problem: Exception) -> Done:
    if isinstance(problem, Changed):
        return Done(Result.CHANGED, path, reason=str(problem))
    if isinstance(problem, TooLarge):
        return Done(Result.TOO_LARGE, path, reason=_OVER_BOUND)
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return Done(Result.FAILED, path, reason=said)
