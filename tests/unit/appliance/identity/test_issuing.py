"""Tokens, enrolments, renewals."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.identity import CertificateState
from appliance.identity import issuing as module
from appliance.identity.ending import By
from appliance.identity.issuing import Asked, Enrolled, IdentityRefused, NoRoom, Only, TokenRefused
from appliance.identity.keys import BadCsr, csr_for, key_sha256, new_key
from appliance.identity.names import BadName
from appliance.identity.standing import OtherMachine, digest_of
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

AGENT, OTHER_AGENT = (Caller(name, Role.HOST_AGENT) for name in ("host-1", "host-2"))


def state(desk: Office, enrolled: Enrolled) -> CertificateState | None:
    """How a certificate stands."""
    with desk.store.reading() as tables:
        certificate = tables.certificate(digest_of(enrolled.certificate))
    return None if certificate is None else certificate.state(desk.now)


def test_a_token_becomes_one_guest(tmp_path: Path) -> None:
    """Of the token's tenant, with a UUID that was drawn; the token is kept as a digest only."""
    with office(tmp_path) as desk:
        made = desk.issuer.token("acme", "", 3600, PROVIDER)
        assert made.new_tenant
        enrolled = desk.issuer.enrol(made.text, asked(host_name="web-1"))
        guest = enrolled.guest
        assert (guest.tenant, guest.machine, guest.host_name) == ("acme", MACHINE, "web-1")
        assert (len(guest.uuid), enrolled.ends_at, enrolled.ended) == (36, desk.now + 30 * DAY, False)
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(made.text, asked())
        assert not desk.issuer.token("acme", "", 3600, PROVIDER).new_tenant
    assert made.text.encode() not in (tmp_path / "state.lmdb").read_bytes()


def test_the_same_token_and_key_get_the_same_certificate(tmp_path: Path) -> None:
    """Also of an SVM that was killed between the disk and its answer: nothing is lost with that."""
    key = new_key()
    with office(tmp_path) as desk:
        authority = desk.authority
        text = desk.issuer.token("acme", "", 3600, PROVIDER).text
        first = desk.issuer.enrol(text, asked(key=key))
    with office(tmp_path, authority) as desk:
        assert desk.issuer.enrol(text, asked(key=key)).certificate == first.certificate
        desk.now += 3600
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, asked(key=key))


def test_a_certificate_that_was_ended_is_not_handed_out_again(tmp_path: Path) -> None:
    """Whoever holds the token and the key: the guest was revoked."""
    key = new_key()
    with office(tmp_path) as desk:
        text = desk.issuer.token("acme", "", 3600, PROVIDER).text
        guest = desk.issuer.enrol(text, asked(key=key)).guest
        desk.ender.revoke_guest(guest.uuid, By(PROVIDER))
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, asked(key=key))


def test_of_many_at_once_exactly_one_gets_a_certificate(tmp_path: Path) -> None:
    """A token that was stolen on its way and its owner's race for it."""
    with office(tmp_path) as desk:
        text = desk.issuer.token("acme", "", 3600, PROVIDER).text
        made: list[Enrolled] = []
        refused: list[bool] = []
        begin = threading.Barrier(8)

        def enrol() -> None:
            wanted = asked()
            begin.wait(30)
            try:
                made.append(desk.issuer.enrol(text, wanted))
            except TokenRefused:
                refused.append(True)

        threads = [threading.Thread(target=enrol) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert (len(made), len(refused)) == (1, 7)
        with desk.store.reading() as tables:
            assert tables.counts() == (1, 1, 1)


@pytest.mark.parametrize("text", ["", "kvmla1_", "kvmla1_" + "A" * 43, "x" * 128])
def test_what_is_no_token_is_refused_before_the_request_is_parsed(tmp_path: Path, text: str) -> None:
    """Nobody without a token has bytes parsed here."""
    with office(tmp_path) as desk:
        desk.issuer.token("acme", "", 60, PROVIDER)
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, Asked(b"no request"))


def test_a_request_that_is_none_costs_no_token(tmp_path: Path) -> None:
    """It is as good as before."""
    with office(tmp_path) as desk:
        text = desk.issuer.token("acme", "", 60, PROVIDER).text
        with pytest.raises(BadCsr):
            desk.issuer.enrol(text, Asked(b"no request"))
        assert desk.issuer.enrol(text, asked()).guest.tenant == "acme"


