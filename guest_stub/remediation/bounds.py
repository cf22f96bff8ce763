"""What has to go so that a quarantine keeps to its bounds: the oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_ENTRIES = 10_000  # so that a list of them, and a look for room, end in a second or so
_DAY_NS = 86_400 * 10**9


class Kept(NamedTuple):
    """A sealed file. time_ns: when it was sealed. bytes: of the sealed file."""

    time_ns: int
    id: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """bytes: of all sealed files together. days: how long one is kept."""

    bytes: int
    days: int


class TooLarge(Exception):
    """A file is larger than the whole quarantine may be."""


def outdated(kept: Sequence[Kept], bounds: Bounds, now_ns: int) -> list[Kept]:
    """Those that are older than they may be."""
    return [one for one in kept if now_ns - one.time_ns > bounds.days * _DAY_NS]


def in_the_way(kept: Sequence[Kept], being_made: int, wanted: int, bounds: Bounds) -> list[Kept]:
    """The oldest, as many as have to go for `wanted` bytes more; being_made: bytes that others have claimed.

    Raises TooLarge where no number of them would do.
    """
    if wanted > bounds.bytes:
        raise TooLarge
    total, count, going = sum(one.bytes for one in kept) + being_made + wanted, len(kept) + 1, []
    for one in sorted(kept):
        if total <= bounds.bytes and count <= MAX_ENTRIES:
            break
        going.append(one)
        total, count = total - one.bytes, count - 1
    return going
