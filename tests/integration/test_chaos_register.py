"""What the crash test believes of certificates: it is what the SVM does, and what is not so is found."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from appliance.domain.caller import Caller, Role
from appliance.domain.identity import CertificateState
from appliance.identity.ending import By
from appliance.identity.issuing import Enrolled
from appliance.identity.keys import csr_for, key_sha256, new_key
from appliance.identity.names import uri_of
from appliance.state.identities import IdentityTables
from appliance.state.store import StateStore
from tests.chaos import register as orders
from tests.chaos import register_disk
from tests.chaos.broken import Broken
from tests.chaos.page import Page
from tests.support.identities import MACHINE, OF_ACME, PROVIDER, Office, asked, office

TENANT = "acme"


@dataclass
class Desk:
    """An office, and a page on which everything is noted that it acknowledges."""

    office: Office
    page: Page = field(default_factory=lambda: Page(lambda *_, **__: None))

    def token(self, uuid: str = "") -> str:
        """Have a token made."""
        self.page.asks(orders.make_token(uuid))
        made = self.office.issuer.token(TENANT, uuid, 3600, PROVIDER)
        self.page.acknowledged(made.token.digest, made.token.expires_at)
        return made.text

    def enrolled(self, uuid: str = "", acknowledged: bool = True) -> Enrolled:
        """Have a guest enrol."""
        text, key = self.token(uuid), new_key()
        (digest,) = [each for each, token in self.page.register.tokens.items() if not token.key]
        self.page.asks(orders.enrol(digest, key_sha256(key.public_key())))
        made = self.office.issuer.enrol(text, asked(key=key))
        if acknowledged:
            self.page.acknowledged(sha256(made), f"kvm-light-agent://guest/{TENANT}/{made.guest.uuid}")
        return made

    def renewed(self, guest: Enrolled) -> Enrolled:
        """Have it renew over this certificate."""
        self.page.asks(orders.renew(guest.guest.uuid, sha256(guest)))
        made = self.office.issuer.renew(sha256(guest), asked())
        self.page.acknowledged(sha256(made))
        return made

    def attached(self, guest: Enrolled) -> None:
        """Have it show what it got by renewal."""
        self.page.asks(orders.attach(guest.guest.uuid))
        self.office.ender.shown(sha256(guest), MACHINE)
        self.page.acknowledged()

    def revoked(self, guest: Enrolled) -> None:
        """Have its certificates end."""
        self.page.asks(orders.revoke(guest.guest.uuid))
        self.office.ender.revoke_guest(guest.guest.uuid, By(OF_ACME))
        self.page.acknowledged()

    def removed(self, guest: Enrolled) -> None:
        """Have it forgotten."""
        self.page.asks(orders.remove(guest.guest.uuid))
        self.office.ender.remove_guest(guest.guest.uuid, By(OF_ACME))
        self.page.acknowledged()

    def issued(self, role: Role, tenant: str) -> bytes:
        """Have an administrator's certificate made."""
        holder = Caller(f"{TENANT}-{role}", role, tenant)
        self.page.asks(orders.issue(uri_of(holder), f"{role} {holder.name}"))
        made = self.office.issuer.issue(holder, csr_for(new_key()), PROVIDER).record.sha256
        self.page.acknowledged(made)
        return made

    def revoked_one(self, certificate: bytes, called: str) -> None:
        """Have one certificate end."""
        self.page.asks(orders.revoke_one(certificate, called))
        self.office.ender.revoke_certificate(certificate, By(PROVIDER))
        self.page.acknowledged()

    def look(self) -> None:
        """Hold what is there against the page."""
        environment = self.office.environment
        entries = list(StateStore(environment, self.office.clock, 1000).audit(1000))[::-1]
        self.page.settle(register_disk.read(environment, entries, [TENANT])[TENANT])

    def tamper(self, change: Callable[[IdentityTables], None]) -> None:
        """Change the tables behind everybody's back."""
        with self.office.store.writing() as tables:
            change(tables)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """With a guest that enrolled and renewed, and an administrator."""
    with office(tmp_path) as place:
        desk = Desk(place)
        desk.renewed(desk.enrolled())
        desk.issued(Role.AUDITOR, TENANT)
        desk.look()
        yield desk


def sha256(guest: Enrolled) -> bytes:
    """By which its certificate is known."""
    return hashlib.sha256(guest.certificate).digest()


