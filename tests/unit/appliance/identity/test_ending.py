"""What makes certificates count no more."""

from pathlib import Path

import pytest

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.identity import CertificateState, Token
from appliance.identity.ending import By
from appliance.identity.issuing import IdentityRefused, TokenRefused
from appliance.identity.keys import csr_for, new_key
from appliance.identity.standing import digest_of
from appliance.state.audit import Audit
from tests.support.identities import (
    DAY,
    MACHINE,
    OF_ACME,
    OTHER_MACHINE,
    PROVIDER,
    UUID,
    Office,
    asked,
    office,
)

AGENT = Caller("host-1", Role.HOST_AGENT)
LOST = By(PROVIDER, "lost")


def states(desk: Office, uuid: str) -> list[CertificateState]:
    """How a guest's certificates stand, the newest first."""
    with desk.store.reading() as tables:
        guest = tables.guest(uuid)
        assert guest is not None
        found = [tables.certificate(each) for each in guest.certificates]
    return [each.state(desk.now) for each in found if each is not None]


def test_a_revoked_guest_has_nothing_left_to_show_and_comes_back_by_a_new_token_only(tmp_path: Path) -> None:
    """All its certificates, and tokens that were bound to it before."""
    with office(tmp_path) as desk:
        enrolled = desk.enrolled("acme", UUID)
        renewed = desk.issuer.renew(digest_of(enrolled.certificate), asked())
        old_token = desk.issuer.token("acme", UUID, 3600, PROVIDER).text
        other = desk.issuer.token("acme", "", 3600, PROVIDER).text
        guest, counted = desk.ender.revoke_guest(UUID, By(OF_ACME, "stolen"))
        assert (guest.uuid, counted) == (UUID, 2)
        assert states(desk, UUID) == [CertificateState.REVOKED] * 2
        for shown in (enrolled, renewed):
            with pytest.raises(NotAdmitted, match="revoked"):
                desk.ender.is_news(digest_of(shown.certificate), MACHINE)
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(old_token, asked())
        assert desk.issuer.enrol(other, asked()).guest.uuid != UUID
        desk.enrolled("acme", UUID)
        assert states(desk, UUID) == [CertificateState.GOOD, CertificateState.REVOKED]
        assert desk.ender.revoke_guest(UUID, LOST)[1] == 1


def test_a_removed_guest_is_unknown_and_its_uuid_is_free(tmp_path: Path) -> None:
    """Also for another tenant, by the provider's word."""
    with office(tmp_path) as desk:
        enrolled = desk.enrolled("acme", UUID)
        token = desk.issuer.token("acme", UUID, 3600, PROVIDER).text
        assert desk.ender.remove_guest(UUID, LOST) == enrolled.guest
        with pytest.raises(NotAdmitted, match="not in the SVM's register"):
            desk.ender.is_news(digest_of(enrolled.certificate), MACHINE)
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(token, asked())
        with desk.store.reading() as tables:
            assert tables.counts()[1:] == (0, 0)
        assert desk.enrolled("umbrella", UUID).guest.tenant == "umbrella"


def test_a_tenants_administrator_ends_nothing_of_another_tenants(tmp_path: Path) -> None:
    """It is to him as if it were not there."""
    with office(tmp_path) as desk:
        desk.enrolled("umbrella", UUID)
        certificate = desk.issuer.issue(PROVIDER, csr_for(new_key()), PROVIDER).record.sha256
        sentences = set()
        for uuid in (UUID, "nobody", "", "\udc80", "x" * 999):
            for ends in (desk.ender.revoke_guest, desk.ender.remove_guest):
                with pytest.raises(IdentityRefused) as refused:
                    ends(uuid, By(OF_ACME))
                sentences.add(str(refused.value).replace(f" {uuid[:80]} ", " X "))
        assert sentences == {"no guest X is enrolled: see `svm guests list`"}
        with pytest.raises(IdentityRefused, match="is known"):
            desk.ender.revoke_certificate(certificate[:8], By(OF_ACME))
        assert states(desk, UUID) == [CertificateState.GOOD]


def test_a_certificate_is_revoked_by_the_beginning_of_its_sha256(tmp_path: Path) -> None:
    """Once, and by as much of it as tells it from others."""
    with office(tmp_path) as desk:
        issued = [desk.issuer.issue(PROVIDER, csr_for(new_key()), PROVIDER).record for _ in range(2)]
        ended = desk.ender.revoke_certificate(issued[0].sha256[:8], LOST)
        known = ended.certificate
        assert (known.sha256, known.ended_by, known.reason) == (issued[0].sha256, "provider paula", "lost")
        assert (ended.holder, ended.tokens) == (PROVIDER, 0)
        assert known.state(desk.now) is CertificateState.REVOKED
        with pytest.raises(IdentityRefused, match="is revoked already"):
            desk.ender.revoke_certificate(issued[0].sha256, LOST)
        with pytest.raises(IdentityRefused, match="several"):
            desk.ender.revoke_certificate(b"", LOST)
        with pytest.raises(IdentityRefused, match="no certificate 00"):
            desk.ender.revoke_certificate(bytes(32), LOST)


