"""Which SVM, how it is reached, and what this guest proves itself by on the way. Free of grpc.

On a unix socket the kernel says who comes (see `ticket`). Over TCP it is TLS 1.3, and always both ways: the
SVM shows a certificate of the authority that was pinned when this guest enrolled, the guest its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

# What certificates of SVMs are for, whatever their addresses: no guest's says so.
SVM_NAME = "svm.kvm-light-agent"
NOT_ENROLLED = (
    "this guest is not enrolled, which every way over TCP needs: "
    "run: guest-stub enrol --svm HOST --token TOKEN --ca-fingerprint SHA256"
)


class IdentityProblem(Exception):
    """Something is amiss with who this guest is to its SVM; the message says what, and what to do."""


class NotEnrolled(IdentityProblem):
    """This guest has nothing to prove itself by."""


@dataclass(frozen=True, slots=True)
class Proof:
    """All in PEM. authority: that counts for SVMs. certificate: the guest's, then those up to the authority.

    begins, ends: when the certificate counts, in seconds since 1970.
    """

    authority: bytes
    certificate: bytes
    key: bytes
    begins: float
    ends: float


def nobody() -> Proof:
    """Raise NotEnrolled."""
    raise NotEnrolled(NOT_ENROLLED)


@dataclass(frozen=True, slots=True)
class Svm:
    """An SVM as this guest reaches it.

    address: "unix:/path/of/socket" or "tcp:host:port". proof: asked for with each connection over TCP, since
    it is renewed meanwhile; raises NotEnrolled.
    """

    address: str
    proof: Callable[[], Proof] = nobody


# A text stands for an SVM that nobody has to prove himself to: that of a unix socket.
Target = Svm | str


def svm_of(target: Target) -> Svm:
    """The SVM that is meant."""
    return target if isinstance(target, Svm) else Svm(target)


def host_and_port(address: str) -> str:
    """What "tcp:host:port" names, "host:port"; "" for any other form."""
    kind, _, place = address.partition(":")
    host, _, port = place.rpartition(":")
    return place if kind == "tcp" and host and port else ""