def test_what_an_svm_does_is_what_is_expected(desk: Desk) -> None:
    """Tokens, guests, certificates, tenant and audit, after each order of a long story."""
    guest = desk.enrolled()
    for _ in range(2):
        guest = desk.renewed(guest)  # the second one over the first, which nobody had shown
        desk.look()
    desk.attached(guest)
    desk.look()
    desk.renewed(guest)
    again = desk.enrolled(guest.guest.uuid)
    desk.look()
    desk.revoked_one(sha256(again), f"guest {again.guest.uuid}")
    desk.look()
    desk.token(again.guest.uuid)
    desk.revoked(again)
    desk.look()
    desk.removed(again)
    desk.look()
    provider = desk.issued(Role.PROVIDER, "")
    desk.look()
    desk.revoked_one(provider, f"provider {TENANT}-provider")
    desk.look()
    assert len(desk.page.register.audit) == 10


def test_what_was_not_answered_may_be_there_or_not(desk: Desk) -> None:
    """Each kind of order; and it is known from then on which."""
    (uuid,) = desk.page.register.guests
    chain, holder = desk.page.register.guests[uuid], Caller(f"{TENANT}-x", Role.HOST_AGENT)
    for order, act in (
        (orders.make_token(""), lambda: desk.office.issuer.token(TENANT, "", 3600, PROVIDER)),
        (orders.attach(uuid), lambda: desk.office.ender.shown(chain.following, MACHINE)),
        (orders.renew(uuid, chain.following), lambda: desk.office.issuer.renew(chain.following, asked())),
        (
            orders.issue(uri_of(holder), f"host-agent {holder.name}"),
            lambda: desk.office.issuer.issue(holder, csr_for(new_key()), PROVIDER),
        ),
        (orders.revoke(uuid), lambda: desk.office.ender.revoke_guest(uuid, By(OF_ACME))),
        (orders.remove(uuid), lambda: desk.office.ender.remove_guest(uuid, By(OF_ACME))),
    ):
        before = desk.page.register
        desk.page.asks(order)
        desk.look()
        assert desk.page.register == before, order.name
        desk.page.asks(order)
        act()
        desk.look()
        assert desk.page.register != before, order.name


def test_an_enrolment_that_was_not_answered_is_known_by_its_token(desk: Desk) -> None:
    """Also whom it made."""
    guest = desk.enrolled(acknowledged=False)
    desk.look()
    assert desk.page.register.guests[guest.guest.uuid].current == sha256(guest)


def certificate_gone(desk: Desk, tables: IdentityTables) -> None:
    """Of the guest."""
    tables.drop_certificate(next(iter(desk.page.register.guests.values())).current)


def revoked_counts(desk: Desk, tables: IdentityTables) -> None:
    """One that an administrator ended."""
    (ended,) = [each for each in tables.certificates() if each.ended is CertificateState.REVOKED]
    tables.put_certificate(replace(ended, ended=None))


def token_of_two(desk: Desk, tables: IdentityTables) -> None:
    """It was used for one key, and then for another."""
    (used,) = [token for token in tables.tokens() if token.key]
    tables.put_token(replace(used, key=bytes(32)))


def token_anew(desk: Desk, tables: IdentityTables) -> None:
    """It was used, and can be used once more."""
    (used,) = [token for token in tables.tokens() if token.key]
    tables.put_token(replace(used, key=b"", certificate=b""))


def guest_gone(desk: Desk, tables: IdentityTables) -> None:
    """Which enrolled."""
    (guest,) = tables.guests()
    tables.drop_guest(guest)


def guest_not_counted(desk: Desk, tables: IdentityTables) -> None:
    """By its tenant."""
    desk.office.store.tenant_table.count(tables._txn, TENANT, -1)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (certificate_gone, "the register: holders: .*is None and not"),
        (revoked_counts, "the register: ends: .*is '' and not 'revoked'"),
        (token_of_two, "the register: tokens: "),
        (token_anew, "the register: tokens: "),
        (guest_gone, "the register: guests: .*is None and not"),
        (guest_not_counted, "and 1 guests are there"),
    ],
)
def test_what_was_lost_or_came_back_is_found(
    desk: Desk, change: Callable[[Desk, IdentityTables], None], what: str
) -> None:
    """Each table of the register."""
    administrator = desk.page.register.counting("kvm-light-agent://administrator/")[0]
    desk.revoked_one(administrator, f"auditor {TENANT}-auditor")
    desk.look()
    desk.tamper(lambda tables: change(desk, tables))
    with pytest.raises(Broken, match=what):
        desk.look()


def test_half_of_what_was_not_answered_is_found(desk: Desk) -> None:
    """A guest that is revoked without a word of it in the audit."""
    (uuid,) = desk.page.register.guests
    desk.page.asks(orders.revoke(uuid))
    environment = desk.office.environment
    desk.office.ender.revoke_guest(uuid, By(OF_ACME))
    audit = environment.table(b"audit")
    with environment.changing, environment.writing() as txn:
        cursor = txn.cursor(db=audit)
        assert cursor.last()
        assert cursor.delete()
    with pytest.raises(Broken, match=r"the register: tokens: .*not answered: revoke"):
        desk.look()
