"""What makes certificates count no more, and what happens to them as they are shown.

As in `issuing`: each is one transaction, and waits for the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.domain.caller import Caller
from appliance.domain.identity import Certificate, CertificateState, EnrolledGuest, Token
from appliance.domain.times import utc
from appliance.identity.issuing import IdentityRefused
from appliance.identity.names import holder_of, subject_of
from appliance.identity.standing import (
    can_end,
    check_machine,
    counted,
    counting,
    drop_old_certificates,
    drop_old_tokens,
    drop_tokens_for,
    drop_unused_by,
    end,
    followed,
    of_holder,
    shown_guest,
)
from appliance.state.audit import AuditEntry
from appliance.state.identities import IdentityStore, IdentityTables

_ITSELF = "svm"  # as the actor of what the SVM does by itself
_COUNTS_NO_MORE = "counts no more"


@dataclass(frozen=True, slots=True)
class By:
    """Who ends something, and what he says."""

    author: Caller
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that was revoked. tokens: how many unused ones of its holder went with it."""

    certificate: Certificate
    holder: Caller
    tokens: int

    @property
    def lost(self) -> str:
        """How many tokens went, in words that follow others; "" for none."""
        many = "" if self.tokens == 1 else "s"
        return f", {self.tokens:,} unused token{many} of that author" if self.tokens else ""


