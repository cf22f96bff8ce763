"""How a question about a web address can end. The numbers are those of the wire (guest.proto)."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from appliance.domain.outcome import Source


class UrlOutcome(IntEnum):
    """An answer, or that there is none. UNKNOWN is never to be taken for CLEAN."""

    MALICIOUS = 1
    SUSPICIOUS = 2
    CLEAN = 3  # somebody vouches for it
    UNKNOWN = 4  # nobody who was asked knows it, or nobody could be asked
    NO_URL = 5  # the text is no address of the web


class Matched(StrEnum):
    """What of the address was known."""

    URL = "url"
    HOST = "host"
    DOMAIN = "domain"
    LIST = "list"  # whatever stands in a list of the operator's
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    """What is said of a web address.

    source: None where nobody knows it. valid_for: seconds that the asker may keep it, 0 for not at all.
    reason: a sentence, where there is more to say.
    """

    outcome: UrlOutcome
    threat: str = ""
    category: str = ""
    matched: Matched = Matched.NOTHING
    source: Source | None = None
    valid_for: float = 0.0
    reason: str = ""
