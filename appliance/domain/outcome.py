"""How a question about a digest can end. The numbers are those of the wire (verdict.proto)."""

from enum import IntEnum


class Disposition(IntEnum):
    """A verdict: may be stored, and acted on."""

    MALICIOUS = 1
    SUSPICIOUS = 2  # adware, riskware, a potentially unwanted application
    CLEAN = 3  # somebody vouches for it
    NOT_DETECTED = 4  # all engines looked, none objected

    @property
    def is_detection(self) -> bool:
        """Whether somebody objects."""
        return self in (Disposition.MALICIOUS, Disposition.SUSPICIOUS)


class Unanswered(IntEnum):
    """Not a verdict: never stored, never acted on as clean or as malicious."""

    TOO_LARGE = 10
    TIMED_OUT = 11
    ENGINE_ERROR = 12
    ENCRYPTED = 13
    OVERLOADED = 14
    CHANGED = 15  # what the guest sent is not what it had hashed


class Open(IntEnum):
    """Not an end yet."""

    CONTENT_NEEDED = 20
    PENDING = 21


class Source(IntEnum):
    """Who gave a verdict."""

    ENGINE = 1
    KSN = 2
    OVERRIDE = 3
    LIST = 4
