"""What makes certificates count: tokens, enrolments, renewals, certificates of administrators.

Each is one transaction, on the disk before the certificate is handed out. All of it waits for the disk and is
for a thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, Role
from appliance.domain.identity import CertificateState, EnrolledGuest, Token
from appliance.domain.policy import TENANT_RULE, is_tenant
from appliance.domain.times import utc
from appliance.identity.authority import Authority, Issued
from appliance.identity.keys import key_sha256, public_key_of
from appliance.identity.names import from_register, holder_of, is_uuid, subject_of
from appliance.identity.standing import (
    check_machine,
    counted,
    counting,
    drop_old_certificates,
    drop_old_tokens,
    drop_tokens_for,
    followed,
    of_holder,
    retire,
    shown_guest,
)
from appliance.identity.standing import digest_of as digest_of_der
from appliance.identity.tokens import digest_of, new_text
from appliance.state.audit import AuditEntry
from appliance.state.identities import (
    MAX_CERTIFICATES,
    MAX_GUESTS,
    MAX_TOKENS,
    IdentityStore,
    IdentityTables,
)

LEAST_TOKEN_SECONDS, USUAL_TOKEN_SECONDS, MOST_TOKEN_SECONDS = 60, 3600, 7 * 86400
TOKENS_OF_PROVIDER = 1024  # that tenants and host agents together leave
FIRST_TOKENS = 16  # of an administrator or a host agent, for which room is kept
TOKENS_KEPT = 1024  # places that only such first tokens take: those of 64 authors
FIRST_GUESTS = 16  # of a tenant, for which room is kept
GUESTS_KEPT = 4096  # places that only tenants' first guests take: those of 256 tenants

_TOKENS_REMEDY = (
    "enrol the guests that they are for, wait until some are over, or take some back (`svm guests tokens`, "
    "`svm guests withdraw`)"
)


class IdentityRefused(Exception):
    """It cannot be done as things are; the message says why and what to do."""


class TokenRefused(Exception):
    """The token does not count: it is none, was used, is over, or is for another key."""


class NoRoom(IdentityRefused):
    """There are as many as there may be. bound: the setting that says so, "" where none does."""

    def __init__(self, sentence: str, bound: str = "") -> None:
        super().__init__(sentence)
        self.bound = bound


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was made. text: told this once."""

    text: str
    token: Token
    new_tenant: bool


@dataclass(frozen=True, slots=True)
class Only:
    """For whom alone a token is. key: SHA-256 of the public key, none for any.

    not_revoked: for no guest that an administrator has put out.
    """

    key: bytes = b""
    not_revoked: bool = False


ANYBODY = Only()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a guest asks for a certificate with. csr: DER. machine, host_name: its own words."""

    csr: bytes
    machine: bytes = b""
    host_name: str = ""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A guest's certificate, in DER. ended: whether others of it ended, whose calls are to be cut.

    vouched_by: the host agent by whose word it enrolled, "" for none.
    """

    certificate: bytes
    guest: EnrolledGuest
    ends_at: float
    ended: bool = False
    vouched_by: str = ""


