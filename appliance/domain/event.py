"""What happened: in the SVM, and in guests by their own word."""

from dataclasses import dataclass
from enum import StrEnum

MAX_PATH_BYTES = 4096
MAX_LABEL_BYTES = 256  # of a process, a threat, an action
MAX_TEXT_BYTES = 512
MAX_GUESTS_NAMED = 32  # of those that an event concerns; how many more there are, its count tells
JOURNAL_BYTES = 16


class EventKind(StrEnum):
    """What kind of thing it was; these words are those of `svm events --kind`."""

    SVM_START = "svm-start"
    SVM_STOP = "svm-stop"
    ATTACH = "attach"
    DETACH = "detach"
    DETECTION = "detection"  # a guest was told that a file is malicious or suspicious, or says it met one
    OUTBREAK = "outbreak"  # one threat in many places within a short time
    OVERRIDE = "override"
    POLICY = "policy"
    GENERATION = "generation"
    SCAN_ORDER = "scan-order"  # an administrator ordered scans
    SCAN_END = "scan-end"  # one of them is over
    REVOCATION = "revocation"  # answers about a digest do not count any more
    LOSS = "loss"  # events that were not kept
    IDENTITY = "identity"  # tokens, enrolments, certificates: made, or ended
    CLONE = "clone"  # a guest's certificate in two places, or on another machine
    VM_UNPROTECTED = "vm-unprotected"  # a machine that should be protected has not been for long
    VM_PROTECTED = "vm-protected"  # it is again
    VM_ISOLATED = "vm-isolated"  # a host agent cut its network off
    VM_RELEASED = "vm-released"  # and gave it back
    VM_ENROLLED = "vm-enrolled"  # its guest enrolled by a host agent's word
    IMAGE_SCANNED = "image-scanned"  # a disk image was scanned from outside, or not to its end
    IMAGE_DETECTION = "image-detection"  # a malicious or suspicious file lies on one
    # By the guest's word alone.
    ACTION = "action"  # what was done to a file
    FALLBACK = "fallback"  # answered by the fail mode, since no verdict came in time
    OVERFLOW = "overflow"  # the kernel dropped what the stub should have seen
    STUB_START = "stub-start"
    STUB_STOP = "stub-stop"
    NOTE = "note"  # of a kind that this SVM does not know


@dataclass(frozen=True, slots=True)
class Said:
    """What the guest says beside it: labels for people, and nothing is decided by them.

    number: of the guest's own journal. at: by the guest's clock, seconds since the epoch.
    path: bytes, as they are in the guest.
    """

    number: int
    at: float = 0.0
    path: bytes = b""
    process: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. at: by the SVM's clock, seconds since the epoch.

    guest: by its connection, "" for none. sha256: 32 bytes, or none. text: a sentence or label for people.
    actor: the administrator. count: of how many things it tells, 0 where that makes no sense.
    guests: whom it concerns, MAX_GUESTS_NAMED at the most. scope: whose cache entry a revocation is about.
    said: None for an event of the SVM's own. tenant: whose event it is, "" where it is no single tenant's.
    """

    at: float
    kind: EventKind
    guest: str = ""
    sha256: bytes = b""
    threat: str = ""
    text: str = ""
    actor: str = ""
    count: int = 0
    guests: tuple[str, ...] = ()
    scope: int = 0
    said: Said | None = None
    tenant: str = ""
