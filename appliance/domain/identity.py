"""What is known of who is who: tokens, guests that enrolled, certificates that were issued."""

from dataclasses import dataclass
from enum import StrEnum

from appliance.domain.caller import Caller, Role

SERVER_NAME = "svm.kvm-light-agent"  # by which clients know every SVM, whatever its address is
MACHINE_BYTES = 32
MAX_HOST_NAME_BYTES = 256
MAX_REASON_BYTES = 512
TOKEN_ID_DIGITS = 12  # in hexadecimal
BEGINNING_BYTES = 4  # the fewest of a SHA-256 that name a certificate or a token


class CertificateState(StrEnum):
    """How a certificate stands."""

    GOOD = "good"
    EXPIRED = "expired"  # its time is over
    REVOKED = "revoked"  # by an administrator
    CLONED = "cloned"  # it was used in two places
    SUPERSEDED = "superseded"  # by a newer one of the same guest


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was issued. Times: seconds since the epoch.

    sha256: of it in DER. serial: in hexadecimal. holder: the URI that it names. ended: why it counts no more
    before its time, None while it does; ended_by: the administrator, "" for the SVM itself.
    """

    sha256: bytes
    serial: str
    holder: str
    issued_at: float
    ends_at: float
    ended: CertificateState | None = None
    ended_at: float = 0.0
    ended_by: str = ""
    reason: str = ""

    def state(self, now: float) -> CertificateState:
        """How it stands at a time."""
        if self.ended is not None:
            return self.ended
        return CertificateState.GOOD if now < self.ends_at else CertificateState.EXPIRED


@dataclass(frozen=True, slots=True)
class EnrolledGuest:
    """A guest that enrolled. enrolled_at: seconds since the epoch. host_name: its own word.

    machine: 32 bytes, or none where it said none. current, following, before: SHA-256 of certificates: the
    one that it shows, one that it got by renewal and has not shown on Attach yet, the one before the current.
    """

    uuid: str
    tenant: str
    host_name: str
    machine: bytes
    enrolled_at: float
    current: bytes
    following: bytes = b""
    before: bytes = b""

    @property
    def holder(self) -> Caller:
        """The guest as its certificates name it."""
        return Caller(self.uuid, Role.GUEST, self.tenant)

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Those that are known, the newest first."""
        return tuple(filter(None, (self.following, self.current, self.before)))


@dataclass(frozen=True, slots=True)
class Token:
    """What lets one guest enrol. Times: seconds since the epoch.

    digest: SHA-256 of its text, which is kept nowhere. uuid: "" for one that is drawn; once used, that one.
    key: SHA-256 of the public key that it was used for, none while it was not used. certificate: what came of
    that, in DER.
    only_key: SHA-256 of the only public key that it is good for, none where that is the first that comes.
    """

    digest: bytes
    tenant: str
    uuid: str
    created_at: float
    expires_at: float
    author: str
    key: bytes = b""
    certificate: bytes = b""
    only_key: bytes = b""

    @property
    def id(self) -> str:
        """By which people know it."""
        return token_id(self.digest)

    @property
    def subject(self) -> str:
        """What it is called in the audit."""
        return f"token {self.id}, for {f'guest {self.uuid}' if self.uuid else 'a new guest'}"

    @property
    def vouched_by(self) -> str:
        """The host agent by whose word a machine's own key enrols with it, as its author; "" for others."""
        return self.author if self.only_key and self.author.startswith(f"{Role.HOST_AGENT} ") else ""

    def is_for(self, caller: Caller) -> bool:
        """Whether an administrator sees it; a host agent sees what it has made itself."""
        own = caller.role is not Role.HOST_AGENT or self.author == caller.author
        return own and caller.sees(self.tenant)


def token_id(digest: bytes) -> str:
    """What people know a token by, of its SHA-256."""
    return digest.hex()[:TOKEN_ID_DIGITS]
