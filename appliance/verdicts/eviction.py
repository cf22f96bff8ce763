"""Which verdicts make way in a cache that is full: what counts least first."""

from collections.abc import Mapping
from enum import IntEnum

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict


class Worth(IntEnum):
    """How much a verdict counts."""

    DAMAGED = 0
    ENDED = 1
    STALE = 2  # the word of engines of another generation; counts again when that comes back
    REPLACEABLE = 3
    MALICIOUS = 4  # last of all: forgetting one would cost most


_DETECTIONS_SHARE = 4  # one in so many may be a detection: guests can make as many as they like


def worth(verdict: Verdict | None, generation: int) -> Worth:
    """What a verdict is worth under a generation, 0 where none is known yet; None: one that has ended."""
    if verdict is None:
        return Worth.ENDED
    if verdict.source is Source.ENGINE and generation not in (0, verdict.generation):
        return Worth.STALE
    return Worth.MALICIOUS if verdict.disposition is Disposition.MALICIOUS else Worth.REPLACEABLE


def expendable(window: Mapping[bytes, Worth]) -> list[bytes]:
    """The keys of a window that may make way, what counts least first; all but a share for detections.

    Among equals the first keys go: neighbours share pages, and pages that become empty are what LMDB
    can use again.
    """
    keys = {level: [key for key, value in window.items() if value is level] for level in Worth}
    kept = len(window) // _DETECTIONS_SHARE
    surplus = keys[Worth.MALICIOUS][: max(0, len(keys[Worth.MALICIOUS]) - kept)]
    dead = [key for level in Worth if level <= Worth.STALE for key in keys[level]]
    return [*dead, *surplus, *keys[Worth.REPLACEABLE]]


def choose(window: Mapping[bytes, Worth], quota: int) -> list[bytes]:
    """The keys of a window that make way, ascending: what does not count at all, and others up to `quota`."""
    dead = sum(value <= Worth.STALE for value in window.values())
    chosen = expendable(window)[: max(quota, dead)]
    if len(chosen) < quota:
        left = sorted(window.keys() - set(chosen))
        chosen += left[: quota - len(chosen)]
    return sorted(chosen)
