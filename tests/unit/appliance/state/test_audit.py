"""The audit: what each change leaves in it, written in the change's own transaction."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.override import Override
from appliance.domain.policy import Decision, KsnType, Mode
from appliance.domain.scan import ScanState
from appliance.identity.ending import By
from appliance.identity.issuing import TokenRefused
from appliance.identity.keys import csr_for, new_key
from appliance.identity.standing import OtherMachine, digest_of
from appliance.scans.orders import End, Orders, Wanted
from appliance.state.audit import MAX_WORDS, Audit, AuditEntry
from appliance.state.environment import StateDamaged, packed
from appliance.state.policies import Decided, PolicyChange, PolicyStore
from appliance.state.scan_orders import ScanOrderStore
from appliance.state.store import StateStore
from tests.support.identities import MACHINE, OF_ACME, OTHER_MACHINE, PROVIDER, UUID, asked, office

DIGEST = hashlib.sha256(b"x").digest()
NOW = 1_900_000_000.0
Said = tuple[str, str, str, str, str]


@contextmanager
def opened(directory: Path) -> Iterator[StateStore]:
    """The state."""
    store = StateStore.open(directory, lambda: NOW, 1000)
    try:
        yield store
    finally:
        store.close()


def said(entry: AuditEntry) -> Said:
    """Who did what to what, how it was and how it is."""
    return entry.actor, entry.action, entry.subject, entry.before, entry.after


def test_an_override_tells_what_it_replaces(tmp_path: Path) -> None:
    """Set, set anew, cleared."""
    blocked = Override(False, "seen in May", "paula", 1, int(NOW) + 60)
    with opened(tmp_path) as store:
        store.set_override(DIGEST, blocked, "paula")
        store.set_override(DIGEST, replace(blocked, allow=True, expires_at=0, author="otto"), "otto")
        store.clear_override(DIGEST, "over", "paula")
        first = "blocked until 2030-03-17 17:47:40 UTC by paula: seen in May"
        second = "allowed by otto: seen in May"
        assert [said(entry) for entry in list(store.audit(10))] == [
            ("paula", "clear", "", second, ""),
            ("otto", "allow", "", first, second),
            ("paula", "block", "", "", first),
        ]


def test_a_policy_tells_how_it_was_and_is(tmp_path: Path) -> None:
    """Created, changed, declined."""
    with opened(tmp_path) as store:
        policies = PolicyStore(store.environment, lambda: NOW)
        accepted = Decided(Decision.ACCEPT, KsnType.GLOBAL, 3, "the Statement")
        policies.create("acme", Mode.STANDARD, accepted, "anna")
        policies.change("acme", PolicyChange(mode=Mode.EXTENDED), "anna")
        policies.change("acme", PolicyChange(decided=replace(accepted, decision=Decision.DECLINE)), "anna")
        one = "active, standard mode, no documents, global KSN: accept, version 3"
        two = one.replace("standard", "extended")
        assert [said(entry) for entry in list(store.audit(10, "acme"))] == [
            ("anna", "policy", "tenant acme", two, two.replace("accept", "decline")),
            ("anna", "policy", "tenant acme", one, two),
            ("anna", "policy", "tenant acme", "", one),
        ]


def test_who_is_who_is_audited(tmp_path: Path) -> None:
    """Tokens, certificates, guests: who, what, how it was and is, and why; and what came of a token."""
    with office(tmp_path) as desk:
        made = desk.issuer.token("acme", "", 3600, OF_ACME)
        guest = desk.issuer.enrol(made.text, asked()).guest.uuid
        issued = desk.issuer.issue(OF_ACME, csr_for(new_key()), PROVIDER)
        bound = desk.issuer.token("acme", guest, 3600, OF_ACME)
        desk.issuer.enrol(bound.text, asked())
        unused = desk.issuer.token("acme", guest, 3600, PROVIDER)
        desk.ender.revoke_guest(guest, By(OF_ACME, "lost"))
        desk.ender.revoke_certificate(issued.record.sha256, By(PROVIDER, "left"))
        desk.ender.remove_guest(guest, By(OF_ACME))
        entries = list(Audit(desk.environment).newest(20))[::-1]
    anna, its = "tenant-admin anna of acme", f"guest {guest}"
    name = f"tenant-admin anna, certificate {issued.record.sha256.hex()[:16]}"
    hour, month = "counts until 2030-03-17 18:46:40 UTC", "counts until 2030-04-16 17:46:40 UTC"
    year = "counts until 2031-03-17 17:46:40 UTC"
    new = f"{hour}, with it begins tenant acme"
    one, over = "1 certificate counted", "counts no more"
    by = [f"by the token {each.token.id} of {anna}" for each in (made, bound)]
    assert [(*said(entry), entry.reason) for entry in entries] == [
        (anna, "token", f"token {made.token.id}, for a new guest", "", new, ""),
        (its, "guest enrolled", its, "not known", month, by[0]),
        ("provider paula", "certificate issued", name, "no certificates counted", year, ""),
        (anna, "token", f"token {bound.token.id}, for {its}", one, hour, ""),
        (its, "guest enrolled", its, one, month, by[1]),
        ("provider paula", "token", f"token {unused.token.id}, for {its}", one, hour, ""),
        (anna, "guest revoked", its, f"{one}, 1 token for it", over, "lost"),
        ("provider paula", "certificate revoked", name, year.replace("counts", "counted"), over, "left"),
        (anna, "guest removed", its, "no certificates counted", "not known", ""),
    ]
    assert {entry.tenant for entry in entries} == {"acme"}


def test_a_guest_that_is_in_two_places_is_audited_once(tmp_path: Path) -> None:
    """However often it is seen so, until it has enrolled anew by somebody's token."""
    with office(tmp_path) as desk:
        for _ in range(2):
            guest = desk.enrolled("acme", UUID).guest
            for _ in range(3):
                desk.ender.cloned(guest.uuid, "two machines speak for it by turns")
        desk.ender.cloned("nobody", "two machines speak for it by turns")
        ended = [entry for entry in Audit(desk.environment).newest(20) if entry.action == "guest ended"]
    over = "counts no more: it is in two places"
    assert [(said(entry), entry.reason, entry.tenant) for entry in ended] == 2 * [
        (
            ("svm", "guest ended", f"guest {UUID}", "1 certificate counted", over),
            "two machines speak for it by turns",
            "acme",
        )
    ]


