"""The port to a reputation service: what can be asked, what can be answered, how it can fail.

Another service is one file that offers `ReputationService`, and a test of it. What may be sent at all is
not decided here: `statement` makes the requests.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from appliance.domain.policy import Mode
from appliance.ksn.zones import Zone

MAX_NAME_BYTES = 256  # of a threat or a category, as in a verdict


class Call(StrEnum):
    """What a service can be asked or told; those it takes are its capabilities."""

    HASH = "hash"
    URL = "url"
    DOMAIN = "domain"
    IP = "ip"
    SUBMIT = "submit"
    RESULT = "result"  # of what was submitted
    STATISTICS = "statistics"
    CHANGES = "changes"  # of zones since a position


# No questions: a service may turn these away, for want of room, and answer questions all the same.
BESIDE_QUESTIONS = frozenset({Call.SUBMIT, Call.STATISTICS, Call.CHANGES})


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about.

    call: one of HASH, URL, DOMAIN, IP, RESULT. value: a SHA-256 in hexadecimal, a normal URL without its
    query string, the name of a host, an address. query: of a URL, without the question mark, "" for none;
    it leaves in extended mode only.
    """

    call: Call
    value: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Content to submit: a file or a part of one. sha256: of the whole file. offset: of `data` in it."""

    sha256: bytes
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as `statement` allows it; nothing that is not in here leaves, but for the API key.

    fields: names, as the Statement and the ledger have them, and values. part: of SUBMIT.
    """

    call: Call
    mode: Mode
    fields: tuple[tuple[str, str], ...]
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said. Worth keeping, for as long as `zones` says.

    threat, category, program: printable, at most MAX_NAME_BYTES of UTF-8, "" where nothing was said. program:
    what software a file belongs to, "Firefox 115.0 (Mozilla)". hits: how often the service met it, None
    where it does not say. complete: False while an analysis is under way.
    """

    zone: Zone
    threat: str = ""
    category: str = ""
    hits: int | None = None
    complete: bool = True
    program: str = ""

    @property
    def software(self) -> str:
        """Program and category in one text of at most MAX_NAME_BYTES: "Firefox 115.0 (Mozilla), Browser"."""
        both = ", ".join(filter(None, (self.program, self.category)))
        return both.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip()


@dataclass(frozen=True, slots=True)
class Flip:
    """A subject whose zone is another one now. zone: None where nothing is known of it any more.

    threat, category, program: as in an Answer. url_sha256: in hexadecimal, of a URL of which the service
    keeps no more than that; else "".
    """

    call: Call
    value: str
    zone: Zone | None
    threat: str = ""
    category: str = ""
    program: str = ""
    url_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a service says of its changes. position: from which on to ask the next time.

    more: whether there are more by now. lost: the position that was asked from does not count there, so
    changes may have been missed.
    """

    position: int
    more: bool = False
    flips: tuple[Flip, ...] = ()
    lost: bool = False


class Trouble(StrEnum):
    """Why there is no answer. Never kept: the next question is asked anew."""

    # What a service can do.
    BAD_QUERY = "bad query"  # it does not take this subject; asking again is of no use
    TOO_LARGE = "too large"  # what was sent is
    QUOTA = "quota"  # spent, by the service's word or by our own count
    REFUSED = "credentials refused"
    UNREACHABLE = "unreachable"  # nobody there, nobody we trust, or one who says that he cannot serve
    MALFORMED = "malformed"  # what came is no answer
    TIMED_OUT = "timed out"
    # What we decide ourselves.
    NOT_OFFERED = "not offered"  # the service does not take such a question
    NOT_ALLOWED = "not allowed"  # the Statement does not have it in this mode
    BUSY = "busy"  # too many questions are open
    PAUSED = "paused"  # the circuit breaker is open
    NOT_RECORDED = "not recorded"  # the ledger could not be written, so nothing was sent
    WITHDRAWN = "withdrawn"  # the tenant takes part no more
    FAULT = "fault"  # of this program


class ReputationError(Exception):
    """A request got no answer. The text is a sentence for people, without the API key."""

    def __init__(self, trouble: Trouble, sentence: str) -> None:
        super().__init__(sentence)
        self.trouble = trouble


class ReputationService(Protocol):
    """A service that can be asked. Every method raises ReputationError and nothing else."""

    @property
    def name(self) -> str:
        """The service, as the ledger has it."""

    @property
    def capabilities(self) -> frozenset[Call]:
        """What it takes."""

    async def ask(self, request: Request, seconds: float) -> Answer:
        """Return what it says of a subject, within `seconds`. Not found is an answer."""

    async def send(self, request: Request, seconds: float) -> None:
        """Hand over content or statistics, within `seconds`."""

    async def changes(self, request: Request, seconds: float) -> Changes:
        """Return what changed since the request's position, waiting for a change as long as that says."""

    async def close(self) -> None:
        """Let go of every connection; what is under way fails."""
