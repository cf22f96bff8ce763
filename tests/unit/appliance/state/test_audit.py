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
from appliance.identity.keys import csr_for, new_key
from appliance.scans.orders import End, Orders, Wanted
from appliance.state.audit import MAX_WORDS, Audit, AuditEntry
from appliance.state.environment import StateDamaged, packed
from appliance.state.policies import Decided, PolicyChange, PolicyStore
from appliance.state.scan_orders import ScanOrderStore
from appliance.state.store import StateStore
from tests.support.identities import OF_ACME, PROVIDER, asked, office

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
    """Tokens, certificates, guests; what guests do themselves is an event and stands elsewhere."""
    with office(tmp_path) as desk:
        made = desk.issuer.token("acme", "", 3600, OF_ACME)
        guest = desk.issuer.enrol(made.text, asked()).guest.uuid
        issued = desk.issuer.issue(OF_ACME, csr_for(new_key()), PROVIDER)
        desk.ender.revoke_guest(guest, By(OF_ACME, "lost"))
        desk.ender.revoke_certificate(issued.record.sha256, By(PROVIDER, "left"))
        desk.ender.remove_guest(guest, By(OF_ACME))
        entries = list(Audit(desk.environment).newest(10))
    name = f"tenant-admin anna, certificate {issued.record.sha256.hex()[:16]}"
    assert [(entry.actor, entry.action, entry.subject, entry.reason) for entry in entries] == [
        ("tenant-admin anna of acme", "guest removed", f"guest {guest}", ""),
        ("provider paula", "certificate revoked", name, "left"),
        ("tenant-admin anna of acme", "guest revoked", f"guest {guest}", "lost"),
        ("provider paula", "certificate issued", name, ""),
        ("tenant-admin anna of acme", "token", f"token {made.token.id}, for a new guest", ""),
    ]
    assert {entry.tenant for entry in entries} == {"acme"}
    assert "counts until 20" in entries[-1].after


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
