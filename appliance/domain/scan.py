"""A scan of a whole guest: one that an administrator ordered, or one that somebody in the guest began."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.domain.policy import DEFAULT_TENANT

SCAN_BYTES = 16  # of an id
MAX_PATHS = 64
MAX_PATH_BYTES = 4096
MAX_PATHS_BYTES = 16 * 1024  # of one order, all its paths together
MAX_SENTENCE_BYTES = 512


class ScanState(StrEnum):
    """Where a scan stands; these words are those of `svm guests scans`."""

    SCHEDULED = "scheduled"  # its time has not come
    AWAY = "away"  # it is due, and its guest's daemon is not attached
    WAITING = "waiting"  # for a slot, or for the guest to begin
    RUNNING = "running"
    DONE = "done"  # everything was looked at
    INCOMPLETE = "incomplete"  # the guest ended it before that
    CANCELLED = "cancelled"  # by an administrator, or in the guest
    EXPIRED = "expired"  # nobody came for it in time

    @property
    def is_end(self) -> bool:
        """Whether nothing comes after it."""
        return self in _ENDS


_ENDS = frozenset({ScanState.DONE, ScanState.INCOMPLETE, ScanState.CANCELLED, ScanState.EXPIRED})


@dataclass(frozen=True, slots=True)
class ScanCounts:
    """What a scan has looked at, by the guest's word. expected: files altogether, 0 where unknown."""

    files: int = 0
    bytes: int = 0
    malicious: int = 0
    suspicious: int = 0
    unanswered: int = 0
    expected: int = 0


@dataclass(frozen=True, slots=True)
class ScanReport:
    """How a guest says that a scan stands. id: SCAN_BYTES bytes. state: WAITING, RUNNING or an end."""

    id: bytes
    state: ScanState
    counts: ScanCounts = field(default_factory=ScanCounts)
    text: str = ""


@dataclass(frozen=True, slots=True)
class ScanOrder:
    """What an administrator ordered. Times: seconds since the epoch; ended_at: 0 while it is open.

    id: SCAN_BYTES bytes. guest: by its connection. paths: none for everything that the guest protects.
    actor: the administrator. state, counts, text: of its end; while it is open they say nothing. tenant:
    whose guest it was when it was ordered.
    """

    id: bytes
    guest: str
    paths: tuple[bytes, ...]
    actor: str
    ordered_at: int
    due_at: int
    ended_at: int = 0
    state: ScanState = ScanState.SCHEDULED
    counts: ScanCounts = field(default_factory=ScanCounts)
    text: str = ""
    tenant: str = DEFAULT_TENANT

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return not self.ended_at


def by_tenant(orders: Iterable[ScanOrder]) -> dict[str, list[ScanOrder]]:
    """The orders of each tenant, in the order in which they are given."""
    found: dict[str, list[ScanOrder]] = {}
    for order in orders:
        found.setdefault(order.tenant, []).append(order)
    return found


def shown_paths(paths: Sequence[bytes]) -> str:
    """Return what a scan is of, for people: its first paths and how many more there are."""
    if not paths:
        return "everything that is protected"
    first = ", ".join(path.decode(errors="replace") for path in paths[:4])
    return first if len(paths) <= 4 else f"{first} and {len(paths) - 4} more"


def told_counts(counts: ScanCounts) -> str:
    """Return what a scan looked at, for people."""
    return (
        f"{counts.files:,} files, {counts.malicious:,} malicious, {counts.suspicious:,} suspicious, "
        f"{counts.unanswered:,} unanswered"
    )
