"""Who is who, on the disk before it counts: tokens, guests that enrolled, certificates that were issued.

    tokens        SHA-256 of the token -> JSON {tenant, uuid, created_at, expires_at, author; once used: key,
                  certificate, and uuid is that of the guest which enrolled; for one key alone: only_key}
    guests        UUID -> JSON {tenant, host_name, machine, enrolled_at, current, following, before}
    certificates  SHA-256 of the certificate in DER -> JSON {serial, holder, issued_at, ends_at; once ended:
    ended,
                  ended_at, ended_by, reason}

Whose each is stands in the index of `of_tenant`, by which they are listed: some at a time, a page, so that
nobody who lists many of them holds up others.

What changes something is one transaction, `writing`, on the disk when that ends: it waits for the disk and is
for a thread. Every value ends with an xxh3_64 of the rest. Bytes stand in JSON as hexadecimal digits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from appliance.domain.identity import Certificate, EnrolledGuest, Token
from appliance.state.audit import Audit, AuditEntry
from appliance.state.environment import StateEnvironment, packed, unpacked
from appliance.state.fields import check_tenant, made_of, meaning
from appliance.state.of_tenant import (
    EVERYBODY,
    NONE,
    TABLE,
    Kind,
    OfTenant,
    RowsOf,
    certificate_rows,
    guest_rows,
    key_in,
    rows_of,
    time_in,
    token_rows,
)
from appliance.state.tenants import Tenant, TenantTable

MAX_TOKENS = 8192
MAX_GUESTS = 16_384
MAX_CERTIFICATES = 65_536  # three of each guest, and those of administrators
PAGE = 32  # records that are read at once

Known = TypeVar("Known")


class IdentityTables:
    """The tables within one transaction. Each method raises StateDamaged."""

    def __init__(self, txn: lmdb.Transaction, store: "IdentityStore") -> None:
        """For `IdentityStore`."""
        self._txn = txn
        self._store = store
        self._path = store.path

    def token(self, digest: bytes) -> Token | None:
        """A token by its digest."""
        fields = self._get(self._store.tokens_db, digest)
        return None if fields is None else _token(digest, fields, self._path)

    def tokens(self, beginning: bytes = b"") -> Iterator[Token]:
        """Each token whose SHA-256 begins so."""
        for key, fields in self._each(self._store.tokens_db, beginning):
            yield _token(key, fields, self._path)

    def page_of_tokens(self, tenant: str, after: bytes) -> tuple[list[Token], bytes]:
        """Some tokens for a tenant's guests, or ("") all, by their end, and after what the next come.

        after: b"" to begin; b"" is returned where there are no more.
        """
        rows = list(islice(self._rows(tenant, Kind.TOKENS, after=after), PAGE))
        found = [token for row in rows if (token := self.token(key_in(row))) is not None]
        return found, rows[-1] if len(rows) == PAGE else b""

    def tokens_for(self, uuid: str) -> list[bytes]:
        """The digests of the tokens that are for one guest."""
        return list(map(key_in, self._rows(EVERYBODY, Kind.TOKENS_FOR, uuid.encode() + b"\0")))

    def tokens_by(self, author: str, tenant: str = EVERYBODY) -> list[bytes]:
        """The digests of the tokens that somebody made for a tenant, or ("") all; as the audit names him."""
        return list(map(key_in, self._rows(tenant, Kind.TOKENS_BY, author.encode() + b"\0")))

    def tokens_by_user(self, user: str) -> list[bytes]:
        """The digests of the tokens that all processes of a local user made: "uid-1000"."""
        return list(map(key_in, self._rows(EVERYBODY, Kind.TOKENS_BY, user.encode() + b".")))

    def count_tokens(self, tenant: str) -> int:
        """How many tokens a tenant has."""
        return sum(1 for _row in self._rows(tenant, Kind.TOKENS))

    def old_tokens(self, now: float) -> list[bytes]:
        """The digests of tokens that may be over."""
        rows = takewhile(lambda row: time_in(row) <= now, self._rows(EVERYBODY, Kind.TOKENS))
        return list(map(key_in, rows))

    def put_token(self, token: Token) -> None:
        """Keep a token, a new one or as it is now."""
        fields = {
            "tenant": token.tenant,
            "uuid": token.uuid,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "author": token.author,
        }
        if token.key:
            fields |= {"key": token.key.hex(), "certificate": token.certificate.hex()}
        if token.only_key:
            fields["only_key"] = token.only_key.hex()
        self._put(self._store.tokens_db, token.digest, fields, token_rows)

    def drop_token(self, digest: bytes) -> None:
        """Forget a token."""
        self._put(self._store.tokens_db, digest, None, token_rows)

    def guest(self, uuid: str) -> EnrolledGuest | None:
        """A guest by its UUID."""
        fields = self._get(self._store.guests_db, uuid.encode())
        return None if fields is None else _guest(uuid.encode(), fields, self._path)

    def guests(self) -> Iterator[EnrolledGuest]:
        """Every guest, by UUID."""
        for key, data in self._txn.cursor(db=self._store.guests_db):
            yield _guest(bytes(key), unpacked(data, self._path), self._path)

    def page_of_guests(self, tenant: str, after: bytes) -> tuple[list[EnrolledGuest], bytes]:
        """Some guests of a tenant, or ("") of all, by UUID, and after what the next come; b"" for no more.

        after: b"" to begin.
        """
        rows = list(islice(self._rows(tenant, Kind.GUESTS, after=after), PAGE))
        found = [guest for row in rows if (guest := self.guest(row.decode(errors="replace"))) is not None]
        return found, rows[-1] if len(rows) == PAGE else b""

    def put_guest(self, guest: EnrolledGuest) -> None:
        """Keep a guest, a new one or as it is now; a new one counts for its tenant."""
        fields = {
            "tenant": guest.tenant,
            "host_name": guest.host_name,
            "machine": guest.machine.hex(),
            "enrolled_at": guest.enrolled_at,
            "current": guest.current.hex(),
            "following": guest.following.hex(),
            "before": guest.before.hex(),
        }
        old = self.guest(guest.uuid)
        for tenant, change in (old and old.tenant, -1), (guest.tenant, 1):
            if tenant and (old is None or old.tenant != guest.tenant):
                self._store.tenant_table.count(self._txn, tenant, change)
        self._put(self._store.guests_db, guest.uuid.encode(), fields, guest_rows)

    def drop_guest(self, guest: EnrolledGuest) -> None:
        """Forget a guest."""
        if self._put(self._store.guests_db, guest.uuid.encode(), None, guest_rows):
            self._store.tenant_table.count(self._txn, guest.tenant, -1)

    def certificate(self, sha256: bytes) -> Certificate | None:
        """A certificate by the SHA-256 of it."""
        fields = self._get(self._store.certificates_db, sha256)
        return None if fields is None else _certificate(sha256, fields, self._path)

    def page_of_certificates(
        self, tenant: str, guests: bool, before: bytes
    ) -> tuple[list[Certificate], bytes]:
        """Some certificates of a tenant, or ("") of all, the newest first, and before what the next come.

        guests: theirs too. before: b"" to begin; b"" is returned where there are no more.
        """
        kind = Kind.CERTIFICATES if guests else Kind.ADMINISTRATORS
        rows = list(islice(self._store.index.downwards(self._txn, tenant, kind, before), PAGE))
        found = [known for row in rows if (known := self.certificate(key_in(row))) is not None]
        return found, rows[-1] if len(rows) == PAGE else b""

    def old_certificates(self, before: float) -> list[bytes]:
        """The SHA-256 of certificates whose time was over before a time."""
        rows = takewhile(lambda row: time_in(row) <= before, self._rows(EVERYBODY, Kind.ENDS))
        return list(map(key_in, rows))

    def certificates(self, beginning: bytes = b"") -> Iterator[Certificate]:
        """Each certificate whose SHA-256 begins so."""
        for key, fields in self._each(self._store.certificates_db, beginning):
            yield _certificate(key, fields, self._path)

    def put_certificate(self, certificate: Certificate) -> None:
        """Keep a certificate, a new one or as it is now."""
        fields: dict[str, Any] = {
            "serial": certificate.serial,
            "holder": certificate.holder,
            "issued_at": certificate.issued_at,
            "ends_at": certificate.ends_at,
        }
        if certificate.ended is not None:
            fields |= {
                "ended": certificate.ended,
                "ended_at": certificate.ended_at,
                "ended_by": certificate.ended_by,
                "reason": certificate.reason,
            }
        self._put(self._store.certificates_db, certificate.sha256, fields, certificate_rows)

    def drop_certificate(self, sha256: bytes) -> None:
        """Forget a certificate, which counts no more then."""
        self._put(self._store.certificates_db, sha256, None, certificate_rows)

    def tenant(self, name: str) -> Tenant | None:
        """A tenant by its name."""
        return self._store.tenant_table.get(self._txn, name)

    def settle(self, name: str) -> Tenant:
        """A tenant, which is made where there is none. Raises StateError where there are too many."""
        return self._store.tenant_table.settle(self._txn, name)

    def note(self, entry: AuditEntry) -> None:
        """Enter a change into the audit."""
        self._store.audit.append(self._txn, entry)

    def counts(self) -> tuple[int, int, int]:
        """How many tokens, guests and certificates there are."""
        store = self._store
        tables = (store.tokens_db, store.guests_db, store.certificates_db)
        tokens, guests, certificates = (int(self._txn.stat(db=table)["entries"]) for table in tables)
        return tokens, guests, certificates

    def _rows(self, tenant: str, kind: Kind, beginning: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
        return self._store.index.upwards(self._txn, tenant, kind, beginning, after)

    def _put(self, table: Any, key: bytes, fields: dict[str, Any] | None, rows: RowsOf) -> bool:
        """Write a record, or (None) forget it, and enter it into the index; whether there was one before."""
        before = rows_of(rows, key, self._txn.get(key, db=table), self._path)
        if fields is None:
            self._store.index.put(self._txn, before, NONE)
            return self._txn.delete(key, db=table)
        self._store.index.put(self._txn, before, rows(key, fields))
        self._txn.put(key, packed(fields), db=table)
        return bool(before)

    def _each(self, table: Any, beginning: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Each record whose key begins so."""
        cursor = self._txn.cursor(db=table)
        if not (cursor.set_range(beginning) if beginning else cursor.first()):
            return
        for key, data in cursor:
            if not bytes(key).startswith(beginning):
                return
            yield bytes(key), unpacked(data, self._path)

    def _get(self, table: Any, key: bytes) -> dict[str, Any] | None:
        data = self._txn.get(key, db=table)
        return None if data is None else unpacked(data, self._path)