def test_a_token_is_over_when_its_time_is(tmp_path: Path) -> None:
    """To the second; a clock that went back an hour makes nothing of it that was used."""
    with office(tmp_path) as desk:
        texts = [desk.issuer.token("acme", "", 60, PROVIDER).text for _ in range(2)]
        desk.issuer.enrol(texts[0], asked())
        desk.now += 60
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(texts[1], asked())
        desk.now -= 3600
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(texts[0], asked())


def test_a_guest_that_enrols_anew_keeps_its_uuid_and_its_old_certificate_ends(tmp_path: Path) -> None:
    """By a token that is bound to it; with another machine behind it, if that is so now."""
    with office(tmp_path) as desk:
        first = desk.enrolled("acme", UUID)
        again = desk.enrolled("acme", UUID, OTHER_MACHINE)
        assert (first.guest.uuid, again.guest.uuid, again.ended) == (UUID, UUID, True)
        assert (state(desk, first), state(desk, again)) == (
            CertificateState.SUPERSEDED,
            CertificateState.GOOD,
        )
        third = desk.enrolled("acme", UUID)
        assert third.guest.certificates == (digest_of(third.certificate), digest_of(again.certificate))
        assert state(desk, first) is None
        with desk.store.reading() as tables:
            assert tables.counts()[1:] == (1, 2)


def test_no_tenant_takes_the_uuid_of_anothers_guest(tmp_path: Path) -> None:
    """Nor learns that there is one: only the provider is told."""
    with office(tmp_path) as desk:
        desk.enrolled("umbrella", UUID)
        unknown = UUID.replace("6", "7")
        sentences = []
        for uuid in (UUID, unknown):
            with pytest.raises(IdentityRefused) as refused:
                desk.issuer.token("acme", uuid, 3600, OF_ACME)
            sentences.append(str(refused.value).replace(uuid, "X"))
        assert sentences[0] == sentences[1]
        with pytest.raises(IdentityRefused, match="is of tenant umbrella"):
            desk.issuer.token("acme", UUID, 3600, PROVIDER)
        own = desk.enrolled("acme").guest.uuid
        assert desk.issuer.token("acme", own, 3600, OF_ACME).token.uuid == own


def test_a_token_for_a_guest_that_became_anothers_counts_no_more(tmp_path: Path) -> None:
    """Both were bound to one UUID before there was such a guest."""
    with office(tmp_path) as desk:
        texts = [desk.issuer.token(tenant, UUID, 3600, PROVIDER).text for tenant in ("acme", "umbrella")]
        desk.issuer.enrol(texts[1], asked())
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(texts[0], asked())
        with desk.store.reading() as tables:
            guest = tables.guest(UUID)
            assert guest is not None
            assert guest.tenant == "umbrella"


@pytest.mark.parametrize(("tenant", "uuid"), [("a/b", ""), ("", ""), ("a", "x"), ("a", UUID.upper())])
def test_a_token_for_nobody_is_refused(tmp_path: Path, tenant: str, uuid: str) -> None:
    """With what would be somebody."""
    with office(tmp_path) as desk, pytest.raises(IdentityRefused, match=r"is no (name|UUID)"):
        desk.issuer.token(tenant, uuid, 60, PROVIDER)


def test_a_renewed_certificate_takes_over_when_it_is_shown(tmp_path: Path) -> None:
    """Until then the old one counts; one that was never shown is forgotten at the next renewal."""
    with office(tmp_path) as desk:
        old = desk.enrolled()
        lost = desk.issuer.renew(digest_of(old.certificate), asked())
        new = desk.issuer.renew(digest_of(old.certificate), asked())
        assert [state(desk, each) for each in (old, lost, new)] == [
            CertificateState.GOOD,
            None,
            CertificateState.GOOD,
        ]
        assert desk.ender.shown(digest_of(new.certificate), MACHINE)
        assert (state(desk, old), state(desk, new)) == (CertificateState.SUPERSEDED, CertificateState.GOOD)
        for shown in (old, lost):
            with pytest.raises(NotAdmitted):
                desk.issuer.renew(digest_of(shown.certificate), asked())
        newest = desk.issuer.renew(digest_of(new.certificate), asked())
        newer_still = desk.issuer.renew(digest_of(newest.certificate), asked())  # no Attach between
        assert state(desk, new) is CertificateState.SUPERSEDED
        with desk.store.reading() as tables:
            assert tables.counts()[2] == 3
            assert tables.guest(old.guest.uuid) == newer_still.guest


