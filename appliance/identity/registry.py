"""Whose a certificate is, and whether it counts: asked for each call, of the register as it is on the disk.

A caller's certificate is looked up by the SHA-256 of all of it and is not parsed: what it says was written by
this SVM, which has it in the register. What is not there counts nothing, whoever has signed it.

Changes are made one after another, what ends something first (`order`), each whole, also when whoever asked
goes away meanwhile: on the disk, then in force, then told to those who cut calls. What an administrator or a
guest asked for who goes away before its turn is not done.
"""

import asyncio
import hashlib
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from appliance.changes import Changes
from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import Guest
from appliance.domain.identity import Certificate, EnrolledGuest, Token
from appliance.domain.tenants import Tenants
from appliance.identity.authority import Authority, Issued
from appliance.identity.ending import By, Ender, Revoked, known_guest
from appliance.identity.issuing import (
    ANYBODY,
    Asked,
    Enrolled,
    Issuer,
    NewToken,
    NoRoom,
    Only,
    TokenRefused,
)
from appliance.identity.names import holder_of, subject_of
from appliance.identity.order import Order
from appliance.identity.standing import OtherMachine, good
from appliance.state.environment import StateError

MAX_PEM_BYTES = 16 * 1024

_REVOKED = "this certificate was revoked: ask whoever runs the SVM for a token, and enrol anew"
_REMOVED = "this guest was removed from the SVM's register: ask whoever runs it for a token, and enrol anew"
_CLONED = "this certificate counts no more; each machine has to enrol anew, with a token of its own"
_ANEW = "this guest enrolled anew: show its newer certificate"
_EXPIRED = "this certificate has ended: show a newer one, or enrol anew"

_KINDS = (
    "token",
    "withdrawn",
    "enrolled",
    "renewed",
    "issued",
    "revoked",
    "removed",
    "cloned",
    "refused",
    "other_machine",
    "unwritable",
    "no_room",
    "over_tenant_guests",
    "over_tenant_tokens",
    "over_agent_tokens",
)

_TELL_SECONDS = 600.0
_GUESTS = object()  # who asks for a change: all guests together

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """Something that changed in the register, for those who note it. guest: its UUID, "" where it is of none.

    kind: "token", "withdrawn", "enrolled", "renewed", "issued", "revoked", "removed", "cloned",
    "other_machine". actor: the administrator, "" for none. text: a sentence's worth of words. certificate: of
    one that enrolled, its SHA-256. vouched_by: the host agent by whose word it did, "" for none.
    """

    kind: str
    actor: str = ""
    guest: str = ""
    tenant: str = ""
    text: str = ""
    certificate: bytes = b""
    vouched_by: str = ""


