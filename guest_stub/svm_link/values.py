"""What callers of the link hand in and get back: plain values, free of grpc."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from guest_stub.outcome import Outcome

MAX_LABEL_BYTES = 256
MAX_PATH_BYTES = 4096
MAX_TEXT_BYTES = 512
MAX_EVENTS = 256  # of one batch
JOURNAL_BYTES = 16
SCAN_BYTES = 16  # of what a scan is called by
MAX_SCAN_PATHS = 64
UNKNOWN = "unknown"  # a word of the SVM's that is newer than this stub


class Purpose(IntEnum):
    """Why content is asked about (verdict.proto)."""

    ON_ACCESS = 1  # a process waits
    ON_DEMAND = 2  # only answers of the current generation count


class Program(IntEnum):
    """Which of the guest's programs attaches (guest.proto)."""

    OTHER = 0
    DAEMON = 1  # what protects the guest: there is one


@dataclass(frozen=True, slots=True)
class HelloLabels:
    """What the stub calls itself: for people, cut to MAX_LABEL_BYTES each.

    program: what attaches. session: 16 hexadecimal digits that this program drew when it started, so that
    others of the same guest can be attached beside it; "" where it is the only one. machine: 32 bytes that
    tell this machine from its copies (identity.machine), b"" where it has none.
    """

    stub_version: str
    os: str = ""
    boot_id: str = ""
    host_name: str = ""
    program: Program = Program.OTHER
    session: str = ""
    machine: bytes = b""


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """What the SVM asks of this guest: sizes in bytes, batches in digests."""

    max_file_bytes: int
    max_batch: int
    max_chunk_bytes: int
    heartbeat_seconds: float


class LinkAnswer(NamedTuple):
    """The end of one question. A tuple, since answers that are alike are gathered, by the thousand.

    generation, valid_for (seconds): how long a verdict may be kept; both 0 for an unanswered one.
    threat, engine, member: of a detection. reason: a sentence for people beside an unanswered one.
    category: what software it is, where a source knows that.
    """

    outcome: Outcome
    generation: int = 0
    valid_for: float = 0.0
    threat: str = ""
    engine: str = ""
    member: str = ""
    reason: str = ""
    category: str = ""


class KsnReason(NamedTuple):
    """Why KSN is not used, or only with restrictions. word: the wire's, or UNKNOWN. sentence: for people."""

    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class KsnUse:
    """How the Kaspersky Security Network is used for this guest, in the wire's words in lower case.

    state: "enabled", "restricted" or "off". type: "global" or "private". mode: "standard" or "extended".
    Type and mode are "" where none is in force; each of the three is UNKNOWN where the SVM says what this
    stub has no word for. reasons: the most important first. statement_accepted: the version under which the
    guest's tenant takes part, 0 for none. statement_in_force: the version that is to be accepted now.
    """

    state: str
    type: str = ""
    mode: str = ""
    reasons: tuple[KsnReason, ...] = ()
    statement_accepted: int = 0
    statement_in_force: int = 0


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    """What the SVM says of a web address, in the wire's words in lower case.

    outcome: "malicious", "suspicious", "clean", "unknown" or "no url"; what this stub has no word for is
    UNKNOWN, which is never clean. matched: "url", "host", "domain" or "list", "" where nothing was known.
    source: "ksn", "list" or "". valid_for: in seconds, 0 for not at all. reason: a sentence, or "".
    """

    outcome: str
    threat: str = ""
    category: str = ""
    matched: str = ""
    source: str = ""
    valid_for: float = 0.0
    reason: str = ""


class EventKind(IntEnum):
    """What happened in the guest (guest.proto)."""

    DETECTION = 1
    ACTION = 2
    FALLBACK = 3
    OVERFLOW = 4
    STUB_STARTED = 5
    STUB_STOPPED = 6


@dataclass(frozen=True, slots=True)
class GuestEvent:
    """One event for the SVM to keep.

    number: of the stub's own journal, from 1, rising; it may leave some out. at: seconds since the epoch.
    sha256: 32 bytes, or none. path: as it is, up to MAX_PATH_BYTES. process, threat, action: labels of up to
    MAX_LABEL_BYTES. text: a sentence of up to 512 bytes; what is longer is cut. count: of how many alike it
    tells.
    """

    number: int
    kind: EventKind
    at: float
    sha256: bytes = b""
    path: bytes = b""
    process: str = ""
    threat: str = ""
    action: str = ""
    text: str = ""
    count: int = 0


class ScanState(IntEnum):
    """How a scan stands (guest.proto)."""

    WAITING = 1  # for a slot
    RUNNING = 2
    DONE = 3
    INCOMPLETE = 4
    CANCELLED = 5


@dataclass(frozen=True, slots=True)
class ScanStatus:
    """How a scan stands, for the SVM.

    scan: SCAN_BYTES. files, bytes: so far, in this run of it. unanswered: looked at without a verdict.
    expected_files: altogether, 0 where that is not known. text: a sentence, cut to MAX_TEXT_BYTES.
    """

    scan: bytes
    state: ScanState
    files: int = 0
    bytes: int = 0
    malicious: int = 0
    suspicious: int = 0
    unanswered: int = 0
    expected_files: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class ScanTask:
    """A scan that an administrator ordered, or called off.

    paths: absolute, at most MAX_SCAN_PATHS; none for everything that is protected. sound: False for one that
    breaks the wire's rules, which has no paths here and cannot be done.
    """

    scan: bytes
    paths: tuple[bytes, ...] = ()
    cancelled: bool = False
    sound: bool = True


@dataclass(frozen=True, slots=True)
class ScanSlot:
    """A scan may look at files from now on, or no more until it is granted a slot again."""

    scan: bytes
    granted: bool


def cut(text: str, most: int = MAX_LABEL_BYTES) -> str:
    """The text in as many bytes of UTF-8 as the wire takes; what is no character is replaced."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


class FileContent(NamedTuple):
    """Where the bytes of a digest are, should the SVM need them. A tuple, since one is made for each upload.

    size: exactly as many bytes as were hashed. name: last part of the path, cut to 255 bytes.
    open: gives a readable descriptor of a regular file, which the link closes. It is called in the
    link's reading thread, never on the loop, and may raise OSError: the question then ends as
    UNREADABLE, or as CHANGED where the file is gone.
    """

    size: int
    name: bytes
    open: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Digests to ask about in one request.

    digests: 1 to LinkPolicy.max_batch of exactly 32 bytes each. budget: seconds until what is still
    open ends as TIMED_OUT. content: called on the loop with an index into digests when the SVM
    needs that file's bytes; more than once for an index when an upload has to be repeated.
    """

    digests: Sequence[bytes]
    purpose: Purpose
    budget: float
    content: Callable[[int], FileContent]


class LinkListener(Protocol):
    """Told of what the SVM says unasked; each call is made on the loop and must not block or raise."""

    def generation_changed(self, generation: int) -> None:
        """NOT_DETECTED answers of another generation no longer count for on-demand scans."""

    def revoked(self, digests: list[bytes]) -> None:
        """Kept decisions about these digests (32 bytes each) are void."""

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """Events of a journal are on the SVM's disk up to a number: they may be forgotten."""

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """A scan was ordered or called off, or a slot given or taken. The same may be told twice."""

    def lost(self, why: str) -> None:
        """The SVM is gone, for the reason that the sentence gives. At most once; not for close()."""
