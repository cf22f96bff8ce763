"""Whose a certificate is, and whether it counts."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import Guest
from appliance.identity.authority import pem_of
from appliance.identity.ending import By
from appliance.identity.issuing import IdentityRefused, TokenRefused
from appliance.identity.keys import csr_for, new_key
from appliance.identity.registry import IdentityChange, sha256_of
from appliance.state.audit import Audit
from appliance.state.environment import FILE, StateError
from tests.support.full_disk import full_disk
from tests.support.held_state import nobody_can_write
from tests.support.identities import (
    DAY,
    MACHINE,
    OF_ACME,
    OTHER_MACHINE,
    PROVIDER,
    Office,
    an_authority,
    asked,
    office,
    shown,
)
from tests.support.svm import DEADLINE


class Told:
    """What a registry tells others."""

    def __init__(self, desk: Office) -> None:
        self.ended: list[str] = []
        self.whys: list[str] = []
        self.changes: list[IdentityChange] = []
        desk.registry.on_ended.append(self._end)
        desk.registry.on_changed.append(self.changes.append)

    def _end(self, holder: Caller, why: str) -> None:
        self.ended.append(holder.name)
        self.whys.append(why)


async def soon(work: Awaitable[object]) -> object:
    """What it comes to, within a deadline."""
    return await asyncio.wait_for(work, DEADLINE)


async def test_a_certificate_names_its_holder(tmp_path: Path) -> None:
    """Guests with their tenant's scope; an administrator is no guest."""
    with office(tmp_path) as desk:
        guests = [desk.enrolled(tenant) for tenant in ("default", "acme", "umbrella")]
        assert [desk.registry.guest(shown(each)) for each in guests] == [
            Guest(guests[0].guest.uuid, 16, "default"),
            Guest(guests[1].guest.uuid, 17, "acme"),
            Guest(guests[2].guest.uuid, 18, "umbrella"),
        ]
        assert desk.registry.caller(shown(guests[1])) == Caller(guests[1].guest.uuid, Role.GUEST, "acme")
        administrator = pem_of((await desk.registry.issue(OF_ACME, csr_for(new_key()), PROVIDER)).der)
        assert desk.registry.caller(administrator) == OF_ACME
        with pytest.raises(NotAdmitted, match="not of a guest"):
            desk.registry.guest(administrator)


async def test_a_damaged_tenant_admits_nobody_of_it(tmp_path: Path) -> None:
    """And others as before: a guest is told, and no part of another's."""
    with office(tmp_path) as desk:
        guests = [desk.enrolled(tenant) for tenant in ("acme", "umbrella")]
        table = desk.environment.table(b"tenants")
        with desk.environment.changing, desk.environment.writing() as txn:
            txn.put(b"acme", b"no record", db=table)
        with pytest.raises(NotAdmitted, match="the SVM's register cannot be used"):
            desk.registry.guest(shown(guests[0]))
        assert desk.registry.guest(shown(guests[1])).tenant == "umbrella"


@pytest.mark.parametrize("pem", [b"", b"x", b"\xff", b"-----BEGIN CERTIFICATE-----\n!\n", b"x" * 17_000])
async def test_what_is_no_certificate_admits_nobody(tmp_path: Path, pem: bytes) -> None:
    """Whatever it is."""
    with office(tmp_path) as desk, pytest.raises(NotAdmitted):
        desk.registry.caller(pem)


async def test_what_is_not_in_the_register_admits_nobody(tmp_path: Path) -> None:
    """Though the SVM's own authority has signed it, as one does who has stolen its key."""
    with office(tmp_path) as desk:
        forged = desk.authority.issue(new_key().public_key(), PROVIDER, desk.now, 30)
        foreign = an_authority().issue(new_key().public_key(), PROVIDER, desk.now, 30)
        for issued in (forged, foreign):
            with pytest.raises(NotAdmitted, match="not in the SVM's register"):
                desk.registry.caller(pem_of(issued.der))


