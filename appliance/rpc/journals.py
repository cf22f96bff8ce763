"""Which of a guest's events are kept, until it was told."""

from dataclasses import dataclass, field

from lightagent.v1 import guest_pb2

MAX_UNTOLD = 32  # journals of which a guest has not taken what it is told


@dataclass(slots=True)
class Journals:
    """Which of a guest's events are kept, by journal, and not told yet."""

    kept: dict[bytes, int] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether the guest is to take what it is told before it has more kept."""
        return len(self.kept) >= MAX_UNTOLD

    def note(self, journal: bytes, up_to: int) -> None:
        """Have the guest told that a journal is kept up to a number."""
        self.kept[journal] = max(up_to, self.kept.get(journal, 0))

    def take(self) -> guest_pb2.EventsKept | None:
        """What to tell next, None for nothing."""
        if not self.kept:
            return None
        journal, up_to = self.kept.popitem()
        return guest_pb2.EventsKept(journal=journal, up_to=up_to)
