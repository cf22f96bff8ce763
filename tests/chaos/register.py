"""What one tenant's part of the register has to be, by what was acknowledged. No I/O.

Each order says by itself how the register is after it: a rule of the SVM that is written down once more here,
in the fewest words, so that what the SVM has can be held against it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.broken import Broken

COUNTS, SUPERSEDED, REVOKED = "", "superseded", "revoked"


@dataclass(frozen=True)
class Chain:
    """A guest's certificates, SHA-256 of each, b"" for none: shown, got by renewal, the one before."""

    current: bytes
    following: bytes = b""
    before: bytes = b""

    @property
    def all(self) -> list[bytes]:
        """Those that there are."""
        return [each for each in (self.following, self.current, self.before) if each]


@dataclass(frozen=True)
class TokenKept:
    """uuid: of the guest that it is for or was used by, "" for a new one. expires: seconds since the epoch.

    key, certificate: SHA-256 of the key that it was used for, and of what came of that; b"" while unused.
    """

    uuid: str
    expires: float = field(compare=False)
    key: bytes = b""
    certificate: bytes = b""


@dataclass(frozen=True)
class Entry:
    """One of the audit. before, after: without the time that they may end with."""

    action: str
    subject: str
    before: str = ""
    after: str = ""


@dataclass
class Register:
    """A tenant's part. holders: whom a certificate names. ends: why it counts no more, or COUNTS."""

    tokens: dict[bytes, TokenKept] = field(default_factory=dict)
    guests: dict[str, Chain] = field(default_factory=dict)
    holders: dict[bytes, str] = field(default_factory=dict)
    ends: dict[bytes, str] = field(default_factory=dict)
    audit: list[Entry] = field(default_factory=list)
    scope: int = 0

    def issued(self, sha256: bytes, holder: str) -> None:
        """A certificate counts."""
        self.holders[sha256], self.ends[sha256] = holder, COUNTS

    def forget(self, *certificates: bytes) -> None:
        """Certificates are not known any more."""
        for sha256 in filter(None, certificates):
            del self.holders[sha256], self.ends[sha256]

    def end(self, *certificates: bytes, why: str) -> int:
        """Certificates count no more; how many did."""
        counted = [sha256 for sha256 in certificates if self.ends[sha256] == COUNTS]
        self.ends.update(dict.fromkeys(counted, why))
        return len(counted)

    def follow(self, uuid: str) -> None:
        """A guest shows the certificate that it got by renewal: the one before that is over."""
        chain = self.guests[uuid]
        self.forget(chain.before)
        self.end(chain.current, why=SUPERSEDED)
        self.guests[uuid] = Chain(chain.following, before=chain.current)

    def good(self, *certificates: bytes) -> int:
        """How many of them count."""
        return sum(self.ends[sha256] == COUNTS for sha256 in certificates)

    def has_token(self, uuid: str) -> bool:
        """Whether there is a token that is for a guest, used or not."""
        return any(token.uuid == uuid for token in self.tokens.values())

    def drop_tokens(self, uuid: str) -> str:
        """Tokens that are for a guest are not known any more; how many were unused, as the audit says it."""
        unused = sum(token.uuid == uuid and not token.key for token in self.tokens.values())
        self.tokens = {digest: token for digest, token in self.tokens.items() if token.uuid != uuid}
        return f", {unused} token{'' if unused == 1 else 's'} for it" if unused else ""

    def counting(self, beginning: str) -> list[bytes]:
        """Certificates that count, of holders whose URI begins so."""
        holders = self.holders.items()
        return [each for each, holder in holders if holder.startswith(beginning) and not self.ends[each]]