async def test_a_revoked_certificate_counts_no_more_when_the_call_returns(tmp_path: Path) -> None:
    """And whoever cuts calls was told by then, with a sentence for the guest."""
    with office(tmp_path) as desk:
        told, guest, other = Told(desk), desk.enrolled("acme"), desk.enrolled("acme")
        assert desk.registry.guest(shown(guest)).tenant == "acme"
        assert await soon(desk.registry.revoke_guest(guest.guest.uuid, By(OF_ACME, "stolen"))) == 1
        with pytest.raises(NotAdmitted, match="revoked"):
            desk.registry.guest(shown(guest))
        assert told.ended == [guest.guest.uuid]
        assert "revoked" in told.whys[0]
        assert told.changes == [
            IdentityChange("revoked", "tenant-admin anna of acme", guest.guest.uuid, "acme", "stolen")
        ]
        assert desk.registry.guest(shown(other)).id == other.guest.uuid
        await soon(desk.registry.remove_guest(other.guest.uuid, By(PROVIDER)))
        assert told.ended[1:] == [other.guest.uuid]
        with pytest.raises(IdentityRefused):
            await soon(desk.registry.remove_guest(other.guest.uuid, By(PROVIDER)))
        assert (desk.registry.counts["revoked"], desk.registry.counts["removed"]) == (1, 1)


async def test_an_administrators_certificate_is_revoked_too(tmp_path: Path) -> None:
    """By its SHA-256; its holder is named to who cuts calls."""
    with office(tmp_path) as desk:
        told = Told(desk)
        issued = await desk.registry.issue(OF_ACME, csr_for(new_key()), PROVIDER)
        await soon(desk.registry.revoke_certificate(issued.record.sha256[:4], By(PROVIDER, "left")))
        with pytest.raises(NotAdmitted, match="revoked"):
            desk.registry.caller(pem_of(issued.der))
        assert told.ended == ["anna"]
        assert [change.kind for change in told.changes] == ["issued", "revoked"]


async def test_who_stays_beyond_the_end_of_his_certificate_is_cut_off(tmp_path: Path) -> None:
    """Once; nobody comes in with it by then."""
    with office(tmp_path) as desk:
        told, guest = Told(desk), desk.enrolled()
        desk.registry.guest(shown(guest))
        desk.now += 30 * DAY - 1
        desk.registry.end_expired()
        assert told.ended == []
        desk.now += 1
        desk.registry.end_expired()
        desk.registry.end_expired()
        assert told.ended == [guest.guest.uuid]
        with pytest.raises(NotAdmitted, match="ended on"):
            desk.registry.guest(shown(guest))


async def test_who_stays_beyond_the_end_of_a_renewed_certificate_is_cut_off(tmp_path: Path) -> None:
    """Though it has attached with it and called no more; the end of the older one is no news."""
    with office(tmp_path) as desk:
        told, guest = Told(desk), desk.enrolled()
        desk.registry.guest(shown(guest))
        desk.now += 20 * DAY
        newer = await desk.registry.renew(shown(guest), asked())
        desk.registry.guest(shown(newer))
        assert await desk.registry.attached(shown(newer), MACHINE) is True
        for days, times in ((11, 0), (18, 0), (2, 1)):  # the older one ends on day 30, this on day 50
            desk.now += days * DAY
            desk.registry.end_expired()
            assert len(told.ended) == times


async def test_a_clock_that_goes_back_locks_nobody_out(tmp_path: Path) -> None:
    """An hour, as when summer ends on a machine that is set wrong."""
    with office(tmp_path) as desk:
        guest = desk.enrolled()
        desk.now -= 3600
        assert desk.registry.guest(shown(guest)).id == guest.guest.uuid
        again = await desk.registry.renew(shown(guest), asked())
        assert desk.registry.guest(shown(again)).id == guest.guest.uuid


