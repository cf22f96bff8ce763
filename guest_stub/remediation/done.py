"""What is to be done about a detection, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum


class Refused(Exception):
    """What a person asked for was not done; each kind stands beside its raiser, the message is a sentence."""


class Action(StrEnum):
    """What a policy says is to be done with a file that was detected."""

    BLOCK = "block"  # whoever opens it is refused; the file stays
    QUARANTINE = "quarantine"
    DELETE = "delete"
    REPORT = "report"  # nothing but an event


class Result(StrEnum):
    """What became of the file."""

    LEFT = "left"  # by BLOCK and REPORT, which touch no file
    QUARANTINED = "quarantined"
    DELETED = "deleted"
    CHANGED = "changed"  # it is not what was judged any more: left, to be judged again
    TOO_LARGE = "too large"  # for the quarantine's bound: left
    FAILED = "failed"  # the reason says why: left


@dataclass(frozen=True, slots=True)
class Done:
    """path: where the file was. entry: its id in the quarantine, or "".

    reason: a sentence where it was left, or where something of it is left behind. other_names: hard links
    that still lead to it; emptied: it has no content under them any more. dropped: a sentence for each
    entry of the quarantine that had to go.
    """

    result: Result
    path: bytes
    entry: str = ""
    reason: str = ""
    other_names: int = 0
    emptied: bool = False
    dropped: tuple[str, ...] = ()