@dataclass(frozen=True)
class Order:
    """Something that the register is told to do. subject: to what, as its act needs it."""

    act: Callable[..., None]
    subject: tuple[Any, ...]
    found: Callable[[Register, Register, tuple[Any, ...]], tuple[Any, ...] | None]

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return self.act.__name__.strip("_")

    def done(self, register: Register, *result: Any) -> None:
        """Have it done in a register. result: what the SVM has drawn for it."""
        self.act(register, *self.subject, *result)

    def seen(self, before: Register, now: Register) -> tuple[Any, ...] | None:
        """What the SVM has drawn, where one mark of it is there; None where it is not."""
        return self.found(before, now, self.subject)


def make_token(uuid: str) -> Order:
    """A token. Drawn: its SHA-256, and when it ends."""
    return Order(_make_token, (uuid,), _new_token)


def enrol(token: bytes, key: bytes) -> Order:
    """An enrolment, by the SHA-256 of a token and of a public key. Drawn: certificate, and whom it names."""
    return Order(_enrol, (token, key), _used)


def renew(uuid: str, shown: bytes) -> Order:
    """A renewal over a certificate. Drawn: the next one."""
    return Order(_renew, (uuid, shown), _renewed)


def attach(uuid: str) -> Order:
    """The certificate that was got by renewal is shown."""
    return Order(_attach, (uuid,), _followed)


def revoke(uuid: str) -> Order:
    """All of a guest's certificates end."""
    return Order(_revoke, (uuid,), _noted)


def remove(uuid: str) -> Order:
    """A guest is forgotten."""
    return Order(_remove, (uuid,), _noted)


def issue(holder: str, called: str) -> Order:
    """An administrator's certificate. called: role and name. Drawn: it."""
    return Order(_issue, (holder, called), _new_certificate)


def revoke_one(sha256: bytes, called: str) -> Order:
    """One certificate ends."""
    return Order(_revoke_one, (sha256, called), _noted)


def settle(register: Register, pending: Order | None, now: Register, clock: float) -> Register:
    """Hold what is there against what was acknowledged; what it is from now on. Raises Broken.

    pending: what was asked for and not answered: it may be done or not, and whole or not at all. Tokens whose
    time is over may be gone.
    """
    expected = deepcopy(register)
    drawn = None if pending is None else pending.seen(register, now)
    if pending is not None and drawn is not None:
        pending.done(expected, *drawn)
    for digest, token in list(expected.tokens.items()):
        if digest not in now.tokens and token.expires <= clock:
            del expected.tokens[digest]
    expected.scope = expected.scope or now.scope
    for name, value in vars(expected).items():
        there = getattr(now, name)
        if there != value:
            asked = pending.name if pending is not None else "nothing"
            raise Broken(f"the register: {name}: {_difference(value, there)}; not answered: {asked}")
    return expected


def _difference(expected: Any, there: Any) -> str:
    """Some of what two tables differ in."""
    if isinstance(expected, dict):
        keys = [key for key in {**expected, **there} if expected.get(key) != there.get(key)][:3]
        return "; ".join(f"{key!r} is {there.get(key)!r} and not {expected.get(key)!r}" for key in keys)
    if isinstance(expected, list):
        at = next(
            (n for n, pair in enumerate(zip(expected, there, strict=False)) if pair[0] != pair[1]), None
        )
        at = min(len(expected), len(there)) if at is None else at
        return f"differ from number {at} on: {there[at : at + 2]} and not {expected[at : at + 2]}"
    return f"is {there!r} and not {expected!r}"


def _make_token(register: Register, uuid: str, digest: bytes, expires: float) -> None:
    register.tokens[digest] = TokenKept(uuid, expires)
    whose = f"guest {uuid}" if uuid else "a new guest"
    about, known = f"token {digest.hex()[:12]}, for {whose}", register.guests.get(uuid)
    before = "" if known is None else _counted(register.good(*known.all))
    register.audit.append(Entry("token", about, before, "counts until"))


