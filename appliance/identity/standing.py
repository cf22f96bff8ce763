"""How the certificates of a guest follow on one another, and what is kept of those that count no more.

Of each guest three are known at the most: the one that it shows, one that it got by renewal and has not shown
yet, and the one before, so that whoever still shows that is told what is wrong with it.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.identity import Certificate, CertificateState, EnrolledGuest, Token
from appliance.domain.times import utc
from appliance.identity.names import holder_of, uri_of
from appliance.state.identities import IdentityStore, IdentityTables

KEPT_SECONDS = 30 * 86400  # that a certificate stays known after its end, for people to look at
LOOKED_AT = 1000  # certificates, for how many count of one administrator

_SENTENCES = {
    CertificateState.REVOKED: "this certificate was revoked: ask whoever runs the SVM for a token",
    CertificateState.CLONED: (
        "this certificate was used in two places at once, as by a copy of this machine, and counts in "
        "neither: each has to enrol anew, with a token of its own"
    ),
    CertificateState.SUPERSEDED: "a newer certificate of this guest took the place of this one: show that",
}


class OtherMachine(NotAdmitted):
    """A guest's certificate is shown by another machine than enrolled with it."""


def digest_of(der: bytes) -> bytes:
    """What a certificate is known by."""
    return hashlib.sha256(der).digest()


def good(certificate: Certificate | None, now: float) -> Certificate:
    """Return a certificate that counts at a time, or raise NotAdmitted."""
    if certificate is None:
        raise NotAdmitted("this certificate is not in the SVM's register: enrol anew")
    state = certificate.state(now)
    if state is CertificateState.EXPIRED:
        raise NotAdmitted(f"this certificate ended on {utc(certificate.ends_at)}: enrol anew")
    if state is not CertificateState.GOOD:
        raise NotAdmitted(_SENTENCES[state])
    return certificate


def shown_guest(tables: IdentityTables, shown: bytes, now: float) -> EnrolledGuest:
    """Return the guest that shows a certificate. Raises NotAdmitted.

    shown: SHA-256 of it.
    """
    holder = holder_of(good(tables.certificate(shown), now))
    guest = tables.guest(holder.name) if holder.role is Role.GUEST else None
    if guest is None or shown not in (guest.current, guest.following):
        raise NotAdmitted("this certificate is no guest's: enrol first")
    return guest


def counting(tables: IdentityTables, guest: EnrolledGuest, now: float) -> int:
    """How many certificates of a guest count at a time."""
    known = map(tables.certificate, guest.certificates)
    return sum(each is not None and each.state(now) is CertificateState.GOOD for each in known)


def of_holder(store: IdentityStore, holder: Caller, now: float) -> int:
    """How many certificates count that name an administrator; of his tenant's newest thousand."""
    newest = islice(store.certificates(holder.tenant, guests=False), LOOKED_AT)
    uri = uri_of(holder)
    return sum(each.holder == uri and each.state(now) is CertificateState.GOOD for each in newest)


def counted(number: int) -> str:
    """How many certificates counted, in words, for the audit."""
    return f"{number or 'no'} certificate{'' if number == 1 else 's'} counted"


def check_machine(guest: EnrolledGuest, machine: bytes) -> None:
    """Raise OtherMachine where it is not the one that enrolled."""
    if guest.machine and machine != guest.machine:
        raise OtherMachine(
            "another machine than this enrolled with this certificate: a copy of a machine enrols by itself, "
            "with a token of its own"
        )


def followed(tables: IdentityTables, guest: EnrolledGuest, now: float) -> EnrolledGuest:
    """Have a guest's next certificate take the place of the current one, which ends."""
    if guest.before:
        tables.drop_certificate(guest.before)
    end(tables, [guest.current], CertificateState.SUPERSEDED, now)
    guest = replace(guest, before=guest.current, current=guest.following, following=b"")
    tables.put_guest(guest)
    return guest


def retire(tables: IdentityTables, guest: EnrolledGuest, now: float) -> bytes:
    """End all of a guest that enrols anew; return the SHA-256 of the one that stays known."""
    for other in filter(None, (guest.following, guest.before)):
        tables.drop_certificate(other)
    end(tables, [guest.current], CertificateState.SUPERSEDED, now, reason="the guest enrolled anew")
    return guest.current


def end(
    tables: IdentityTables,
    certificates: Iterable[bytes],
    state: CertificateState,
    now: float,
    by: str = "",
    reason: str = "",
) -> int:
    """End certificates that have not ended yet; how many of them counted until now."""
    counted = 0
    for sha256 in certificates:
        certificate = tables.certificate(sha256)
        if certificate is None or not can_end(certificate, state):
            continue
        counted += certificate.state(now) is CertificateState.GOOD
        tables.put_certificate(replace(certificate, ended=state, ended_at=now, ended_by=by, reason=reason))
    return counted


def can_end(certificate: Certificate, state: CertificateState) -> bool:
    """An administrator's word counts also of one that was taken for a copy, which may come back."""
    revoked_copy = state is CertificateState.REVOKED and certificate.ended is CertificateState.CLONED
    return certificate.ended is None or revoked_copy


def drop_old_tokens(tables: IdentityTables, now: float) -> None:
    """Forget tokens that are over."""
    _drop_tokens(tables, tables.old_tokens(now), lambda token: now >= token.expires_at)


def drop_tokens_for(tables: IdentityTables, uuid: str, but: bytes = b"") -> int:
    """Forget tokens that are for a guest; how many could have been used. but: SHA-256 of one that stays."""
    gone = _drop_tokens(tables, tables.tokens_for(uuid), lambda token: token.digest != but)
    return sum(not token.key for token in gone)


def drop_unused_by(tables: IdentityTables, author: str, now: float) -> int:
    """Forget the tokens that somebody made and nobody has used; how many could have been."""
    gone = _drop_tokens(tables, tables.tokens_by(author), lambda token: not token.key)
    return sum(now < token.expires_at for token in gone)


def _drop_tokens(
    tables: IdentityTables, digests: Iterable[bytes], goes: Callable[[Token], bool]
) -> list[Token]:
    """Forget those of some tokens that go, and return them."""
    gone = [token for token in map(tables.token, digests) if token is not None and goes(token)]
    for token in gone:
        tables.drop_token(token.digest)
    return gone


def drop_old_certificates(tables: IdentityTables, now: float) -> None:
    """Forget certificates whose time was over long ago: what is not known counts no more than they do."""
    for sha256 in tables.old_certificates(now - KEPT_SECONDS):
        certificate = tables.certificate(sha256)
        if certificate is not None and now >= certificate.ends_at + KEPT_SECONDS:
            tables.drop_certificate(sha256)