def test_another_machine_renews_nothing(tmp_path: Path) -> None:
    """Nor one that does not say; the first machine of a guest that said none is its machine."""
    with office(tmp_path) as desk:
        enrolled = desk.enrolled()
        for machine in (OTHER_MACHINE, b""):
            with pytest.raises(OtherMachine):
                desk.issuer.renew(digest_of(enrolled.certificate), asked(machine))
        silent = desk.enrolled(machine=b"")
        assert desk.issuer.renew(digest_of(silent.certificate), asked()).guest.machine == MACHINE
        with pytest.raises(OtherMachine):
            desk.issuer.renew(digest_of(silent.certificate), asked(OTHER_MACHINE))


def test_only_a_guest_that_counts_renews(tmp_path: Path) -> None:
    """Not an administrator, nobody unknown, nothing that is over or was revoked."""
    with office(tmp_path) as desk:
        administrator = desk.issuer.issue(PROVIDER, csr_for(new_key()), PROVIDER)
        revoked, over = desk.enrolled(), desk.enrolled()
        desk.ender.revoke_guest(revoked.guest.uuid, By(PROVIDER))
        desk.now += 30 * DAY
        for shown in (administrator.der, revoked.certificate, over.certificate, b"unknown"):
            with pytest.raises(NotAdmitted):
                desk.issuer.renew(digest_of(shown), asked())


def test_an_administrators_certificate_is_in_the_register(tmp_path: Path) -> None:
    """For a year; a name that cannot be is refused."""
    with office(tmp_path) as desk:
        issued = desk.issuer.issue(OF_ACME, csr_for(new_key()), PROVIDER)
        with desk.store.reading() as tables:
            assert tables.certificate(issued.record.sha256) == issued.record
            assert tables.tenant("acme") is not None
        assert issued.record.ends_at == desk.now + 365 * DAY
        with pytest.raises(BadName):
            desk.issuer.issue(Caller("anna", Role.TENANT_ADMIN), csr_for(new_key()), PROVIDER)


def test_everything_that_is_kept_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, guests of a tenant, guests, certificates: and what is over makes room."""
    with office(tmp_path, terms=replace(IdentitySettings(), tenant_guests=2, tenant_tokens=4)) as desk:
        monkeypatch.setattr(module, "MAX_TOKENS", 5)
        monkeypatch.setattr(module, "TOKENS_OF_PROVIDER", 1)
        monkeypatch.setattr(module, "TOKENS_KEPT", 0)
        of_a = Caller("ann", Role.TENANT_ADMIN, "a")
        for _ in range(4):
            desk.issuer.token("a", "", 60, of_a)
        with pytest.raises(NoRoom, match=r"identity\.tenant_tokens"):
            desk.issuer.token("a", "", 60, of_a)
        desk.issuer.token("a", "", 60, PROVIDER)
        with pytest.raises(NoRoom, match="as many tokens as there may be"):
            desk.issuer.token("b", "", 60, PROVIDER)
        desk.now += 60
        tokens = [desk.issuer.token(tenant, "", 3600, PROVIDER).text for tenant in ("a", "a", "a", "b")]
        guests = [desk.issuer.enrol(text, asked()) for text in tokens[:2]]
        with pytest.raises(NoRoom, match=r"identity\.tenant_guests"):
            desk.issuer.enrol(tokens[2], asked())
        monkeypatch.setattr(module, "MAX_GUESTS", 2)
        monkeypatch.setattr(module, "GUESTS_KEPT", 0)
        with pytest.raises(NoRoom, match="2 guests"):
            desk.issuer.enrol(tokens[3], asked())
        monkeypatch.setattr(module, "MAX_CERTIFICATES", 2)
        with pytest.raises(NoRoom, match="2 certificates"):
            desk.issuer.renew(digest_of(guests[0].certificate), asked())
        desk.now += 61 * DAY
        assert desk.issuer.issue(PROVIDER, csr_for(new_key()), PROVIDER).record.holder.endswith("paula")


def test_some_room_for_tokens_is_the_providers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens tenants make, he can make one for another."""
    monkeypatch.setattr(module, "MAX_TOKENS", 4)
    monkeypatch.setattr(module, "TOKENS_OF_PROVIDER", 1)
    monkeypatch.setattr(module, "TOKENS_KEPT", 0)
    with office(tmp_path, terms=replace(IdentitySettings(), tenant_tokens=3)) as desk:
        for _ in range(3):
            desk.issuer.token("acme", "", 60, OF_ACME)
        with pytest.raises(NoRoom, match="tokens"):
            desk.issuer.token("other", "", 60, Caller("olga", Role.TENANT_ADMIN, "other"))
        assert desk.issuer.token("other", "", 60, PROVIDER).text


