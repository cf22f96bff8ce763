"""Which verdicts make way in a cache that is full: what counts least first."""

from collections.abc import Mapping
from enum import IntEnum

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict


class Worth(IntEnum):
    """How much a verdict counts."""

    DAMAGED = 0
    ENDED = 1
    STALE = 2  # engines of another generation detected nothing; counts again when that comes back
    REPLACEABLE = 3
    MALICIOUS = 4  # last of all: forgetting one would cost most


def worth(verdict: Verdict | None, generation: int) -> Worth:
    """What a verdict is worth under a generation; None: one that has ended."""
    if verdict is None:
        return Worth.ENDED
    if verdict.disposition is Disposition.MALICIOUS:
        return Worth.MALICIOUS
    if (
        verdict.disposition is Disposition.NOT_DETECTED
        and verdict.source is Source.ENGINE
        and verdict.generation != generation
    ):
        return Worth.STALE
    return Worth.REPLACEABLE


def choose(window: Mapping[bytes, Worth], quota: int) -> list[bytes]:
    """The keys of a window that make way, ascending: what does not count at all, and others up to `quota`.

    Among equals the first keys go: neighbours share pages, and pages that become empty are what LMDB
    can use again.
    """
    chosen = [key for key, value in window.items() if value <= Worth.STALE]
    for level in (Worth.REPLACEABLE, Worth.MALICIOUS):
        if len(chosen) < quota:
            chosen += [key for key, value in window.items() if value is level][: quota - len(chosen)]
    return sorted(chosen)