class Issuer:
    """Changes the register so that something counts which did not."""

    def __init__(
        self, store: IdentityStore, authority: Authority, terms: IdentitySettings, clock: Callable[[], float]
    ) -> None:
        """clock: seconds since the epoch."""
        self.store = store
        self.authority = authority
        self.terms = terms
        self._clock = clock

    def token(self, tenant: str, uuid: str, seconds: int, author: Caller, only: Only = ANYBODY) -> NewToken:
        """Make a token. uuid: "" for one that is drawn at the enrolment. Raises IdentityRefused."""
        if not is_tenant(tenant):
            raise IdentityRefused(f"{tenant[:80]!r} is no name of a tenant: {TENANT_RULE}")
        if uuid and not is_uuid(uuid):
            raise IdentityRefused(f"{uuid[:80]!r} is no UUID: give it in small letters, with hyphens")
        now, text = self._clock(), new_text()
        token = Token(digest_of(text), tenant, uuid, now, now + seconds, author.author, only_key=only.key)
        with self.store.writing() as tables:
            before = self._check_bound(tables, token, author) if uuid else ""
            if only.not_revoked:
                _check_not_revoked(tables, uuid)
            new = tables.tenant(tenant) is None
            if new and author.role is Role.HOST_AGENT:
                raise IdentityRefused(f"no tenant {tenant} is known: have the provider make its first token")
            self._make_room_for_tokens(tables, tenant, author)
            tables.settle(tenant)
            tables.put_token(token)
            after = f"{_until(token.expires_at)}{f', with it begins tenant {tenant}' if new else ''}"
            entry = AuditEntry(now, author.author, "token", tenant=tenant, subject=token.subject)
            tables.note(replace(entry, before=before, after=after))
        return NewToken(text, token, new)

    def enrol(self, text: str, asked: Asked) -> Enrolled:
        """Turn a token into a certificate. Raises TokenRefused, BadCsr, NoRoom.

        The same token once more for the same key gets the same certificate: an answer that was lost, or an
        SVM that was killed before it gave one, costs the guest nothing.
        """
        digest = digest_of(text)
        with self.store.reading() as tables:
            self._usable(tables.token(digest))
        key = public_key_of(asked.csr)  # only who has a token has this parsed
        with self.store.writing() as tables:
            token = self._usable(tables.token(digest))  # of two at once, one finds what the other has done
            if token.only_key and token.only_key != key_sha256(key):
                raise TokenRefused
            if token.key:
                return self._again(tables, token, key_sha256(key))
            uuid = token.uuid or str(uuid4())
            issued = self._issued(key, Caller(uuid, Role.GUEST, token.tenant))
            ended = self._enter(tables, token, asked, issued, uuid)
            used = replace(token, uuid=uuid, key=key_sha256(key), certificate=issued.der)
            tables.put_token(used)
            guest = tables.guest(uuid)
            assert guest is not None
        return Enrolled(issued.der, guest, issued.record.ends_at, ended, token.vouched_by)

    def renew(self, shown: bytes, asked: Asked) -> Enrolled:
        """Give a guest a certificate that ends later. Raises NotAdmitted, OtherMachine, BadCsr, NoRoom.

        shown: SHA-256 of the one that it has shown. That counts until the new one is shown on Attach.
        """
        key = public_key_of(asked.csr)
        with self.store.writing() as tables:
            guest = shown_guest(tables, shown, self._clock())
            check_machine(guest, asked.machine)
            if shown == guest.following:
                guest = followed(tables, guest, self._clock())
            elif guest.following:
                tables.drop_certificate(guest.following)
            issued = self._issued(key, guest.holder)
            self._make_room(tables)
            tables.put_certificate(issued.record)
            machine = guest.machine or asked.machine
            guest = replace(guest, following=issued.record.sha256, machine=machine)
            tables.put_guest(guest)
        return Enrolled(issued.der, guest, issued.record.ends_at)

    def issue(self, holder: Caller, csr: bytes, author: Caller) -> Issued:
        """Make a certificate of an administrator or a host agent. Raises BadName, BadCsr, NoRoom."""
        key = public_key_of(csr)
        issued = self.authority.issue(key, holder, self._clock(), self.terms.administrator_days)
        before = counted(of_holder(self.store, holder, self._clock()))
        with self.store.writing() as tables:
            self._make_room(tables)
            if holder.tenant:
                tables.settle(holder.tenant)
            tables.put_certificate(issued.record)
            tables.note(
                AuditEntry(
                    self._clock(),
                    author.author,
                    "certificate issued",
                    tenant=holder.tenant,
                    subject=subject_of(issued.record),
                    before=before,
                    after=_until(issued.record.ends_at),
                )
            )
        return issued

    def _issued(self, key: ec.EllipticCurvePublicKey, guest: Caller) -> Issued:
        with from_register():
            return self.authority.issue(key, guest, self._clock(), self.terms.guest_days)

    def _usable(self, token: Token | None) -> Token:
        if token is None or self._clock() >= token.expires_at:
            raise TokenRefused
        return token

    def _again(self, tables: IdentityTables, token: Token, key: bytes) -> Enrolled:
        """What a token was answered with before, where it is asked for the same key and still counts."""
        certificate = tables.certificate(digest_of_der(token.certificate))
        if token.key != key or certificate is None:
            raise TokenRefused
        guest = tables.guest(holder_of(certificate).name)
        if guest is None or certificate.state(self._clock()) is not CertificateState.GOOD:
            raise TokenRefused
        return Enrolled(token.certificate, guest, certificate.ends_at, vouched_by=token.vouched_by)

    def _enter(self, tables: IdentityTables, token: Token, asked: Asked, issued: Issued, uuid: str) -> bool:
        """Enter a guest that enrols; whether it had a certificate before, which ends."""
        known = tables.guest(uuid)
        if known is not None and known.tenant != token.tenant:
            raise TokenRefused  # it became another's since the token was made
        if known is None:
            self._check_guests(tables, token.tenant)
        self._make_room(tables)
        tables.put_certificate(issued.record)
        now = self._clock()
        told = "not known" if known is None else counted(counting(tables, known, now))
        before = b"" if known is None else retire(tables, known, now)
        guest = EnrolledGuest(
            uuid, token.tenant, asked.host_name, asked.machine, now, issued.record.sha256, before=before
        )
        tables.put_guest(guest)
        # One that was made while it had no certificate that counts is not to take its place now.
        drop_tokens_for(tables, uuid, but=token.digest)
        who = f"guest {uuid}"
        entry = AuditEntry(now, who, "guest enrolled", tenant=token.tenant, subject=who, before=told)
        by = f"by the token {token.id} of {token.author}"
        tables.note(replace(entry, after=_until(issued.record.ends_at), reason=by))
        return known is not None

    def _check_bound(self, tables: IdentityTables, token: Token, author: Caller) -> str:
        """Refuse a token for a guest that is not the author's to name; how the guest stands, in words."""
        guest = tables.guest(token.uuid)
        if author.tenant and (guest is None or guest.tenant != token.tenant):
            # The same for a guest of another tenant and for none at all: which it is, is not his to know.
            raise IdentityRefused(f"your tenant has no guest {token.uuid}: leave the UUID out, one is drawn")
        if guest is not None and guest.tenant != token.tenant:
            raise IdentityRefused(
                f"the guest {token.uuid} is of tenant {guest.tenant}: remove it there, or name that tenant"
            )
        if author.role is Role.HOST_AGENT and guest and counting(tables, guest, token.created_at):
            raise IdentityRefused(
                f"the guest {token.uuid} has a certificate that counts, and a host agent takes no guest's "
                "place: if the guest has lost it, as with a new disk, have the provider make the token "
                f"(`svm guests token --uuid {token.uuid}`), or have the guest revoked (`svm guests revoke "
                f"{token.uuid}`) and ask again"
            )
        return counted(counting(tables, guest, token.created_at)) if guest else ""

    def _make_room_for_tokens(self, tables: IdentityTables, tenant: str, author: Caller) -> None:
        """See that one more token can be made; some room is for those that have few. Raises NoRoom."""
        room, others = MAX_TOKENS, MAX_TOKENS - TOKENS_OF_PROVIDER - TOKENS_KEPT
        if tables.counts()[0] < min(self.terms.tenant_tokens // 2, self.terms.agent_tokens, others):
            return
        drop_old_tokens(tables, self._clock())
        if author.role is not Role.PROVIDER:
            self._check_tenants_tokens(tables, tenant, author)
            own = len(_tokens_of(tables, author))
            if author.role is Role.HOST_AGENT and own >= self.terms.agent_tokens:
                raise NoRoom(
                    f"{own:,} tokens of yours are kept, which is all that a host agent may have "
                    f"(identity.agent_tokens): {_TOKENS_REMEDY}",
                    "identity.agent_tokens",
                )
            room = others if own >= FIRST_TOKENS else others + TOKENS_KEPT
        if tables.counts()[0] >= room:
            raise NoRoom(f"there are as many tokens as there may be: {_TOKENS_REMEDY}")

    def _check_tenants_tokens(self, tables: IdentityTables, tenant: str, author: Caller) -> None:
        """See that a tenant can have one more token of an author's. Raises NoRoom.

        Who has taken over a host agent keeps neither the tenant's administrators from enrolling nor another
        host agent, which finds room for its first ones beside.
        """
        most = self.terms.tenant_tokens
        if author.role is Role.HOST_AGENT:
            is_first = len(tables.tokens_by(author.author, tenant)) < FIRST_TOKENS
            most = max(1, most * 3 // 4 if is_first else most // 2)
        if tables.count_tokens(tenant) >= most:
            raise NoRoom(
                f"{most:,} tokens of the tenant are kept, which is all that you may have for one "
                f"(identity.tenant_tokens; host agents half of it): {_TOKENS_REMEDY}",
                "identity.tenant_tokens",
            )

    def _check_guests(self, tables: IdentityTables, name: str) -> None:
        """See that a tenant can have one more guest; some room is for those that have few. Raises NoRoom."""
        tenant = tables.settle(name)
        if tenant.guests >= self.terms.tenant_guests:
            raise NoRoom(
                f"{tenant.guests:,} guests of the tenant are known, which is all that one may have "
                "(identity.tenant_guests): have some removed",
                "identity.tenant_guests",
            )
        known = tables.counts()[1]
        if known >= MAX_GUESTS:
            raise NoRoom(f"{MAX_GUESTS:,} guests are known, which is all: have some removed")
        if known >= MAX_GUESTS - GUESTS_KEPT and tenant.guests >= FIRST_GUESTS:
            raise NoRoom(
                f"{known:,} guests are known, which is all but what is kept for the first {FIRST_GUESTS} of "
                "each tenant: have some removed"
            )

    def _make_room(self, tables: IdentityTables) -> None:
        if tables.counts()[2] < MAX_CERTIFICATES:
            return
        drop_old_certificates(tables, self._clock())
        if tables.counts()[2] >= MAX_CERTIFICATES:
            raise NoRoom(f"{MAX_CERTIFICATES:,} certificates are known, which is all: have guests removed")


def _until(ends_at: float) -> str:
    """How something is that counts now, in words."""
    return f"counts until {utc(ends_at)}"


def _tokens_of(tables: IdentityTables, author: Caller) -> list[bytes]:
    """What somebody has made; all processes of a local user are one, each command is another."""
    return tables.tokens_by_user(author.local_user) if author.local_user else tables.tokens_by(author.author)


def _check_not_revoked(tables: IdentityTables, uuid: str) -> None:
    """Refuse a guest that an administrator has put out. One that was taken for a copy may come back."""
    guest = tables.guest(uuid)
    certificate = None if guest is None else tables.certificate(guest.current)
    if certificate is not None and certificate.ended is CertificateState.REVOKED:
        raise IdentityRefused(
            f"the guest {uuid} was revoked, and does not come back by itself: `svm-host enrol` lets it in "
            "again, so does `svm guests remove`"
        )