def made_until_refused(desk: Office, tenant: str, author: Caller) -> tuple[int, str]:
    """How many tokens somebody gets, and the setting that ends it."""
    for made in range(100):
        try:
            desk.issuer.token(tenant, "", 60, author)
        except NoRoom as error:
            return made, error.bound
    raise AssertionError


def test_a_host_agents_tokens_keep_nobody_else_from_enrolling(tmp_path: Path) -> None:
    """It may have half of a tenant's, another one its first beside; the tenant's administrator the rest."""
    with office(tmp_path, terms=replace(IdentitySettings(), tenant_tokens=48)) as desk:
        desk.issuer.token("acme", "", 60, PROVIDER)
        assert made_until_refused(desk, "acme", AGENT) == (23, "identity.tenant_tokens")
        assert made_until_refused(desk, "acme", OTHER_AGENT) == (12, "identity.tenant_tokens")
        with pytest.raises(NoRoom, match=r"identity\.tenant_tokens; host agents half of it"):
            desk.issuer.token("acme", "", 60, AGENT)
        assert made_until_refused(desk, "acme", OF_ACME) == (12, "identity.tenant_tokens")
        assert desk.issuer.token("acme", "", 60, PROVIDER).text


def test_a_host_agent_has_its_part_of_all_tokens_and_no_more(tmp_path: Path) -> None:
    """However many tenants it makes them for; others, and what is over, are not counted."""
    with office(tmp_path, terms=replace(IdentitySettings(), agent_tokens=20)) as desk:
        for tenant in ("acme", "umbrella"):
            desk.issuer.token(tenant, "", 3600, PROVIDER)
        for number in range(20):
            desk.issuer.token(("acme", "umbrella")[number % 2], "", 60, AGENT)
        with pytest.raises(NoRoom, match=r"20 tokens of yours.*identity\.agent_tokens") as refused:
            desk.issuer.token("acme", "", 60, AGENT)
        assert refused.value.bound == "identity.agent_tokens"
        assert made_until_refused(desk, "acme", OTHER_AGENT) == (20, "identity.agent_tokens")
        for author in (OF_ACME, PROVIDER):
            assert [desk.issuer.token("acme", "", 60, author).text for _ in range(21)]
        desk.now += 60
        assert desk.issuer.token("acme", "", 60, AGENT).text


def test_who_has_made_few_tokens_finds_room_whatever_others_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant's administrator and a host agent get their first 16 where all other room is taken."""
    for name, value in ("MAX_TOKENS", 100), ("TOKENS_OF_PROVIDER", 10), ("TOKENS_KEPT", 40):
        monkeypatch.setattr(module, name, value)
    with office(tmp_path, terms=replace(IdentitySettings(), agent_tokens=90)) as desk:
        for tenant in ("acme", "umbrella"):
            desk.issuer.token(tenant, "", 3600, PROVIDER)
        assert made_until_refused(desk, "acme", AGENT) == (48, "")
        assert made_until_refused(desk, "acme", OF_ACME) == (16, "")
        assert made_until_refused(desk, "umbrella", AGENT) == (0, "")
        assert made_until_refused(desk, "umbrella", OTHER_AGENT) == (16, "")
        assert made_until_refused(desk, "umbrella", Caller("u", Role.TENANT_ADMIN, "umbrella")) == (8, "")
        assert made_until_refused(desk, "acme", PROVIDER) == (10, "")