class IdentityStore:
    """The tables of who is who, in the file that the stores of the state share."""

    def __init__(self, environment: StateEnvironment) -> None:
        """Raises StateError."""
        self.path = environment.path
        self.tenant_table = TenantTable(environment)
        self.audit = Audit(environment)
        self.tokens_db = environment.table(b"tokens")
        self.guests_db = environment.table(b"guests")
        self.certificates_db = environment.table(b"certificates")
        self.index = OfTenant(environment.table(TABLE), environment.path)
        self.environment = environment

    @contextmanager
    def reading(self) -> Iterator[IdentityTables]:
        """The tables as they are now; does not wait."""
        with self.environment.reading() as txn:
            yield IdentityTables(txn, self)

    def guests(self, tenant: str) -> Iterator[EnrolledGuest]:
        """The guests of a tenant, or ("") of all, by UUID, as they are when it comes to them.

        Between two of them nothing is held. Raises StateError.
        """
        return self._pages(lambda tables, after: tables.page_of_guests(tenant, after))

    def certificates(self, tenant: str, guests: bool) -> Iterator[Certificate]:
        """The same of certificates, the newest first. guests: theirs too."""
        return self._pages(lambda tables, before: tables.page_of_certificates(tenant, guests, before))

    def tokens(self, tenant: str) -> Iterator[Token]:
        """The same of tokens, by their end."""
        return self._pages(lambda tables, after: tables.page_of_tokens(tenant, after))

    def _pages(self, page: Callable[[IdentityTables, bytes], tuple[list[Known], bytes]]) -> Iterator[Known]:
        """Yield what is in each page. page: gives what follows a place, and the next place, b"" for none."""
        place, more = b"", True
        while more:
            with self.reading() as tables:
                found, place = page(tables, place)
            yield from found
            more = bool(place)

    @contextmanager
    def writing(self) -> Iterator[IdentityTables]:
        """The tables, to be changed: on the disk when it ends, as before where it raises. Or StateError."""
        with self.environment.changing, self.environment.writing() as txn:
            yield IdentityTables(txn, self)


def _token(digest: bytes, fields: dict[str, Any], path: Path) -> Token:
    with meaning(path, "a token's record"):
        token = made_of(Token, fields, digest=digest)
        check_tenant(token.tenant)
        return token


def _guest(uuid: bytes, fields: dict[str, Any], path: Path) -> EnrolledGuest:
    with meaning(path, "a guest's record"):
        guest = made_of(EnrolledGuest, fields, uuid=uuid.decode())
        check_tenant(guest.tenant)
        return guest


def _certificate(sha256: bytes, fields: dict[str, Any], path: Path) -> Certificate:
    with meaning(path, "a certificate's record"):
        return made_of(Certificate, fields, sha256=sha256)