async def test_a_guest_attaches_on_its_own_machine_only(tmp_path: Path) -> None:
    """Another is turned away, an event at first; the certificate goes on to count where it was."""
    with office(tmp_path) as desk:
        told, guest = Told(desk), desk.enrolled()
        assert await soon(desk.registry.attached(shown(guest), MACHINE)) is False
        for attempt in (
            desk.registry.attached(shown(guest), OTHER_MACHINE),
            desk.registry.renew(shown(guest), asked(OTHER_MACHINE)),
        ):
            with pytest.raises(NotAdmitted, match="another machine"):
                await soon(attempt)
        assert [(change.kind, change.guest) for change in told.changes] == [
            ("other_machine", guest.guest.uuid)
        ]
        assert desk.registry.counts["other_machine"] == 2
        desk.now += 600
        with pytest.raises(NotAdmitted, match="another machine"):
            await soon(desk.registry.attached(shown(guest), OTHER_MACHINE))
        assert (len(told.changes), desk.registry.counts["other_machine"]) == (2, 3)
        assert await soon(desk.registry.attached(shown(guest), MACHINE)) is False
        assert told.ended == []


async def test_a_renewed_certificate_takes_over_on_attach(tmp_path: Path) -> None:
    """The one before ends by that, and its end cuts nobody off any more."""
    with office(tmp_path) as desk:
        told, guest = Told(desk), desk.enrolled()
        desk.registry.guest(shown(guest))
        desk.now += 20 * DAY
        renewed = await desk.registry.renew(shown(guest), asked())
        assert desk.registry.guest(shown(guest)) == desk.registry.guest(shown(renewed))
        assert await soon(desk.registry.attached(shown(renewed), MACHINE)) is True
        with pytest.raises(NotAdmitted, match="newer certificate"):
            desk.registry.guest(shown(guest))
        desk.registry.guest(shown(renewed))
        desk.now += 10 * DAY
        desk.registry.end_expired()
        assert told.ended == []
        assert [change.kind for change in told.changes] == ["renewed"]


async def test_a_clone_ends_both(tmp_path: Path) -> None:
    """With a sentence that says what to do."""
    with office(tmp_path) as desk:
        told, enrolled = Told(desk), desk.enrolled()
        guest = desk.registry.guest(shown(enrolled))
        await soon(desk.registry.cloned(guest, "it was seen twice"))
        with pytest.raises(NotAdmitted, match="enrol anew"):
            desk.registry.guest(shown(enrolled))
        assert told.ended == [guest.id]
        assert told.changes == [IdentityChange("cloned", "", guest.id, "default", "it was seen twice")]


async def test_enrolments_are_told_and_refusals_counted(tmp_path: Path) -> None:
    """Who enrols anew is cut off where he was."""
    with office(tmp_path) as desk:
        told = Told(desk)
        made = await desk.registry.token("acme", "", 60, PROVIDER)
        guest = (await desk.registry.enrol(made.text, asked(host_name="web"))).guest
        with pytest.raises(TokenRefused):
            await desk.registry.enrol(made.text, asked())
        bound = await desk.registry.token("acme", guest.uuid, 60, OF_ACME)
        await desk.registry.enrol(bound.text, asked())
        assert told.ended == [guest.uuid]
        assert [change.kind for change in told.changes] == ["token", "enrolled", "token", "enrolled"]
        leaked = (await desk.registry.token("acme", "", 60, PROVIDER)).token
        await desk.registry.withdraw(leaked.digest, By(OF_ACME, "leaked"))
        change = told.changes[-1]
        assert (change.kind, change.actor, change.tenant) == ("withdrawn", OF_ACME.author, "acme")
        assert change.text == f"token {leaked.id}: leaked"
        assert desk.registry.counts["withdrawn"] == 1
        assert told.changes[1] == IdentityChange("enrolled", "", guest.uuid, "acme", "web", guest.current)
        assert desk.registry.counts["refused"] == 1
        assert all(made.text not in change.text for change in told.changes)


