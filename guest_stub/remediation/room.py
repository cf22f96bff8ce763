"""Keeps a quarantine to its bounds, and says what had to go."""

from collections.abc import Callable, Iterable

from guest_stub.remediation.about import label
from guest_stub.remediation.bounds import Bounds, Kept, in_the_way, outdated
from guest_stub.remediation.cipher import KeyRefused
from guest_stub.remediation.sealed import Damaged, SealReader
from guest_stub.remediation.store import PART, SEALED, Busy, NoSuchEntry, Store

_TOO_OLD = "by its age"


class Room:
    """The bounds of one store. clock_ns: nanoseconds since the epoch."""

    def __init__(self, store: Store, bounds: Bounds, clock_ns: Callable[[], int]) -> None:
        """The store stays the caller's."""
        self._store = store
        self._bounds = bounds
        self._clock_ns = clock_ns

    def make(self, wanted: int) -> list[str]:
        """Room for so many bytes more, within Store.locked(); a sentence for each that went.

        Raises TooLarge, before anything went. What somebody restores right now stays, and is over the bound.
        """
        kept = self._store.kept()
        being_made = sum(part.bytes for part in self._store.kept(PART))
        going = in_the_way(kept, being_made, wanted, self._bounds)
        old = outdated(kept, self._bounds, self._clock_ns())
        return self._drop(old, _TOO_OLD) + self._drop(
            [one for one in going if one not in old], "to make room"
        )

    def expire(self) -> list[str]:
        """Drop what is too old; a sentence for each."""
        with self._store.locked():
            return self._drop(outdated(self._store.kept(), self._bounds, self._clock_ns()), _TOO_OLD)

    def _drop(self, going: Iterable[Kept], why: str) -> list[str]:
        said = []
        for one in going:
            try:
                with self._store.held(one.id) as fd:
                    about = self._about(fd, one)
                    self._store.forget(one.id, SEALED)
                    said.append(f"dropped from the quarantine for good, {why}: {about}")
            except (Busy, NoSuchEntry):
                continue
        return said

    def _about(self, fd: int, one: Kept) -> str:
        try:
            return label(SealReader(fd, self._store.key(make=False)).entry(one.id))
        except (Damaged, KeyRefused, OSError) as problem:
            return f"{one.id} ({problem})"