class Registry:
    """Who is who.

    on_ended: told of a caller some of whose certificates count no more, and a sentence for it. on_changed:
    told of each change. counts: how many changes of each kind there were, how many tokens were refused, how
    many changes could not be written, and how many found no room, by the setting that says so. problem: why
    the last one could not be written, "" where it could: a guest is not told.
    """

    def __init__(self, issuer: Issuer, ender: Ender, tenants: Tenants, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self.on_ended: list[Callable[[Caller, str], None]] = []
        self.on_changed: list[Callable[[IdentityChange], None]] = []
        self.counts = Counter(dict.fromkeys(_KINDS, 0))
        self.problem = ""
        self._issuer = issuer
        self._ender = ender
        self._store = issuer.store
        self._clock = clock
        self._tenants = tenants
        self._shown: defaultdict[Caller, dict[bytes, float]] = defaultdict(dict)  # the ends of certificates
        self._told: dict[str, float] = {}  # when it was told that another machine shows a guest's certificate
        self._order = Order()
        self._changes = Changes()

    @property
    def authority(self) -> Authority:
        """What issues certificates."""
        return self._issuer.authority

    def caller(self, pem: bytes) -> Caller:
        """Whom a certificate names, where it counts. Raises NotAdmitted."""
        sha256 = sha256_of(pem)
        try:
            with self._store.reading() as tables:
                certificate = good(tables.certificate(sha256), self._clock())
            holder = holder_of(certificate)
        except StateError as error:
            raise NotAdmitted(f"the SVM's register cannot be used: {error}") from error
        self._shown[holder][sha256] = certificate.ends_at
        return holder

    def guest(self, pem: bytes) -> Guest:
        """Which guest a certificate names, where it counts. Raises NotAdmitted."""
        holder = self.caller(pem)
        if holder.role is not Role.GUEST:
            raise NotAdmitted(f"this is the certificate of a {holder.role}, not of a guest")
        try:
            scope = self._tenants.scope_of(holder.tenant)
        except StateError as error:
            raise NotAdmitted(f"the SVM's register cannot be used: {error}") from error
        if scope is None:
            raise NotAdmitted(f"the tenant {holder.tenant} is not known to this SVM: enrol anew")
        return Guest(holder.name, scope, holder.tenant)

    def end_expired(self) -> None:
        """Have the calls end of those whose certificates have ended by time; to be called every second."""
        now = self._clock()
        for holder, shown in list(self._shown.items()):
            left = {sha256: ends_at for sha256, ends_at in shown.items() if now < ends_at}
            if len(left) < len(shown):
                self._ended(holder, _EXPIRED)
                if left:
                    self._shown[holder].update(left)

    async def attached(self, pem: bytes, machine: bytes) -> bool:
        """Enter that a guest attaches; whether an older certificate of it ended by that. Raises NotAdmitted.

        machine: its own word, 32 bytes or none. It is the one that enrolled, or none is let in.
        """
        sha256 = sha256_of(pem)
        try:
            if not self._ender.is_news(sha256, machine):
                return False
            follows = await self._change(partial(self._ender.shown, sha256, machine))
        except StateError as error:
            raise NotAdmitted("the SVM cannot write its register now: come back later") from error
        except OtherMachine as error:
            self._other_machine(pem, error)
            raise
        if follows:  # the older one is over, and its time tells nothing
            holder = self.caller(pem)
            self._shown[holder] = {sha256: self._shown[holder][sha256]}
        return follows

    async def token(
        self, tenant: str, uuid: str, seconds: int, author: Caller, only: Only = ANYBODY
    ) -> NewToken:
        """Make a token; see Issuer.token. Raises IdentityRefused, StateError."""

        def told(made: NewToken) -> None:
            new = ", which is new" if made.new_tenant else ""
            text = f"{made.token.id}, for {seconds} s, tenant {tenant}{new}"
            self._tell(IdentityChange("token", author.author, uuid, tenant, text))

        work = partial(self._issuer.token, tenant, uuid, seconds, author, only)
        return await self._change(work, told, who=_asker(author))

    async def withdraw(self, beginning: bytes, by: By) -> Token:
        """Have a token that was not used count no more; as it was. Raises IdentityRefused, StateError."""
        self._ender.check_token(beginning, by.author)  # no turn is taken for what is refused

        def told(token: Token) -> None:
            text = f"token {token.id}{by.reason and ': '}{by.reason}"
            self._tell(IdentityChange("withdrawn", by.author.author, token.uuid, token.tenant, text))

        return await self._end(partial(self._ender.withdraw, beginning, by), told, by)

    async def enrol(self, token: str, asked: Asked) -> Enrolled:
        """Turn a token into a certificate. Raises TokenRefused, BadCsr, NoRoom, StateError."""

        def told(made: Enrolled) -> None:
            guest = made.guest
            if made.ended:
                self._ended(guest.holder, _ANEW)
            words = guest.uuid, guest.tenant, guest.host_name, guest.current, made.vouched_by
            self._tell(IdentityChange("enrolled", "", *words))

        try:
            return await self._change(partial(self._issuer.enrol, token, asked), told)
        except TokenRefused:
            self.counts["refused"] += 1
            raise

    async def renew(self, pem: bytes, asked: Asked) -> Enrolled:
        """Give a guest a certificate that ends later. Raises NotAdmitted, BadCsr, NoRoom, StateError."""

        def told(made: Enrolled) -> None:
            self._tell(IdentityChange("renewed", "", made.guest.uuid, made.guest.tenant))

        try:
            return await self._change(partial(self._issuer.renew, sha256_of(pem), asked), told)
        except OtherMachine as error:
            self._other_machine(pem, error)
            raise

    async def issue(self, holder: Caller, csr: bytes, author: Caller) -> Issued:
        """Make a certificate of an administrator. Raises BadName, BadCsr, NoRoom, StateError."""

        def told(made: Issued) -> None:
            self._tell(IdentityChange("issued", author.author, "", holder.tenant, subject_of(made.record)))

        work = partial(self._issuer.issue, holder, csr, author)
        return await self._change(work, told, who=_asker(author))

    async def revoke_guest(self, uuid: str, by: By) -> int:
        """End a guest's certificates and calls; how many counted. Raises IdentityRefused, StateError.

        Where it was revoked already nothing is written or told.
        """
        if self._ender.is_revoked(uuid, by.author):
            return 0

        def told(ended: tuple[EnrolledGuest, int]) -> None:
            self._ended(ended[0].holder, _REVOKED)
            self._tell(IdentityChange("revoked", by.author.author, uuid, ended[0].tenant, by.reason))

        return (await self._end(partial(self._ender.revoke_guest, uuid, by), told, by))[1]

    async def remove_guest(self, uuid: str, by: By) -> None:
        """End a guest's certificates and calls, and forget it. Raises IdentityRefused, StateError."""
        self._ender.check_guest(uuid, by.author)

        def told(guest: EnrolledGuest) -> None:
            self._ended(guest.holder, _REMOVED)
            self._tell(IdentityChange("removed", by.author.author, uuid, guest.tenant, by.reason))

        await self._end(partial(self._ender.remove_guest, uuid, by), told, by)

    async def revoke_certificate(self, beginning: bytes, by: By) -> Revoked:
        """End a certificate, its calls and its holder's unused tokens. Raises IdentityRefused, StateError."""
        self._ender.check_certificate(beginning, by.author)

        def told(ended: Revoked) -> None:
            holder = ended.holder
            self._ended(holder, _REVOKED)
            guest = holder.name if holder.role is Role.GUEST else ""
            text = f"{subject_of(ended.certificate)}{ended.lost}: {by.reason}"
            self._tell(IdentityChange("revoked", by.author.author, guest, holder.tenant, text))

        return await self._end(partial(self._ender.revoke_certificate, beginning, by), told, by)

    async def cloned(self, guest: Guest, why: str) -> None:
        """End the certificates of a guest that is in two places, and the calls of both. Raises StateError."""

        def told(_counted: int) -> None:
            self._ended(Caller(guest.id, Role.GUEST, guest.tenant), f"{why}: {_CLONED}")
            self._tell(IdentityChange("cloned", "", guest.id, guest.tenant, why))

        # A copy that goes away at once is ended all the same.
        await self._changes.whole(self._end(partial(self._ender.cloned, guest.id, why), told))

    async def age(self) -> None:
        """Forget what was over long ago. Raises StateError."""
        await self._change(self._ender.age, who=Role.SVM)

    def tokens(self, tenant: str) -> Iterator[Token]:
        """The tokens for guests of a tenant, or ("") all, by their end, read as they are asked for.

        Also those whose time is over. Raises StateError.
        """
        return self._store.tokens(tenant)

    def guests(self, tenant: str) -> Iterator[EnrolledGuest]:
        """The guests of a tenant that enrolled, or ("") all, by UUID, read as they are asked for.

        Raises StateError.
        """
        return self._store.guests(tenant)

    def guest_known(self, uuid: str) -> EnrolledGuest | None:
        """A guest that enrolled. Raises StateError."""
        with self._store.reading() as tables:
            return known_guest(tables, uuid)

    def shown_by(self, guest: EnrolledGuest) -> Certificate | None:
        """The certificate that a guest shows. Raises StateError."""
        with self._store.reading() as tables:
            return tables.certificate(guest.current)

    def known(self, uuid: str) -> tuple[EnrolledGuest, list[Certificate]] | None:
        """A guest that enrolled, with its certificates, the newest first. Raises StateError."""
        with self._store.reading() as tables:
            guest = known_guest(tables, uuid)
            if guest is None:
                return None
            found = map(tables.certificate, guest.certificates)
            return guest, [certificate for certificate in found if certificate is not None]

    def certificates(self, tenant: str = "", guests: bool = True) -> Iterator[tuple[Certificate, Caller]]:
        """The certificates of a tenant, or ("") all, with whom each names, the newest first.

        They are read as they are asked for. guests: theirs too. Raises StateError.
        """
        for certificate in self._store.certificates(tenant, guests):
            yield certificate, holder_of(certificate)

    async def finish(self) -> None:
        """Return when no change is under way."""
        await self._changes.finish()

    def _ended(self, holder: Caller, why: str) -> None:
        self._shown.pop(holder, None)
        for listener in self.on_ended:
            listener(holder, why)

    def _other_machine(self, pem: bytes, error: OtherMachine) -> None:
        """Count it, and tell of it once in a while: a copy comes back as often as it likes."""
        guest, now = self.guest(pem), self._clock()
        self.counts["other_machine"] += 1
        if not 0 <= now - self._told.get(guest.id, -_TELL_SECONDS) < _TELL_SECONDS:
            self._told[guest.id] = now
            self._tell(IdentityChange("other_machine", "", guest.id, guest.tenant, str(error)), counted=True)

    def _tell(self, change: IdentityChange, counted: bool = False) -> None:
        if not counted:
            self.counts[change.kind] += 1
        for listener in self.on_changed:
            listener(change)

    async def _end(
        self, work: Callable[[], Done], then: Callable[[Done], None], by: By | None = None
    ) -> Done:
        """Have something ended, before most changes that wait. by: who asks, None for what guests did."""
        return await self._change(work, then, _GUESTS if by is None else _asker(by.author), ends=True)

    async def _change(
        self,
        work: Callable[[], Done],
        then: Callable[[Done], None] = lambda _done: None,
        who: Hashable = _GUESTS,
        ends: bool = False,
    ) -> Done:
        """Have a change made in a thread, to its end also when who asked for it goes away meanwhile.

        then: called on the loop when it is made. who, ends: see `Order`.
        """
        async with self._order.turn(who, ends):
            return await self._changes.whole(self._made(work, then))

    async def _made(self, work: Callable[[], Done], then: Callable[[Done], None]) -> Done:
        try:
            made = await asyncio.to_thread(work)
        except StateError as error:
            self.counts["unwritable"] += 1
            self.problem = str(error)
            raise
        except NoRoom as error:
            self.counts[f"over_{error.bound.rpartition('.')[2]}" if error.bound else "no_room"] += 1
            raise
        self.problem = ""
        then(made)
        return made


def _asker(author: Caller) -> Hashable:
    """Who asks for a change: a tenant is one, whoever acts for it."""
    return author.tenant or author


def sha256_of(pem: bytes) -> bytes:
    """What a certificate is known by. Raises NotAdmitted where it is no PEM."""
    if len(pem) > MAX_PEM_BYTES:
        raise NotAdmitted("the certificate is longer than any of this SVM's: enrol anew")
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii").strip())).digest()
    except ValueError as error:
        raise NotAdmitted("the certificate is no PEM: enrol anew") from error