async def test_a_change_is_made_to_its_end_also_when_nobody_waits_for_it(tmp_path: Path) -> None:
    """Who goes away does not stop half-way what he asked for; those who cut calls are told."""
    with office(tmp_path) as desk:
        told, guest = Told(desk), desk.enrolled()
        with nobody_can_write(tmp_path / FILE) as let_go:
            revoking = desk.registry.revoke_guest(guest.guest.uuid, By(PROVIDER))
            asking = asyncio.get_running_loop().create_task(revoking)
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.sleep(0)
            assert desk.registry.guest(shown(guest)).id == guest.guest.uuid
            assert not asking.done()
            let_go()
            await soon(desk.registry.finish())
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert told.ended == [guest.guest.uuid]


async def test_who_goes_away_before_his_turn_leaves_nothing_to_do(tmp_path: Path) -> None:
    """One who asks and goes away, over and over, has nobody wait; a copy is ended all the same."""
    with office(tmp_path) as desk:
        told, guest = Told(desk), desk.enrolled()
        loop = asyncio.get_running_loop()
        with nobody_can_write(tmp_path / FILE) as let_go:
            first = loop.create_task(desk.registry.token("acme", "", 60, OF_ACME))
            await asyncio.sleep(0)
            asking = [loop.create_task(desk.registry.token("acme", "", 60, OF_ACME)) for _ in range(20)]
            ending = loop.create_task(desk.registry.cloned(Guest(guest.guest.uuid), "seen twice"))
            await asyncio.sleep(0)
            for task in (*asking, ending):
                task.cancel()
            await soon(asyncio.wait(asking))
            assert not ending.done()
            let_go()
            await soon(asyncio.wait([first, ending]))
        assert [change.kind for change in told.changes] == ["token", "cloned"]
        assert len(list(desk.registry.tokens("acme"))) == 1


async def test_a_revocation_waits_for_one_change_at_the_most(tmp_path: Path) -> None:
    """However many tokens a tenant has asked for before; one in four of what is done meanwhile is of them."""
    with office(tmp_path) as desk:
        told, guests = Told(desk), [desk.enrolled(tenant) for tenant in ("default", "default", "default")]
        issued = await desk.registry.issue(OF_ACME, csr_for(new_key()), PROVIDER)
        told.changes.clear()
        uuids = [enrolled.guest.uuid for enrolled in guests]
        with nobody_can_write(tmp_path / FILE) as let_go:
            loop = asyncio.get_running_loop()
            flood = [loop.create_task(desk.registry.token("acme", "", 60, OF_ACME)) for _ in range(20)]
            await asyncio.sleep(0)
            ends: list[Awaitable[object]] = [
                desk.registry.revoke_guest(uuids[0], By(PROVIDER)),
                desk.registry.remove_guest(uuids[1], By(PROVIDER)),
                desk.registry.revoke_certificate(issued.record.sha256, By(PROVIDER)),
                desk.registry.cloned(Guest(uuids[2]), "seen twice"),
            ]
            ending = asyncio.gather(*ends)
            await asyncio.sleep(0)
            let_go()
            await soon(ending)
            await soon(asyncio.gather(*flood))
        kinds = [change.kind for change in told.changes]
        assert [kinds[0], kinds[4], *kinds[6:]] == ["token"] * 20
        assert sorted([*kinds[1:4], kinds[5]]) == ["cloned", "removed", "revoked", "revoked"]


