"""What makes certificates count no more, and what happens to them as they are shown.

As in `issuing`: each is one transaction, and waits for the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.domain.caller import Caller
from appliance.domain.identity import Certificate, CertificateState, EnrolledGuest, Token
from appliance.domain.times import utc
from appliance.identity.issuing import IdentityRefused
from appliance.identity.names import named_by
from appliance.identity.standing import (
    check_machine,
    drop_old_certificates,
    drop_old_tokens,
    drop_tokens_for,
    end,
    followed,
    shown_guest,
)
from appliance.state.audit import AuditEntry
from appliance.state.identities import IdentityStore, IdentityTables


@dataclass(frozen=True, slots=True)
class By:
    """Who ends something, and what he says."""

    author: Caller
    reason: str = ""


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

    def revoke_guest(self, uuid: str, by: By) -> tuple[EnrolledGuest, int]:
        """End a guest's certificates and tokens; how many of these counted. Raises IdentityRefused."""
        with self._store.writing() as tables:
            guest = self._guest(tables, uuid, by.author)
            drop_tokens_for(tables, uuid)
            why = CertificateState.REVOKED
            ended = end(tables, guest.certificates, why, self._clock(), by.author.author, by.reason)
            self._note(tables, by, ("guest revoked", guest.tenant, f"guest {uuid}"), ended)
            return guest, ended

    def remove_guest(self, uuid: str, by: By) -> EnrolledGuest:
        """Forget a guest, its certificates and its tokens. Raises IdentityRefused."""
        with self._store.writing() as tables:
            guest = self._guest(tables, uuid, by.author)
            drop_tokens_for(tables, uuid)
            for sha256 in guest.certificates:
                tables.drop_certificate(sha256)
            tables.drop_guest(guest)
            about = ("guest removed", guest.tenant, f"guest {uuid}")
            self._note(tables, by, about, len(guest.certificates))
        return guest

    def revoke_certificate(self, beginning: bytes, by: By) -> Certificate:
        """End the certificate whose SHA-256 begins so. Raises IdentityRefused."""
        with self._store.writing() as tables:
            found = [each for each in tables.certificates(beginning) if _sees(by.author, each)][:2]
            if not found:
                raise IdentityRefused(
                    f"no certificate {beginning.hex()} is known: see `svm certificates list --guests`"
                )
            if len(found) > 1:
                raise IdentityRefused(
                    f"several certificates begin with {beginning.hex()}: give more of the SHA-256"
                )
            sha256 = found[0].sha256
            if found[0].ended is not None:
                raise IdentityRefused(f"the certificate {sha256.hex()[:16]} is {found[0].ended} already")
            end(tables, [sha256], CertificateState.REVOKED, self._clock(), by.author.author, by.reason)
            ended = tables.certificate(sha256)
            assert ended is not None
            holder = named_by(ended.holder)
            whose = f"{holder.role} {holder.name}, certificate {sha256.hex()[:16]}"
            self._note(tables, by, ("certificate revoked", holder.tenant, whose), 1)
        return ended

    def withdraw(self, beginning: bytes, by: By) -> Token:
        """Forget the unused token whose SHA-256 begins so; as it was. Raises IdentityRefused."""
        with self._store.writing() as tables:
            known = (token for token in tables.tokens(beginning) if self._clock() < token.expires_at)
            found = [token for token in known if token.is_for(by.author)][:2]
            if not found:
                raise IdentityRefused(f"no token {beginning.hex()} is known: see `svm guests tokens`")
            if len(found) > 1:
                raise IdentityRefused(
                    f"several tokens begin with {beginning.hex()}: give more of the SHA-256"
                )
            token = found[0]
            if token.key:
                raise IdentityRefused(
                    f"the token {token.id} was used already, by {token.uuid or 'a guest'}: "
                    "`svm guests revoke` ends that guest's certificate"
                )
            tables.drop_token(token.digest)
            tables.note(
                AuditEntry(
                    self._clock(),
                    by.author.author,
                    "token withdrawn",
                    reason=by.reason,
                    tenant=token.tenant,
                    subject=token.subject,
                    before=f"counted until {utc(token.expires_at)}, made by {token.author}",
                    after="counts no more",
                )
            )
        return token

    def cloned(self, uuid: str, why: str) -> int:
        """End the certificates of a guest that is in two places; how many counted."""
        with self._store.writing() as tables:
            guest = tables.guest(uuid)
            certificates = () if guest is None else guest.certificates
            return end(tables, certificates, CertificateState.CLONED, self._clock(), reason=why)

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
        whose = named_by(certificate.holder)
        subject = f"{whose.role} {whose.name}, certificate {certificate.sha256.hex()[:16]}"
        entry = AuditEntry(self._clock(), "svm init", "certificate issued", subject=subject)
        with self._store.writing() as tables:
            tables.put_certificate(certificate)
            tables.note(replace(entry, after=f"counts until {utc(certificate.ends_at)}"))

    def _note(self, tables: IdentityTables, by: By, about: tuple[str, str, str], ended: int) -> None:
        """Enter a change into the audit. about: what was done, whose, to what. ended: certificates by it."""
        action, tenant, subject = about
        plural = "" if ended == 1 else "s"
        entry = AuditEntry(
            self._clock(),
            by.author.author,
            action,
            reason=by.reason,
            tenant=tenant,
            subject=subject,
            before=f"{ended} certificate{plural} counted",
        )
        tables.note(entry)

    def _guest(self, tables: IdentityTables, uuid: str, author: Caller) -> EnrolledGuest:
        guest = known_guest(tables, uuid)
        if guest is None or not author.sees(guest.tenant):
            raise IdentityRefused(f"no guest {uuid[:80]} is enrolled: see `svm guests list`")
        return guest


def known_guest(tables: IdentityTables, uuid: str) -> EnrolledGuest | None:
    """A guest by what an administrator calls it."""
    return tables.guest(uuid) if uuid.isascii() and 0 < len(uuid) <= 64 else None


def _sees(author: Caller, certificate: Certificate) -> bool:
    return author.sees(named_by(certificate.holder).tenant)