def _enrol(register: Register, token: bytes, key: bytes, sha256: bytes, holder: str) -> None:
    uuid = holder.rpartition("/")[2]
    before, known = b"", register.guests.get(uuid)
    told = "not known" if known is None else _counted(register.good(*known.all))
    if known is not None:
        register.forget(known.following, known.before)
        register.end(known.current, why=SUPERSEDED)
        before = known.current
    register.issued(sha256, holder)
    register.guests[uuid] = Chain(sha256, before=before)
    used = replace(register.tokens[token], uuid=uuid, key=key, certificate=sha256)
    register.drop_tokens(uuid)
    register.tokens[token] = used
    register.audit.append(Entry("guest enrolled", f"guest {uuid}", told, "counts until"))


def _renew(register: Register, uuid: str, shown: bytes, sha256: bytes) -> None:
    if shown == register.guests[uuid].following:
        register.follow(uuid)
    register.forget(register.guests[uuid].following)
    register.issued(sha256, register.holders[register.guests[uuid].current])
    register.guests[uuid] = replace(register.guests[uuid], following=sha256)


def _attach(register: Register, uuid: str) -> None:
    register.follow(uuid)


def _revoke(register: Register, uuid: str) -> None:
    if not register.good(*register.guests[uuid].all) and not register.has_token(uuid):
        return  # it is over already, of which nothing is written
    tokens = register.drop_tokens(uuid)
    counted = register.end(*register.guests[uuid].all, why=REVOKED)
    register.audit.append(
        Entry("guest revoked", f"guest {uuid}", f"{_counted(counted)}{tokens}", "counts no more")
    )


def _remove(register: Register, uuid: str) -> None:
    tokens, known = register.drop_tokens(uuid), register.guests.pop(uuid).all
    before = f"{_counted(register.good(*known))}{tokens}"
    register.forget(*known)
    register.audit.append(Entry("guest removed", f"guest {uuid}", before, "not known"))


def _issue(register: Register, holder: str, called: str, sha256: bytes) -> None:
    before = _counted(sum(register.holders[each] == holder for each in register.counting(holder)))
    register.issued(sha256, holder)
    what = f"{called}, certificate {sha256.hex()[:16]}"
    register.audit.append(Entry("certificate issued", what, before, "counts until"))


def _revoke_one(register: Register, sha256: bytes, called: str) -> None:
    register.end(sha256, why=REVOKED)
    what = f"{called}, certificate {sha256.hex()[:16]}"
    register.audit.append(Entry("certificate revoked", what, "counted until", "counts no more"))


def _counted(number: int) -> str:
    return f"{number or 'no'} certificate{'' if number == 1 else 's'} counted"


def _new_token(before: Register, now: Register, _: tuple[Any, ...]) -> tuple[Any, ...] | None:
    new = [digest for digest in now.tokens if digest not in before.tokens]
    return (new[0], now.tokens[new[0]].expires) if new else None


def _used(_: Register, now: Register, subject: tuple[Any, ...]) -> tuple[Any, ...] | None:
    token = now.tokens.get(subject[0])
    if token is None or not token.key:
        return None
    return token.certificate, now.holders.get(token.certificate, "nobody")


def _renewed(before: Register, now: Register, subject: tuple[Any, ...]) -> tuple[Any, ...] | None:
    (uuid, _), there = subject, now.guests.get(subject[0])
    changed = there is not None and there.following not in (b"", before.guests[uuid].following)
    return (there.following,) if there is not None and changed else None


def _followed(before: Register, now: Register, subject: tuple[Any, ...]) -> tuple[Any, ...] | None:
    (uuid,), there = subject, now.guests.get(subject[0])
    return () if there is not None and there.current == before.guests[uuid].following else None


def _noted(before: Register, now: Register, _: tuple[Any, ...]) -> tuple[Any, ...] | None:
    return () if len(now.audit) > len(before.audit) else None


def _new_certificate(before: Register, now: Register, _: tuple[Any, ...]) -> tuple[Any, ...] | None:
    new = [sha256 for sha256 in now.holders if sha256 not in before.holders]
    return (new[0],) if new else None