@pytest.mark.parametrize("holder", [OF_ACME, AGENT])
def test_with_a_certificate_its_holders_unused_tokens_go(tmp_path: Path, holder: Caller) -> None:
    """By whichever of his they were made; used ones and those of others stay, and the audit says how many."""
    with office(tmp_path) as desk:
        desk.enrolled("acme")  # makes the tenant
        issued = [desk.issuer.issue(holder, csr_for(new_key()), PROVIDER).record for _ in range(2)]
        unused = [desk.issuer.token("acme", "", 3600, holder).text for _ in range(2)]
        desk.issuer.token("acme", "", 60, holder)  # over by then, and not counted
        used, request = desk.issuer.token("acme", "", 3600, holder).text, asked()
        enrolled = desk.issuer.enrol(used, request)
        namesake = Caller(holder.name, holder.role, "umbrella" if holder.tenant else "")
        beside = Caller(f"{holder.name}2", holder.role, holder.tenant)
        others = [desk.issuer.token("acme", "", 3600, author).text for author in (PROVIDER, beside)]
        if namesake != holder:
            others.append(desk.issuer.token("umbrella", "", 3600, namesake).text)
        desk.now += 60
        assert desk.ender.revoke_certificate(issued[0].sha256, LOST).tokens == 2
        (entry,) = Audit(desk.environment).newest(1)
        assert entry.before.endswith(", 2 unused tokens of that author")
        for text in unused:
            with pytest.raises(TokenRefused):
                desk.issuer.enrol(text, asked())
        assert desk.issuer.enrol(used, request) == enrolled
        assert all(desk.issuer.enrol(text, asked()) for text in others)
        assert desk.issuer.token("acme", "", 3600, holder).text  # by the other certificate, which counts
        assert desk.ender.revoke_certificate(issued[1].sha256, LOST).tokens == 1


def test_revoking_a_guests_certificate_takes_nobodys_tokens(tmp_path: Path) -> None:
    """A guest makes none, whatever its host agent is called."""
    with office(tmp_path) as desk:
        certificate = digest_of(desk.enrolled("acme", UUID).certificate)
        other = desk.issuer.token("acme", "", 3600, AGENT).text
        assert desk.ender.revoke_certificate(certificate, LOST).tokens == 0
        assert "token" not in next(Audit(desk.environment).newest(1)).before
        assert desk.issuer.enrol(other, asked())


def test_attaching_writes_only_what_is_news(tmp_path: Path) -> None:
    """A machine that was not known, a certificate that was got by renewal; then no more."""
    with office(tmp_path) as desk:
        silent = digest_of(desk.enrolled(machine=b"").certificate)
        assert desk.ender.is_news(silent, MACHINE)
        assert desk.ender.shown(silent, MACHINE) is False
        assert not desk.ender.is_news(silent, MACHINE)
        with pytest.raises(NotAdmitted, match="another machine"):
            desk.ender.shown(silent, OTHER_MACHINE)
        renewed = digest_of(desk.issuer.renew(silent, asked()).certificate)
        assert desk.ender.is_news(renewed, MACHINE)
        assert desk.ender.shown(renewed, MACHINE)
        assert not desk.ender.is_news(renewed, MACHINE)
        with pytest.raises(NotAdmitted, match="newer certificate"):
            desk.ender.shown(silent, MACHINE)


def test_a_token_that_was_taken_back_is_one_that_never_was(tmp_path: Path) -> None:
    """Refused as that, and known to nobody; the audit has who took it back, and how it was."""
    with office(tmp_path) as desk:
        made, other = (desk.issuer.token("acme", "", 3600, PROVIDER) for _ in range(2))
        assert desk.ender.withdraw(made.token.digest[:6], By(OF_ACME, "leaked")) == made.token
        for text in (made.text, "kvmla1_unknown"):
            with pytest.raises(TokenRefused) as refused:
                desk.issuer.enrol(text, asked())
            assert refused.value.args == ()
        with pytest.raises(IdentityRefused, match=r"no token .* is known"):
            desk.ender.withdraw(made.token.digest, LOST)
        assert desk.issuer.enrol(other.text, asked()).guest.tenant == "acme"
        entry = next(each for each in Audit(desk.environment).newest(9) if each.action == "token withdrawn")
        assert (entry.actor, entry.tenant, entry.reason) == ("tenant-admin anna of acme", "acme", "leaked")
        assert entry.subject == f"token {made.token.digest.hex()[:12]}, for a new guest"
        assert entry.before == "counted until 2030-03-17 18:46:40 UTC, made by provider paula"
        assert entry.after == "counts no more"


