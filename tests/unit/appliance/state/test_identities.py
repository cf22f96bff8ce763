"""Tokens, guests and certificates, on the disk."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.domain.identity import Certificate, CertificateState, EnrolledGuest, Token
from appliance.state import identities
from appliance.state.environment import StateDamaged, StateEnvironment, packed, unpacked
from appliance.state.identities import PAGE, IdentityStore

TOKEN = Token(b"t" * 32, "acme", "uuid", 1.0, 2.5, "me")
GUEST = EnrolledGuest("u-1", "acme", "vm", b"m" * 32, 5.0, b"c" * 32, b"d" * 32, b"b" * 32)
CERTIFICATE = Certificate(b"\x01" * 32, "abc", "kvm-light-agent://svm/x", 1.0, 9.0)


@contextmanager
def opened(directory: Path) -> Iterator[IdentityStore]:
    """The store of a directory."""
    environment = StateEnvironment.open(directory)
    try:
        yield IdentityStore(environment)
    finally:
        environment.close()


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    """Each field of it, also of a token that was used and a certificate that was ended."""
    used = replace(TOKEN, digest=b"u" * 32, key=b"k" * 32, certificate=b"\0der\xff")
    revoked = replace(
        CERTIFICATE,
        sha256=b"\x02" * 32,
        ended=CertificateState.REVOKED,
        ended_at=3.0,
        ended_by="me",
        reason="r",
    )
    with opened(tmp_path) as store, store.writing() as tables:
        for token in (TOKEN, used):
            tables.put_token(token)
        tables.put_guest(GUEST)
        for certificate in (CERTIFICATE, revoked):
            tables.put_certificate(certificate)
    with opened(tmp_path) as store, store.reading() as tables:
        assert [tables.token(token.digest) for token in (TOKEN, used)] == [TOKEN, used]
        assert list(tables.tokens()) == [TOKEN, used]
        assert (tables.guest("u-1"), list(tables.guests())) == (GUEST, [GUEST])
        assert tables.certificate(b"\x01" * 32) == CERTIFICATE
        assert list(tables.certificates()) == [CERTIFICATE, revoked]
        assert list(tables.certificates(b"\x02\x02")) == [revoked]
        assert list(tables.certificates(b"\x03")) == []
        assert tables.counts() == (2, 1, 2)


def test_what_is_dropped_is_gone(tmp_path: Path) -> None:
    """And what was never there is none."""
    with opened(tmp_path) as store:
        with store.writing() as tables:
            tables.put_token(TOKEN)
            tables.put_guest(GUEST)
            tables.put_certificate(CERTIFICATE)
            tables.drop_token(TOKEN.digest)
            tables.drop_guest(GUEST)
            tables.drop_certificate(CERTIFICATE.sha256)
        with store.reading() as tables:
            assert tables.counts() == (0, 0, 0)
            assert (tables.token(b"t" * 32), tables.guest("u-1"), tables.certificate(b"\x01" * 32)) == (
                None,
            ) * 3


def test_a_tenants_guests_are_counted_as_they_come_move_and_go(tmp_path: Path) -> None:
    """One that is put again counts once."""

    def guests(store: IdentityStore, name: str) -> int:
        with store.reading() as tables:
            tenant = tables.tenant(name)
            return -1 if tenant is None else tenant.guests

    with opened(tmp_path) as store:
        with store.writing() as tables:
            tables.put_guest(GUEST)
            tables.put_guest(replace(GUEST, machine=b""))
            tables.put_guest(replace(GUEST, uuid="u-2"))
        assert (guests(store, "acme"), guests(store, "other")) == (2, -1)
        with store.writing() as tables:
            tables.put_guest(replace(GUEST, tenant="other"))
            tables.drop_guest(replace(GUEST, uuid="u-2"))
            tables.drop_guest(replace(GUEST, uuid="u-2"))
        assert (guests(store, "acme"), guests(store, "other")) == (0, 1)


def test_what_raises_changes_nothing(tmp_path: Path) -> None:
    """A transaction is whole, or nothing of it is."""
    with opened(tmp_path) as store:
        with suppress(KeyError), store.writing() as tables:
            tables.put_guest(GUEST)
            raise KeyError
        with store.reading() as tables:
            assert tables.counts() == (0, 0, 0)


@pytest.mark.parametrize(
    ("table", "key", "fields"),
    [
        (b"tokens", b"x" * 32, {"tenant": "a"}),
        (b"tokens", b"x" * 32, {"tenant": "a", "key": "no digits"}),
        (b"guests", b"x", {"tenant": "a", "machine": "zz", "current": "", "following": "", "before": ""}),
        (b"guests", b"x", {"tenant": "a"}),
        (b"certificates", b"x" * 32, {"serial": "1", "ended": "eaten"}),
    ],
)
def test_a_record_without_a_meaning_is_damage(
    tmp_path: Path, table: bytes, key: bytes, fields: dict[str, str]
) -> None:
    """With a checksum that fits; one that does not fit is damage anyway."""
    with opened(tmp_path) as store:
        environment = store.environment
        handle = environment.table(table)

        def all_of_it() -> None:
            with store.reading() as tables:
                list(tables.tokens())
                list(tables.guests())
                list(tables.certificates())

        with environment.changing, environment.writing() as txn:
            txn.put(key, packed(fields), db=handle)
        with pytest.raises(StateDamaged, match="has no meaning"):
            all_of_it()
        with environment.changing, environment.writing() as txn:
            txn.put(key, packed(fields)[:-1] + b"x", db=handle)
        with pytest.raises(StateDamaged, match="checksum"):
            all_of_it()


def enter(store: IdentityStore, tenant: str, count: int) -> None:
    """So many guests of a tenant, with a certificate each, and as many administrators."""
    with store.writing() as tables:
        for number in range(count):
            for kind in (f"guest/{tenant}/u", f"administrator/tenant-admin/{tenant}/n"):
                sha256 = hashlib.sha256(f"{kind}{number}".encode()).digest()
                tables.put_certificate(Certificate(sha256, "1", f"kvm-light-agent://{kind}", number, 1e9))
            tables.put_guest(replace(GUEST, uuid=f"{tenant}-{number:04}", tenant=tenant))


def test_a_tenants_list_is_its_own_in_order_over_many_pages(tmp_path: Path) -> None:
    """Certificates the newest first, those of guests where they are asked for; guests by UUID."""
    with opened(tmp_path) as store:
        enter(store, "acme", 3 * PAGE)  # a page that is full is the last
        enter(store, "other", PAGE + 1)
        for tenant, count in (("acme", 3 * PAGE), ("other", PAGE + 1), ("", 4 * PAGE + 1), ("none", 0)):
            mine = list(store.certificates(tenant, guests=False))
            assert len(mine) == count
            assert all("/tenant-admin/" in each.holder and tenant in each.holder for each in mine)
            everyone = list(store.certificates(tenant, guests=True))
            assert len({each.sha256 for each in everyone}) == len(everyone) == 2 * count
            times = [each.issued_at for each in everyone]
            assert times == sorted(times, reverse=True)
            guests = [guest.uuid for guest in store.guests(tenant)]
            assert (len(guests), guests) == (count, sorted(guests))


def test_who_lists_a_tenant_reads_no_record_of_others_and_none_beyond_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So how long it takes does not tell of them; a page more than is wanted at the most."""
    read: list[dict[str, Any]] = []

    def counted(data: bytes, path: Path) -> dict[str, Any]:
        read.append(unpacked(data, path))
        return dict(read[-1])

    with opened(tmp_path) as store:
        enter(store, "acme", 2 * PAGE)
        enter(store, "other", 20 * PAGE)
        monkeypatch.setattr(identities, "unpacked", counted)
        for what in (
            store.certificates("acme", guests=True),
            store.certificates("acme", guests=False),
            store.guests("acme"),
        ):
            read.clear()
            next(iter(what))
            assert len(read) == PAGE
            list(what)
            assert all("acme" in (fields.get("holder") or fields["tenant"]) for fields in read)
            assert len(read) <= 4 * PAGE
        read.clear()
        next(store.certificates("", guests=True))  # also who sees all reads no more
        assert len(read) == PAGE


def test_what_is_over_is_found_without_what_is_not(tmp_path: Path) -> None:
    """Tokens and certificates, by their end; tokens for one guest by its UUID, of one tenant by that."""
    with opened(tmp_path) as store, store.writing() as tables:
        for number in range(9):
            tables.put_token(replace(TOKEN, digest=bytes([number]) * 32, expires_at=number))
            tables.put_certificate(replace(CERTIFICATE, sha256=bytes([number]) * 32, ends_at=number))
        tables.put_token(replace(TOKEN, digest=b"x" * 32, tenant="other", uuid="uuid-2", expires_at=99))
        oldest = [bytes([number]) * 32 for number in range(4)]
        assert (tables.old_tokens(3.5), tables.old_certificates(3.5)) == (oldest, oldest)
        assert len(tables.tokens_for("uuid")) == 9
        assert tables.tokens_for("uuid-2") == [b"x" * 32]
        assert [tables.count_tokens(name) for name in ("acme", "other", "acm")] == [9, 1, 0]