def test_all_processes_of_a_local_user_are_one_who_has_made_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command is a process of its own; a user whose number begins alike is another."""
    for name, value in ("MAX_TOKENS", 100), ("TOKENS_OF_PROVIDER", 10), ("TOKENS_KEPT", 40):
        monkeypatch.setattr(module, name, value)
    with office(tmp_path, terms=replace(IdentitySettings(), agent_tokens=90)) as desk:
        desk.issuer.token("acme", "", 3600, PROVIDER)
        assert made_until_refused(desk, "acme", AGENT) == (49, "")
        for user in ("uid-1000", "uid-100"):
            for number in range(16):
                desk.issuer.token("acme", "", 3600, Caller(f"{user}.pid-{number}", Role.TENANT_ADMIN, "acme"))
            with pytest.raises(NoRoom):
                desk.issuer.token("acme", "", 3600, Caller(f"{user}.pid-99", Role.TENANT_ADMIN, "acme"))


def test_a_host_agent_takes_no_living_guests_place(tmp_path: Path) -> None:
    """Only the provider's word lets another machine be that guest, or the end of its certificates."""
    with office(tmp_path) as desk:
        desk.enrolled("acme", UUID)
        with pytest.raises(IdentityRefused, match=f"has a certificate that counts.*guests revoke {UUID}"):
            desk.issuer.token("acme", UUID, 3600, AGENT)
        desk.issuer.renew(desk_current(desk), asked())  # nor one that has a second, not shown yet
        with pytest.raises(IdentityRefused, match="have the provider make the token"):
            desk.issuer.token("acme", UUID, 3600, AGENT)
        by_the_provider = desk.issuer.token("acme", UUID, 3600, PROVIDER)
        assert desk.issuer.enrol(by_the_provider.text, asked(OTHER_MACHINE)).guest.uuid == UUID


def end_by_time(desk: Office) -> None:
    """Of all its certificates."""
    desk.now += 30 * DAY


def end_by_revocation(desk: Office) -> None:
    """Of the guest."""
    desk.ender.revoke_guest(UUID, By(PROVIDER))


def end_by_one_revocation(desk: Office) -> None:
    """Of the certificate that it has."""
    desk.ender.revoke_certificate(desk_current(desk), By(PROVIDER))


def end_by_a_copy(desk: Office) -> None:
    """It is to enrol anew."""
    desk.ender.cloned(UUID, "two at once")


def end_by_removal(desk: Office) -> None:
    """It is known no more."""
    desk.ender.remove_guest(UUID, By(PROVIDER))


@pytest.mark.parametrize(
    "end", [end_by_time, end_by_revocation, end_by_one_revocation, end_by_a_copy, end_by_removal]
)
def test_a_host_agent_brings_back_a_guest_whose_certificate_has_ended(
    tmp_path: Path, end: Callable[[Office], None]
) -> None:
    """Whatever ended it; and one that was never here."""
    with office(tmp_path) as desk:
        desk.issuer.token("acme", "", 60, PROVIDER)
        first = desk.issuer.token("acme", UUID, 3600, AGENT)
        desk.issuer.enrol(first.text, asked())
        end(desk)
        again = desk.issuer.token("acme", UUID, 3600, AGENT)
        assert desk.issuer.enrol(again.text, asked()).guest.uuid == UUID
        with pytest.raises(IdentityRefused, match="is of tenant acme"):
            desk.enrolled("umbrella", UUID)


def test_a_token_that_was_kept_back_takes_nobodys_place_later(tmp_path: Path) -> None:
    """When a guest enrols, other tokens for it are over: also those from before it had a certificate."""
    with office(tmp_path) as desk:
        desk.issuer.token("acme", "", 60, PROVIDER)
        kept, used = (desk.issuer.token("acme", UUID, 7 * 86400, AGENT) for _ in range(2))
        other = desk.issuer.token("acme", UUID.replace("6", "7"), 3600, AGENT)
        key = new_key()
        guest = desk.issuer.enrol(used.text, asked(key=key))
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(kept.text, asked(OTHER_MACHINE))
        assert desk.issuer.enrol(used.text, asked(key=key)).certificate == guest.certificate
        assert desk.issuer.enrol(other.text, asked()).guest.tenant == "acme"


