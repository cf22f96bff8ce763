"""How a question about a file can end, in one numbering.

The numbers below 100 are those of the wire (verdict.proto); those from 100 on are the stub's own.
"""

from enum import IntEnum


class Outcome(IntEnum):
    """Every end of a question, and the two states on the way there."""

    # Verdicts: may be kept and acted on.
    MALICIOUS = 1
    SUSPICIOUS = 2
    CLEAN = 3
    NOT_DETECTED = 4

    # Unanswered by the SVM: never kept, never acted on as clean or as malicious.
    TOO_LARGE = 10
    TIMED_OUT = 11
    ENGINE_ERROR = 12
    ENCRYPTED = 13
    OVERLOADED = 14
    CHANGED = 15  # the file changed, or went away, since it was hashed; found out by the stub as well

    # Not ends.
    CONTENT_NEEDED = 20
    PENDING = 21

    # Unanswered, found out by the stub itself.
    NO_SVM = 100  # no SVM answers, or the one that was asked went away
    UNREADABLE = 101  # no right to read the file, or the disk failed


VERDICTS = frozenset({Outcome.MALICIOUS, Outcome.SUSPICIOUS, Outcome.CLEAN, Outcome.NOT_DETECTED})
DETECTIONS = frozenset({Outcome.MALICIOUS, Outcome.SUSPICIOUS})
OPEN = frozenset({Outcome.CONTENT_NEEDED, Outcome.PENDING})

# What an SVM may send. Zero is not among them: reading it is an error of the sender.
_BY_NUMBER = {int(outcome): outcome for outcome in Outcome if outcome < Outcome.NO_SVM}
FROM_WIRE = frozenset(_BY_NUMBER)


def from_wire(number: int) -> Outcome:
    """The outcome that an SVM sent; ENGINE_ERROR for zero and for every number not known here."""
    return _BY_NUMBER.get(number, Outcome.ENGINE_ERROR)


def label(outcome: int) -> str:
    """The outcome in lower-case words, as people and JSON read it: "not detected"."""
    return Outcome(outcome).name.lower().replace("_", " ")