async def test_what_is_over_already_waits_for_nobody_and_is_not_noted_again(tmp_path: Path) -> None:
    """Answered at once while something else is written; the audit has the first time alone."""
    with office(tmp_path) as desk:
        told, guest, by = Told(desk), desk.enrolled("acme"), By(OF_ACME)
        uuid, certificate = guest.guest.uuid, sha256_of(shown(guest))
        desk.issuer.token("acme", uuid, 60, PROVIDER)
        assert await desk.registry.revoke_guest(uuid, by) == 1
        noted = list(Audit(desk.environment).newest(50))
        with nobody_can_write(tmp_path / FILE):
            assert await soon(desk.registry.revoke_guest(uuid, by)) == 0
            with pytest.raises(IdentityRefused, match="is revoked already"):
                await soon(desk.registry.revoke_certificate(certificate, by))
            with pytest.raises(IdentityRefused, match="is enrolled"):
                await soon(desk.registry.remove_guest("nobody", by))
            with pytest.raises(IdentityRefused, match="no token"):
                await soon(desk.registry.withdraw(b"gone", by))
        assert list(Audit(desk.environment).newest(50)) == noted
        assert [change.kind for change in told.changes] == ["revoked"]
        text = desk.issuer.token("acme", uuid, 60, PROVIDER).text  # one that could bring it back
        assert await desk.registry.revoke_guest(uuid, by) == 0
        with pytest.raises(TokenRefused):
            await desk.registry.enrol(text, asked())


async def test_tenants_and_guests_take_turns(tmp_path: Path) -> None:
    """Who asks for many changes has each other wait for one of them."""
    with office(tmp_path) as desk:
        told, text = Told(desk), (await desk.registry.token("other", "", 60, PROVIDER)).text
        with nobody_can_write(tmp_path / FILE) as let_go:
            loop = asyncio.get_running_loop()
            changes: list[Awaitable[object]] = [
                *(desk.registry.token("acme", "", 60, OF_ACME) for _ in range(5)),
                desk.registry.token("other", "", 60, PROVIDER),
                desk.registry.enrol(text, asked()),
            ]
            waiting = [loop.create_task(soon(change)) for change in changes]
            await asyncio.sleep(0)
            let_go()
            await asyncio.gather(*waiting)
        made = [f"{change.kind} {change.tenant}" for change in told.changes[1:]]
        assert made == ["token acme"] * 2 + ["token other", "enrolled other"] + ["token acme"] * 3


async def test_a_change_that_cannot_be_written_is_counted_and_said(tmp_path: Path) -> None:
    """Why, to the SVM's own people; until one is written again."""
    with office(tmp_path) as desk:
        made = await desk.registry.token("acme", "", 60, PROVIDER)
        assert (desk.registry.counts["unwritable"], desk.registry.problem) == (0, "")
        with full_disk():
            for _ in range(2):
                with pytest.raises(StateError):
                    await desk.registry.enrol(made.text, asked())
        assert desk.registry.counts["unwritable"] == 2
        assert f"{tmp_path / FILE} cannot be written" in desk.registry.problem
        with pytest.raises(TokenRefused):
            await desk.registry.enrol("none", asked())
        assert desk.registry.problem
        await desk.registry.enrol(made.text, asked())
        assert (desk.registry.counts["unwritable"], desk.registry.problem) == (2, "")


async def test_what_is_known_is_shown(tmp_path: Path) -> None:
    """Guests, a guest's certificates, all certificates with whom they name, the newest first."""
    with office(tmp_path) as desk:
        guest = desk.enrolled("acme")
        desk.now += 1
        renewed = await desk.registry.renew(shown(guest), asked())
        desk.now += 1
        issued = await desk.registry.issue(PROVIDER, csr_for(new_key()), PROVIDER)
        (known,) = desk.registry.guests("")
        certificate = desk.registry.shown_by(known)
        assert (known, certificate and certificate.sha256) == (renewed.guest, sha256_of(shown(guest)))
        assert list(desk.registry.guests("acme")) == [known]
        assert list(desk.registry.guests("other")) == []
        found = desk.registry.known(guest.guest.uuid)
        assert found is not None
        assert [each.sha256 for each in found[1]] == [sha256_of(shown(each)) for each in (renewed, guest)]
        assert desk.registry.known("nobody") is None
        assert [holder.role for _, holder in desk.registry.certificates()] == [
            Role.PROVIDER,
            Role.GUEST,
            Role.GUEST,
        ]
        assert next(desk.registry.certificates())[0] == issued.record
        desk.now += 100 * DAY
        await soon(desk.registry.age())
        assert len(list(desk.registry.certificates())) == 1
