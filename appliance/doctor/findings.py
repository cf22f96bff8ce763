"""One line of what `svm doctor` says."""

from collections.abc import Sequence
from dataclasses import dataclass

DAY = 86400.0
AMISS_SECONDS = 7 * DAY  # what ends sooner is amiss
NOTE_SECONDS = 30 * DAY

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and a sentence. good: True: it is; False: it is amiss; None: it is to be known."""

    what: str
    good: bool | None
    said: str


def ok(what: str, said: str) -> Finding:
    """All is well."""
    return Finding(what, True, said)


def note(what: str, said: str) -> Finding:
    """Something to be known."""
    return Finding(what, None, said)


def amiss(what: str, said: str) -> Finding:
    """Something is wrong; the sentence says what to do."""
    return Finding(what, False, said)


def several(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def long(seconds: float) -> str:
    """A length of time, to the unit that matters: "3 days", "5 h", "12 min"."""
    if abs(seconds) >= 2 * DAY:
        return f"{int(seconds // DAY):,} days"
    if abs(seconds) >= 2 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 60)} min" if abs(seconds) >= 120 else f"{int(seconds)} s"


def ending(what: str, ends: float, now: float, remedy: str) -> Finding:
    """How long something still counts. ends, now: seconds since the epoch. remedy: what to do in time."""
    left = ends - now
    if left <= 0:
        return amiss(what, f"ended {long(-left)} ago: {remedy}")
    said = f"counts for another {long(left)}"
    if left < AMISS_SECONDS:
        return amiss(what, f"{said}: {remedy}")
    return note(what, f"{said}: {remedy}") if left < NOTE_SECONDS else ok(what, said)


def mib(count: float) -> str:
    """Bytes as MiB."""
    return f"{count / (1 << 20):,.1f} MiB"