def test_a_token_that_was_used_is_not_taken_back(tmp_path: Path) -> None:
    """It says whom it made, who can be revoked; one that is over, or nobody's to see, is none."""
    with office(tmp_path) as desk:
        used, over = (desk.issuer.token("acme", "", seconds, PROVIDER) for seconds in (3600, 60))
        guest = desk.issuer.enrol(used.text, asked()).guest
        with pytest.raises(IdentityRefused, match=f"was used already, by {guest.uuid}: `svm guests revoke`"):
            desk.ender.withdraw(used.token.digest, LOST)
        desk.now += 60
        others, unseen = desk.issuer.token("umbrella", "", 3600, PROVIDER), []
        for digest, author in (
            (over.token.digest, PROVIDER),
            (others.token.digest, OF_ACME),
            (others.token.digest, Caller("host-1", Role.HOST_AGENT)),
        ):
            with pytest.raises(IdentityRefused) as refused:
                desk.ender.withdraw(digest, By(author))
            unseen.append(str(refused.value).replace(digest.hex(), "X"))
        assert unseen == ["no token X is known: see `svm guests tokens`"] * 3
        assert desk.issuer.enrol(others.text, asked()).guest.tenant == "umbrella"


def test_several_tokens_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    """More of it has to be said; a host agent's are looked for among its own alone."""
    agent = Caller("host-1", Role.HOST_AGENT)
    with office(tmp_path) as desk:
        with desk.store.writing() as tables:
            for number, author in enumerate(("provider paula", "provider paula", agent.author)):
                digest = b"same" + bytes([number]) * 28
                tables.put_token(Token(digest, "acme", "", desk.now, desk.now + 60, author))
        with pytest.raises(IdentityRefused, match="several tokens begin with 73616d65: give more"):
            desk.ender.withdraw(b"same", LOST)
        assert desk.ender.withdraw(b"same", By(agent)).digest[-1] == 2
        assert desk.ender.withdraw(b"same\x01", LOST).digest[-1] == 1
        with desk.store.reading() as tables:
            assert [token.digest[-1] for token in tables.tokens()] == [0]


def test_what_was_cloned_counts_in_no_place(tmp_path: Path) -> None:
    """Until it enrols anew; a guest that is not known is nothing to end."""
    with office(tmp_path) as desk:
        desk.enrolled("acme", UUID)
        assert desk.ender.cloned(UUID, "two at once") == 1
        assert states(desk, UUID) == [CertificateState.CLONED]
        desk.enrolled("acme", UUID)
        assert states(desk, UUID) == [CertificateState.GOOD, CertificateState.CLONED]
        assert desk.ender.cloned("nobody", "two at once") == 0


def test_age_takes_what_is_over(tmp_path: Path) -> None:
    """Tokens and certificates."""
    with office(tmp_path) as desk:
        desk.enrolled()
        desk.now += 61 * DAY
        desk.ender.age()
        with desk.store.reading() as tables:
            assert tables.counts() == (0, 1, 0)


def test_a_certificate_that_init_made_is_adopted_once(tmp_path: Path) -> None:
    """With an entry of the audit: it gives rights. One that was revoked since stays so."""
    with office(tmp_path) as desk:
        certificate = desk.authority.issue(new_key().public_key(), PROVIDER, desk.now, 30).record
        desk.ender.adopt(certificate)
        (entry,) = Audit(desk.environment).newest(9)
        assert (entry.actor, entry.action) == ("svm init", "certificate issued")
        assert certificate.sha256.hex()[:16] in entry.subject
        assert entry.before == "no certificates counted"
        assert entry.after.startswith("counts until")
        another = desk.authority.issue(new_key().public_key(), PROVIDER, desk.now, 30).record
        desk.ender.adopt(another)
        assert next(Audit(desk.environment).newest(1)).before == "1 certificate counted"
        desk.ender.revoke_certificate(certificate.sha256, LOST)
        desk.ender.adopt(certificate)
        with desk.store.reading() as tables:
            found = tables.certificate(certificate.sha256)
        assert found is not None
        assert found.state(desk.now) is CertificateState.REVOKED
        assert len(list(Audit(desk.environment).newest(9))) == 3
