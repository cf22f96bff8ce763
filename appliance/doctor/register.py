"""Certificates of guests and administrators, as the register has them; and copies that were noticed."""

from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from pathlib import Path

from appliance.doctor.findings import (
    AMISS_SECONDS,
    DAY,
    NOTE_SECONDS,
    Finding,
    amiss,
    long,
    note,
    ok,
    several,
)
from appliance.domain.caller import Caller, Role
from appliance.domain.event import Event, EventKind
from appliance.domain.identity import Certificate, CertificateState
from appliance.identity.names import holder_of
from appliance.state.environment import StateEnvironment
from appliance.state.events import EventStore, EventTerms
from appliance.state.identities import IdentityStore

CLONES_SECONDS = 7 * DAY  # for so long a copy that was noticed is told of
LOOKED_AT = 200_000  # events, the newest

Held = tuple[Certificate, Caller]
_AT_ONCE = 1000
_RENEWED_BY = 5 / 6  # of its life: two thirds, a tenth of jitter, and some tries


def read_register(directory: Path) -> list[Held]:
    """Every certificate that counts by its state, and whose it is. Raises StateError."""
    with (
        closing(StateEnvironment.open_to_read(directory)) as environment,
        IdentityStore(environment).reading() as tables,
    ):
        counting = (certificate for certificate in tables.certificates() if certificate.ended is None)
        return [(certificate, holder_of(certificate)) for certificate in counting]


def read_clones(directory: Path, terms: EventTerms, since: float) -> list[Event]:
    """The events of copies that were noticed from a time on, among the newest. Raises StateError."""
    with closing(EventStore.open_to_read(directory, terms)) as store:
        number, found = max(1, store.last - LOOKED_AT), list[Event]()
        while some := store.from_number(number, _AT_ONCE):
            found += [event for _, event in some if event.kind is EventKind.CLONE and event.at >= since]
            number = some[-1][0] + 1
    return found


def administrator_findings(register: Sequence[Held], now: float) -> Iterator[Finding]:
    """Which certificates of administrators and host agents end soon; the newest of each counts."""
    newest = _newest([held for held in register if held[1].role is not Role.GUEST], now)
    soon = {name: left for name, left in newest.items() if left < NOTE_SECONDS}
    for name, left in sorted(soon.items(), key=lambda each: each[1]):
        said = f"the certificate of {name} counts for another {long(left)}: `svm certificates issue`"
        yield amiss("administrators", said) if left < AMISS_SECONDS else note("administrators", said)
    if newest and not soon:
        yield ok("administrators", f"{len(newest)} have certificates that count for 30 days and more")


def guest_findings(register: Sequence[Held], attached: Set[str], now: float) -> Iterator[Finding]:
    """Which guests should have renewed their certificates, and have not. attached: guests that are here."""
    guests = [held for held in register if held[1].role is Role.GUEST]
    newest = _newest(guests, now)
    late = {
        holder.name
        for certificate, holder in guests
        if _left(certificate, now) == newest.get(holder.name, -1.0) and _is_late(certificate, now)
    }
    here, away = sorted(late & attached), sorted(late - attached)
    if here:
        say = "are here and do not renew their certificates: see the log of `guest-stub run` there"
        yield amiss("guests", f"{several(here)} {say}")
    if away:
        say = "are away, and have to enrol anew if they stay away until their certificates end"
        yield note("guests", f"{several(away)} {say}")
    over = sorted({holder.name for _, holder in guests} - newest.keys())
    if over:
        yield note(
            "guests", f"the certificates of {several(over)} have ended: enrol them anew, or remove them"
        )
    if newest and not late:
        yield ok("guests", f"{len(newest)} have certificates that they renew in time")


def clone_findings(clones: Sequence[Event], now: float) -> Iterator[Finding]:
    """Copies of certificates that were noticed lately."""
    recent = [event for event in clones if event.at > now - DAY]
    told = "guests that enrolled by themselves are no copies: give each a token; `svm events --kind clone`"
    if recent:
        names = several(sorted({event.guest for event in recent}))
        yield amiss(
            "copies", f"within a day certificates were shown where they do not belong ({names}): {told}"
        )
    elif clones:
        names = several(sorted({event.guest for event in clones}))
        yield note(
            "copies", f"within 7 days certificates were shown where they do not belong ({names}): {told}"
        )
    else:
        yield ok("copies", "no certificate was shown where it does not belong within 7 days")


def _newest(register: Sequence[Held], now: float) -> dict[str, float]:
    """For how long the certificate of each counts that counts longest; only who has one."""
    newest: dict[str, float] = {}
    for certificate, holder in register:
        if certificate.state(now) is CertificateState.GOOD:
            newest[holder.name] = max(newest.get(holder.name, 0.0), _left(certificate, now))
    return newest


def _left(certificate: Certificate, now: float) -> float:
    return certificate.ends_at - now


def _is_late(certificate: Certificate, now: float) -> bool:
    return now > certificate.issued_at + _RENEWED_BY * (certificate.ends_at - certificate.issued_at)