class Ender:
    """Changes the register so that something counts no more."""

    def __init__(self, store: IdentityStore, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self._store = store
        self._clock = clock

    def is_news(self, sha256: bytes, machine: bytes) -> bool:
        """Whether `shown` would change anything, for a guest that attaches. Raises NotAdmitted.

        sha256: of the certificate that it shows. machine: its own word, 32 bytes or none.
        """
        with self._store.reading() as tables:
            guest = shown_guest(tables, sha256, self._clock())
            check_machine(guest, machine)
        return guest.machine != machine or guest.following == sha256

    def shown(self, sha256: bytes, machine: bytes) -> bool:
        """Enter that a guest attaches; whether the certificate before ended by that. Raises NotAdmitted."""
        with self._store.writing() as tables:
            guest = shown_guest(tables, sha256, self._clock())
            check_machine(guest, machine)
            follows = guest.following == sha256
            if follows:
                guest = followed(tables, guest, self._clock())
            tables.put_guest(replace(guest, machine=machine))
        return follows

    def is_revoked(self, uuid: str, author: Caller) -> bool:
        """Whether `revoke_guest` would change nothing. Raises IdentityRefused for no guest of his."""
        with self._store.reading() as tables:
            return _is_over(tables, self._guest(tables, uuid, author))

    def revoke_guest(self, uuid: str, by: By) -> tuple[EnrolledGuest, int]:
        """End a guest's certificates and tokens; how many of these counted. Raises IdentityRefused."""
        with self._store.writing() as tables:
            guest = self._guest(tables, uuid, by.author)
            if _is_over(tables, guest):
                return guest, 0
            tokens, why = drop_tokens_for(tables, uuid), CertificateState.REVOKED
            ended = end(tables, guest.certificates, why, self._clock(), by.author.author, by.reason)
            about = ("guest revoked", guest.tenant, f"guest {uuid}")
            self._note(tables, by, about, _counted(ended, tokens), _COUNTS_NO_MORE)
            return guest, ended

    def check_guest(self, uuid: str, author: Caller) -> None:
        """Raise IdentityRefused where there is no guest to remove."""
        with self._store.reading() as tables:
            self._guest(tables, uuid, author)

    def remove_guest(self, uuid: str, by: By) -> EnrolledGuest:
        """Forget a guest, its certificates and its tokens. Raises IdentityRefused."""
        with self._store.writing() as tables:
            guest = self._guest(tables, uuid, by.author)
            tokens, certificates = drop_tokens_for(tables, uuid), counting(tables, guest, self._clock())
            for sha256 in guest.certificates:
                tables.drop_certificate(sha256)
            tables.drop_guest(guest)
            about = ("guest removed", guest.tenant, f"guest {uuid}")
            self._note(tables, by, about, _counted(certificates, tokens), "not known")
        return guest

    def check_certificate(self, beginning: bytes, author: Caller) -> None:
        """Raise IdentityRefused where there is no certificate to revoke."""
        with self._store.reading() as tables:
            _certificate(tables, beginning, author)

    def revoke_certificate(self, beginning: bytes, by: By) -> Revoked:
        """End the certificate whose SHA-256 begins so. Raises IdentityRefused.

        The unused tokens of its holder go with it, by whichever of his certificates they were made: a stolen
        one may have made them all.
        """
        with self._store.writing() as tables:
            sha256 = _certificate(tables, beginning, by.author).sha256
            end(tables, [sha256], CertificateState.REVOKED, self._clock(), by.author.author, by.reason)
            ended = tables.certificate(sha256)
            assert ended is not None
            holder = holder_of(ended)
            revoked = Revoked(ended, holder, drop_unused_by(tables, holder.author, self._clock()))
            about, until = ("certificate revoked", holder.tenant, subject_of(ended)), utc(ended.ends_at)
            before = f"counted until {until}" if ended.ended_at < ended.ends_at else f"over since {until}"
            self._note(tables, by, about, f"{before}{revoked.lost}", _COUNTS_NO_MORE)
        return revoked

    def check_token(self, beginning: bytes, author: Caller) -> None:
        """Raise IdentityRefused where there is no token to withdraw."""
        with self._store.reading() as tables:
            _token(tables, beginning, author, self._clock())

    def withdraw(self, beginning: bytes, by: By) -> Token:
        """Forget the unused token whose SHA-256 begins so; as it was. Raises IdentityRefused."""
        with self._store.writing() as tables:
            token = _token(tables, beginning, by.author, self._clock())
            tables.drop_token(token.digest)
            about = ("token withdrawn", token.tenant, token.subject)
            before = f"counted until {utc(token.expires_at)}, made by {token.author}"
            self._note(tables, by, about, before, _COUNTS_NO_MORE)
        return token

    def cloned(self, uuid: str, why: str) -> int:
        """End the certificates of a guest that is in two places; how many counted."""
        with self._store.writing() as tables:
            guest = tables.guest(uuid)
            if guest is None:
                return 0
            now = self._clock()
            ended = end(tables, guest.certificates, CertificateState.CLONED, now, reason=why)
            if ended:  # else nothing has changed, and it may be said again and again
                entry = AuditEntry(now, _ITSELF, "guest ended", reason=why, tenant=guest.tenant)
                told = replace(entry, before=counted(ended), after=f"{_COUNTS_NO_MORE}: it is in two places")
                tables.note(replace(told, subject=f"guest {uuid}"))
            return ended

    def age(self) -> None:
        """Forget what was over long ago."""
        with self._store.writing() as tables:
            drop_old_tokens(tables, self._clock())
            drop_old_certificates(tables, self._clock())

    def adopt(self, certificate: Certificate) -> None:
        """Enter a certificate that `svm init` made for the first administrator, where it is not known yet."""
        with self._store.reading() as tables:
            if tables.certificate(certificate.sha256) is not None:
                return
        whose = holder_of(certificate)
        subject = subject_of(certificate)
        before = counted(of_holder(self._store, whose, self._clock()))
        entry = AuditEntry(self._clock(), "svm init", "certificate issued", subject=subject, before=before)
        with self._store.writing() as tables:
            tables.put_certificate(certificate)
            tables.note(replace(entry, after=f"counts until {utc(certificate.ends_at)}"))

    def _note(
        self, tables: IdentityTables, by: By, about: tuple[str, str, str], before: str, after: str
    ) -> None:
        """Enter a change into the audit. about: what was done, whose, to what."""
        action, tenant, subject = about
        entry = AuditEntry(self._clock(), by.author.author, action, reason=by.reason, tenant=tenant)
        tables.note(replace(entry, subject=subject, before=before, after=after))

    def _guest(self, tables: IdentityTables, uuid: str, author: Caller) -> EnrolledGuest:
        guest = known_guest(tables, uuid)
        if guest is None or not author.sees(guest.tenant):
            raise IdentityRefused(f"no guest {uuid[:80]} is enrolled: see `svm guests list`")
        return guest


def _is_over(tables: IdentityTables, guest: EnrolledGuest) -> bool:
    """Whether a guest has nothing left that could be revoked."""
    known = map(tables.certificate, guest.certificates)
    left = (each is not None and can_end(each, CertificateState.REVOKED) for each in known)
    return not tables.tokens_for(guest.uuid) and not any(left)


def _certificate(tables: IdentityTables, beginning: bytes, author: Caller) -> Certificate:
    """The certificate that can be revoked whose SHA-256 begins so. Raises IdentityRefused."""
    found = [each for each in tables.certificates(beginning) if _sees(author, each)][:2]
    if not found:
        raise IdentityRefused(
            f"no certificate {beginning.hex()} is known: see `svm certificates list --guests`"
        )
    if len(found) > 1:
        raise IdentityRefused(f"several certificates begin with {beginning.hex()}: give more of the SHA-256")
    if found[0].ended is not None:
        raise IdentityRefused(f"the certificate {found[0].sha256.hex()[:16]} is {found[0].ended} already")
    return found[0]


def _token(tables: IdentityTables, beginning: bytes, author: Caller, now: float) -> Token:
    """The unused token whose SHA-256 begins so. Raises IdentityRefused."""
    known = (token for token in tables.tokens(beginning) if now < token.expires_at)
    found = [token for token in known if token.is_for(author)][:2]
    if not found:
        raise IdentityRefused(f"no token {beginning.hex()} is known: see `svm guests tokens`")
    if len(found) > 1:
        raise IdentityRefused(f"several tokens begin with {beginning.hex()}: give more of the SHA-256")
    if found[0].key:
        raise IdentityRefused(
            f"the token {found[0].id} was used already, by {found[0].uuid or 'a guest'}: "
            "`svm guests revoke` ends that guest's certificate"
        )
    return found[0]


def _counted(certificates: int, tokens: int) -> str:
    """What of a guest counted, in words."""
    return counted(certificates) + (f", {tokens} token{'' if tokens == 1 else 's'} for it" if tokens else "")


def known_guest(tables: IdentityTables, uuid: str) -> EnrolledGuest | None:
    """A guest by what an administrator calls it."""
    return tables.guest(uuid) if uuid.isascii() and 0 < len(uuid) <= 64 else None


def _sees(author: Caller, certificate: Certificate) -> bool:
    return author.sees(holder_of(certificate).tenant)