def desk_current(desk: Office) -> bytes:
    """The SHA-256 of the certificate that the guest shows."""
    with desk.store.reading() as tables:
        guest = tables.guest(UUID)
        assert guest is not None
        return guest.current


def test_a_tenants_first_guests_find_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others have; who has more than a few leaves the rest to them, and gets in as others go."""
    monkeypatch.setattr(module, "MAX_GUESTS", 6)
    monkeypatch.setattr(module, "GUESTS_KEPT", 2)
    monkeypatch.setattr(module, "FIRST_GUESTS", 1)
    with office(tmp_path) as desk:
        large = [desk.enrolled(tenant) for tenant in ("a", "a", "b", "b")]
        for tenant in ("a", "b"):
            with pytest.raises(NoRoom, match="kept for the first 1 of each tenant"):
                desk.enrolled(tenant)
        first = desk.enrolled("c")
        with pytest.raises(NoRoom, match="kept for the first 1 of each tenant"):
            desk.enrolled("c")
        assert desk.enrolled("d").guest.tenant == "d"
        with pytest.raises(NoRoom, match="6 guests are known, which is all"):
            desk.enrolled("e")
        assert desk.enrolled("c", first.guest.uuid).ended
        for each in large[:3]:
            desk.ender.remove_guest(each.guest.uuid, By(PROVIDER))
        assert desk.enrolled("c").guest.tenant == "c"


def test_a_host_agent_makes_no_tenants(tmp_path: Path) -> None:
    """It brings guests of those that the provider has."""
    with office(tmp_path) as desk:
        with pytest.raises(IdentityRefused, match="have the provider make its first token"):
            desk.issuer.token("acme", "", 60, AGENT)
        desk.issuer.token("acme", "", 60, PROVIDER)
        assert desk.issuer.token("acme", "", 60, AGENT).text


def test_a_token_for_one_key_is_good_for_no_other(tmp_path: Path) -> None:
    """Whoever has stolen it: it is refused as any that counts for nothing, and is as good as before."""
    key = new_key()
    with office(tmp_path) as desk:
        text = desk.issuer.token("acme", UUID, 60, PROVIDER, Only(key_sha256(key.public_key()))).text
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, asked())
        first = desk.issuer.enrol(text, asked(key=key))
        assert first.guest.uuid == UUID
        assert desk.issuer.enrol(text, asked(key=key)).certificate == first.certificate
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, asked())


def test_a_token_stays_bound_to_its_key_over_a_restart(tmp_path: Path) -> None:
    """It is on the disk with the token."""
    key = new_key()
    with office(tmp_path) as desk:
        authority = desk.authority
        text = desk.issuer.token("acme", UUID, 60, PROVIDER, Only(key_sha256(key.public_key()))).text
    with office(tmp_path, authority) as desk:
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, asked())
        assert desk.issuer.enrol(text, asked(key=key)).guest.uuid == UUID


def test_an_administrators_word_counts_of_a_copy_as_well(tmp_path: Path) -> None:
    """Who was taken for one and is revoked then is revoked: a copy comes back by itself, it does not."""
    with office(tmp_path) as desk:
        enrolled = desk.enrolled("acme", UUID)
        desk.ender.cloned(UUID, "in two places")
        desk.ender.revoke_guest(UUID, By(PROVIDER))
        assert state(desk, enrolled) is CertificateState.REVOKED


def test_who_was_revoked_does_not_come_back_by_itself(tmp_path: Path) -> None:
    """Where a host brings back whoever asks: a copy that was found may, others only by an order."""
    itself = Only(not_revoked=True)
    with office(tmp_path) as desk:
        assert desk.issuer.token("default", UUID, 60, AGENT, itself).text
        desk.enrolled("default", UUID)
        desk.ender.cloned(UUID, "in two places")
        assert desk.issuer.token("default", UUID, 60, AGENT, itself).text
        desk.ender.revoke_guest(UUID, By(PROVIDER))
        with pytest.raises(
            IdentityRefused, match="does not come back by itself: `svm-host enrol` lets it in"
        ):
            desk.issuer.token("default", UUID, 60, AGENT, itself)
        assert desk.issuer.token("default", UUID, 60, AGENT).text
        desk.ender.remove_guest(UUID, By(PROVIDER))
        assert desk.issuer.token("default", UUID, 60, AGENT, itself).text
