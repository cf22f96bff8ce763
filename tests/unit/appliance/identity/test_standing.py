"""How certificates of a guest follow on one another."""

from pathlib import Path

import pytest

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.identity import Certificate, CertificateState
from appliance.identity.ending import By
from appliance.identity.keys import csr_for, new_key
from appliance.identity.standing import (
    KEPT_SECONDS,
    check_machine,
    counted,
    counting,
    digest_of,
    drop_old_certificates,
    drop_old_tokens,
    end,
    good,
    of_holder,
    shown_guest,
)
from tests.support.identities import DAY, MACHINE, NOW, OF_ACME, OTHER_MACHINE, PROVIDER, asked, office


@pytest.mark.parametrize("state", [each for each in CertificateState if each is not CertificateState.GOOD])
def test_what_counts_no_more_is_told_why_and_what_to_do(state: CertificateState) -> None:
    """A sentence of its own for each, and for one that is not known."""
    ended = None if state is CertificateState.EXPIRED else state
    certificate = Certificate(b"s", "1", "kvm-light-agent://svm/a", NOW, NOW + 1, ended)
    sentences = set()
    for one in (certificate, None):
        with pytest.raises(NotAdmitted, match=r"enrol anew|show that|for a token") as refused:
            good(one, NOW + 1)
        sentences.add(str(refused.value))
    assert len(sentences) == 2


def test_a_guest_shows_its_own_certificate_on_its_own_machine(tmp_path: Path) -> None:
    """One that said no machine has none to be compared with."""
    with office(tmp_path) as desk:
        enrolled, silent = desk.enrolled(), desk.enrolled(machine=b"")
        with desk.store.reading() as tables:
            guest = shown_guest(tables, digest_of(enrolled.certificate), desk.now)
            assert guest == enrolled.guest
        check_machine(guest, MACHINE)
        check_machine(silent.guest, OTHER_MACHINE)
        for machine in (OTHER_MACHINE, b""):
            with pytest.raises(NotAdmitted, match="another machine"):
                check_machine(guest, machine)


def test_what_has_ended_keeps_its_first_reason(tmp_path: Path) -> None:
    """And only what counted is counted. That of a copy gives way to an administrator's: see test_issuing."""
    with office(tmp_path) as desk:
        guests = [desk.enrolled().guest.current for _ in range(2)]
        with desk.store.writing() as tables:
            assert end(tables, guests[:1], CertificateState.SUPERSEDED, 5.0, "", "first") == 1
            assert end(tables, [*guests, b"none"], CertificateState.REVOKED, 6.0, "me", "second") == 1
            first = tables.certificate(guests[0])
            assert first is not None
            assert (first.ended, first.ended_at, first.reason) == (CertificateState.SUPERSEDED, 5.0, "first")


def test_how_many_count_is_told_of_a_guest_and_of_an_administrator(tmp_path: Path) -> None:
    """Of one name in one role and tenant; not those that are over, nor those of others."""
    namesake = Caller(OF_ACME.name, Role.TENANT_ADMIN, "umbrella")
    with office(tmp_path) as desk:
        issued = [desk.issuer.issue(OF_ACME, csr_for(new_key()), PROVIDER).record for _ in range(3)]
        desk.issuer.issue(namesake, csr_for(new_key()), PROVIDER)
        desk.ender.revoke_certificate(issued[0].sha256, By(PROVIDER))
        guest = desk.enrolled("acme").guest
        renewed = desk.issuer.renew(guest.current, asked()).guest
        with desk.store.reading() as tables:
            assert counting(tables, renewed, desk.now) == 2
            assert counting(tables, renewed, desk.now + 30 * DAY) == 0
        assert [of_holder(desk.store, each, desk.now) for each in (OF_ACME, namesake, PROVIDER)] == [2, 1, 0]
        assert of_holder(desk.store, OF_ACME, desk.now + 365 * DAY) == 0
    assert list(map(counted, range(3))) == [
        "no certificates counted",
        "1 certificate counted",
        "2 certificates counted",
    ]


def test_what_was_over_long_ago_is_forgotten(tmp_path: Path) -> None:
    """Tokens at once, certificates after a month in which one may wonder."""
    with office(tmp_path) as desk:
        desk.enrolled()
        text = desk.issuer.token("acme", "", 7 * 86400, PROVIDER).text
        desk.now += 3600
        with desk.store.writing() as tables:
            drop_old_tokens(tables, desk.now)
            drop_old_certificates(tables, desk.now + 30 * DAY + KEPT_SECONDS - 3601)
            assert tables.counts() == (1, 1, 1)
            drop_old_certificates(tables, desk.now + 30 * DAY + KEPT_SECONDS - 3600)
            assert tables.counts() == (1, 1, 0)
        assert desk.issuer.enrol(text, asked()).guest.tenant == "acme"