def test_what_guests_do_by_themselves_pushes_no_entry_out(tmp_path: Path) -> None:
    """Renewals, attaching, copies that are turned away, answers that are asked for again: events alone."""
    key = new_key()
    with office(tmp_path) as desk:
        text = desk.issuer.token("acme", "", 3600, OF_ACME).text
        guest = desk.issuer.enrol(text, asked(key=key))
        before = list(Audit(desk.environment).newest(20))
        assert desk.issuer.enrol(text, asked(key=key)).certificate == guest.certificate
        shown = digest_of(guest.certificate)
        for _ in range(6):
            shown = digest_of(desk.issuer.renew(shown, asked()).certificate)
            desk.ender.shown(shown, MACHINE)
            with pytest.raises(OtherMachine):
                desk.ender.shown(shown, OTHER_MACHINE)
        with pytest.raises(TokenRefused):
            desk.issuer.enrol(text, asked())
        assert list(Audit(desk.environment).newest(20)) == before
        assert [entry.action for entry in before] == ["guest enrolled", "token"]


def test_ordered_scans_are_audited_once_for_each_tenant(tmp_path: Path) -> None:
    """Ordered and called off; one that ends by itself is an event."""
    with opened(tmp_path) as store:

        async def order() -> None:
            orders = Orders(ScanOrderStore(store.environment), 60, lambda: NOW)
            guests = {"a": "acme", "b": "acme", "c": "other"}
            placed = await orders.place(guests, Wanted((b"/srv",), "anna", int(NOW)))
            scans = [each.order.id for each in placed if each.order is not None]
            await orders.end({scans[0]: End(ScanState.CANCELLED, actor="anna")})
            await orders.end({scans[1]: End(ScanState.DONE)})

        asyncio.run(order())
        assert [said(entry) for entry in list(store.audit(10))] == [
            ("anna", "scan called off", "guest a", "/srv", ""),
            ("anna", "scan ordered", "guest c", "", "/srv"),
            ("anna", "scan ordered", "2 guests", "", "/srv"),
        ]
        assert [entry.tenant for entry in list(store.audit(10))] == ["acme", "other", "acme"]


def test_long_words_are_cut(tmp_path: Path) -> None:
    """An entry has its bound, whatever was changed."""
    with opened(tmp_path) as store:
        store.note(AuditEntry(NOW, "who", "did", before="b" * 9999, after="a" * 9999))
        [entry] = list(store.audit(1))
        assert (len(entry.before), len(entry.after)) == (MAX_WORDS, MAX_WORDS)


@pytest.mark.parametrize("fields", [{"at": 1.0, "actor": "a"}, {"who": "me"}, {"digest": "zz"}])
def test_an_entry_without_meaning_is_damage(tmp_path: Path, fields: dict[str, object]) -> None:
    """It is not passed over: what is missing could be what somebody wants to hide."""
    with opened(tmp_path) as store:
        table = store.environment.table(b"audit")
        with store.environment.writing() as txn:
            txn.put((1).to_bytes(8, "big"), packed(fields), db=table)
        with pytest.raises(StateDamaged, match="an entry of the audit has no meaning"):
            list(store.audit(1))
