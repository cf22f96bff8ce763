"""How a guest gets its certificate, and the next one: what is done, in the order that no kill upsets.

The key is on the disk before anybody is asked, and stays there until there is a certificate for it: an answer
that was lost is asked for again, with the same token and the same key. Who this guest is changes by one
rename(2).
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from guest_stub.identity.host_offer import Offer
from guest_stub.identity.kept import Identity, Pending, by_host, pem
from guest_stub.identity.keys import Issued, Unsound, examine, make_key, public_sha256, request
from guest_stub.identity.pinning import authority_of
from guest_stub.identity.store import IdentityRefused, IdentityStore, OpenStore
from guest_stub.svm_link.enrolment import Answer, Asked, enrol, renew
from guest_stub.svm_link.target import NOT_ENROLLED, NotEnrolled, Svm

JITTER = (
    0.1  # of the time until a certificate is renewed: guests that enrolled together do not renew together
)
_USUAL_SHARE = 2 / 3  # of its life, where the SVM says nothing of use


@dataclass(frozen=True, slots=True)
class Place:
    """Where an SVM is, and which. port: where guests ask. fingerprint: of its authority, 32 bytes.

    enrolment_host: where they enrol, "" for the same.
    """

    host: str
    port: int
    enrolment_port: int
    fingerprint: bytes
    enrolment_host: str = ""

    @property
    def svm(self) -> str:
        """Where guests ask, as gRPC has it."""
        return _address(self.host, self.port)

    @property
    def enrolment(self) -> str:
        """Where they enrol."""
        return _address(self.enrolment_host or self.host, self.enrolment_port)


@dataclass(frozen=True, slots=True)
class Machine:
    """What this guest says of itself. digest: see machine.machine()."""

    digest: bytes
    host_name: str

    def asks(self, key: str) -> Asked:
        """What is asked for a key. Raises Unsound where this machine has no machine-id."""
        if not self.digest:
            raise Unsound("this machine has no /etc/machine-id: run systemd-machine-id-setup, and try again")
        return Asked(request(key), self.digest, self.host_name)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known before an answer. authority: PEM."""

    svm: str
    authority: str
    pending: Pending


async def enrol_guest(
    store: IdentityStore, place: Place, token: str, machine: Machine
) -> tuple[Identity, bool]:
    """Get a certificate, in place of what there may be: who this guest is, and whether that is news.

    What the same token has given here before is not asked for again. Raises IdentityProblem, SvmUnreachable.
    """
    asked_with = _digest(b"token\0" + token.encode())
    with store.open() as opened:
        known = _given_before(opened)
        if known is not None and (known.asked_with, known.fingerprint) == (
            asked_with,
            place.fingerprint.hex(),
        ):
            opened.keep(known)  # with which nothing is left over of a kill
            return known, False
        authority = _authority(place)
        pending = _pending(opened, asked_with)
        answer = await enrol(place.enrolment, authority.encode(), token, machine.asks(pending.key))
        return _keep(opened, _Known(f"tcp:{place.svm}", authority, pending), answer), True


async def enrol_by_host(
    store: IdentityStore, asks: Callable[[bytes], Offer], machine: Machine, hardware: str
) -> Identity:
    """Get a certificate by what this machine's host hands out for a key. Raises IdentityProblem,
    SvmUnreachable.

    asks: the host, for the SHA-256 of the public key. hardware: see machine.hardware(); a key that another
    machine has begun with, of which this one is a copy, is not gone on with.
    """
    with store.open() as opened:
        pending = _pending(opened, by_host(hardware))
        machine.asks(pending.key)  # or there is nothing to ask the host for
        offer = asks(public_sha256(pending.key))
        (host, port), (enrolment_host, enrolment_port) = offer.svm, offer.enrolment
        place = Place(host, port, enrolment_port, offer.fingerprint, enrolment_host)
        authority = _authority(place)
        answer = await enrol(place.enrolment, authority.encode(), offer.token, machine.asks(pending.key))
        return _keep(opened, _Known(f"tcp:{place.svm}", authority, pending), answer)


async def renew_guest(
    store: IdentityStore, address: str, machine: Machine, early: bool
) -> tuple[Identity, bool]:
    """Get the next certificate: who this guest is by now, and whether that is news.

    address: "tcp:host:port" of the SVM. early: also before it is due. Raises IdentityProblem, SvmUnreachable.
    """
    with store.open() as opened:
        old = opened.identity()
        if old is None:
            raise NotEnrolled(NOT_ENROLLED)
        if not early and time.time() < old.renew_at:
            return old, False
        pending = _pending(opened, _digest(b"certificate\0" + old.certificate.encode()))
        answer = await renew(Svm(address, lambda: old.proof), machine.asks(pending.key))
        return _keep(opened, _Known(old.svm, old.authority, pending), answer), True


def _authority(place: Place) -> str:
    """The authority's certificate, PEM. Raises NotPinned."""
    host = place.enrolment_host or place.host
    return pem(authority_of(host, place.enrolment_port, place.fingerprint))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _digest(shown: bytes) -> str:
    return hashlib.sha256(shown).hexdigest()


def _given_before(opened: OpenStore) -> Identity | None:
    """Who this guest is; None also where that is damaged, and gets another in its place."""
    try:
        return opened.identity()
    except IdentityRefused:
        return None


def _pending(opened: OpenStore, asked_with: str) -> Pending:
    """The key that was asked for with this before; else a new one, which is on the disk by now."""
    pending = opened.pending(asked_with)
    if pending is None:
        pending = Pending(asked_with, make_key())
        opened.keep_pending(pending)
    return pending


def _keep(opened: OpenStore, known: _Known, answer: Answer) -> Identity:
    now = time.time()
    issued = examine(answer, known.pending.key, known.authority, now)
    identity = Identity(
        known.svm,
        issued.guest,
        issued.tenant,
        known.authority,
        issued.certificate,
        known.pending.key,
        issued.begins,
        issued.ends,
        renew_at(issued, answer.renew_after, now, SystemRandom().random),
        known.pending.asked_with,
    )
    opened.keep(identity)
    return identity


def renew_at(issued: Issued, renew_after: float, now: float, chance: Callable[[], float]) -> float:
    """When to renew: after what the SVM says, in seconds, or a little before. chance: from 0 up to 1."""
    left = issued.ends - now
    wait = renew_after if 0 < renew_after < left else left * _USUAL_SHARE
    return now + wait * (1 - JITTER * chance())
