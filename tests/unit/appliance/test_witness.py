"""What of the SVM's parts becomes an event."""

import time
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from appliance.control import SvmControl
from appliance.domain.event import Event, EventKind
from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.policy import Mode, Policy
from appliance.domain.scan import ScanCounts, ScanState
from appliance.domain.verdict import Verdict
from appliance.inventory.watch import VmEvent
from appliance.scans.orders import End, Wanted
from appliance.verdicts.exposure import Holder
from appliance.witness import NAMED_SECONDS
from tests.support.contents import EICAR
from tests.support.machines import WEB, agent, running
from tests.support.svm import RawGuest, Svm, digest_of, next_message, running_svm, until

DIGEST = digest_of(b"x")


def noted(svm: Svm, kind: EventKind) -> list[Event]:
    """The events of a kind that are kept."""
    return [event for _, event in svm.parts.witness.log.store.from_number(1, 1000) if event.kind is kind]


async def arrived(svm: Svm, kind: EventKind, count: int = 1) -> list[Event]:
    """The events of a kind, once there are so many."""
    await until(lambda: len(noted(svm, kind)) >= count, f"{count} {kind} are kept")
    return noted(svm, kind)


async def find_eicar(guest: RawGuest, content: bytes = EICAR) -> None:
    """Ask about a content and send it if it is wanted."""
    reply = await guest.ask(digest_of(content))
    for detail in reply.details:
        if detail.lease:
            await guest.send(detail.lease, content)


async def test_a_machine_that_is_left_unprotected_is_an_event_of_its_tenant(tmp_path: Path) -> None:
    """Named by the UUID that its guest has, or would have."""
    async with running_svm(tmp_path) as svm:
        watch = svm.parts.inventory.watch
        await watch.register.report(agent(), [running(tenant="acme")], watch.clock())
        [view] = watch.views("acme")
        svm.parts.witness.vm_changed(VmEvent(EventKind.VM_UNPROTECTED, view, "é" * 600))
        [event] = await arrived(svm, EventKind.VM_UNPROTECTED)
        assert (event.guest, event.tenant, event.actor, event.text) == (WEB, "acme", "", "é" * 256)


async def test_guests_come_and_go(tmp_path: Path) -> None:
    """With what they call themselves."""
    async with running_svm(tmp_path) as svm:
        async with RawGuest.connect(svm):
            (session,) = svm.parts.sessions.all()
        [attached], [detached] = await arrived(svm, EventKind.ATTACH), await arrived(svm, EventKind.DETACH)
        assert attached.guest == detached.guest == session.guest.id
        assert "raw" in attached.text


async def test_a_detection_is_an_event_once_for_each_guest(tmp_path: Path) -> None:
    """Who sent the content, and who asked later; asking again is no news."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as one:
        for _ in range(3):
            await find_eicar(one)
        async with RawGuest.connect(svm) as other:
            await find_eicar(other)
            found = await arrived(svm, EventKind.DETECTION, 2)
        assert len({event.guest for event in found}) == len(found) == 2
        assert {event.sha256 for event in found} == {digest_of(EICAR)}
        assert found[0].threat
        assert "eicar" in found[0].text


async def test_a_detection_that_was_not_kept_is_news_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was no room for its event when it was told first."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        with monkeypatch.context() as patch:
            patch.setattr(svm.parts.witness.log, "note", lambda _event: False)
            await find_eicar(guest)
        assert noted(svm, EventKind.DETECTION) == []
        await guest.ask(digest_of(EICAR))
        [found] = await arrived(svm, EventKind.DETECTION)
        assert found.sha256 == digest_of(EICAR)


async def test_ten_detections_of_one_threat_are_an_outbreak(tmp_path: Path) -> None:
    """One event, once, that names the guests."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        for number in range(12):
            await find_eicar(guest, EICAR + b" " * number)
        await arrived(svm, EventKind.DETECTION, 12)
        [outbreak] = await arrived(svm, EventKind.OUTBREAK)
        (session,) = svm.parts.sessions.all()
        assert (outbreak.guests, outbreak.count) == ((session.guest.id,), 1)
        assert "10 detections" in outbreak.text
        assert outbreak.threat


async def test_an_administrators_word_is_an_event_and_a_revocation(tmp_path: Path) -> None:
    """Who, what and why; and that answers are void."""
    async with running_svm(tmp_path) as svm:
        control = SvmControl(svm.parts, "1", False, time.time)
        await control.set_override(DIGEST, Override(False, "bad", "uid-0.pid-1", 1), "")
        await control.clear(DIGEST, "fixed", "uid-0.pid-2", "")
        blocked, cleared = await arrived(svm, EventKind.OVERRIDE, 2)
        assert (blocked.text, blocked.actor, blocked.sha256) == ("blocked: bad", "uid-0.pid-1", DIGEST)
        assert (cleared.text, cleared.actor) == ("cleared: fixed", "uid-0.pid-2")
        assert [event.sha256 for event in await arrived(svm, EventKind.REVOCATION, 2)] == [DIGEST] * 2


async def test_an_override_that_ends_by_itself_is_an_event(tmp_path: Path) -> None:
    """Guests are told, so it is there to be looked up."""
    async with running_svm(tmp_path) as svm:
        override = Override(False, "for now", "me", int(time.time()), int(time.time()) + 1)
        svm.parts.protection.override(DIGEST, override)
        [ended] = await arrived(svm, EventKind.OVERRIDE)
        assert "ended" in ended.text


async def test_other_signatures_and_policies_are_events(tmp_path: Path) -> None:
    """The generation in use; a tenant's policy and who changed it."""
    async with running_svm(tmp_path) as svm:
        for told in svm.parts.scanner.on_generation:
            told(0xAB)
        svm.parts.witness.policy_changed(Policy("acme", 17, mode=Mode.EXTENDED), "uid-0.pid-1")
        [generation], [policy] = (
            await arrived(svm, EventKind.GENERATION),
            await arrived(svm, EventKind.POLICY),
        )
        assert "00000000000000ab" in generation.text
        assert policy.text == "tenant acme: active, KSN declined, extended mode"
        assert policy.actor == "uid-0.pid-1"


async def test_events_outlive_the_svm(tmp_path: Path) -> None:
    """Those of its last moments among them."""
    async with running_svm(tmp_path) as svm:
        svm.parts.witness.started("1.0")
        async with RawGuest.connect(svm):
            pass
        await arrived(svm, EventKind.DETACH)
        svm.parts.witness.stopping()
    async with running_svm(tmp_path) as svm:
        kinds = [event.kind for _, event in svm.parts.witness.log.store.from_number(1, 10)]
        assert kinds == ["svm-start", "attach", "detach", "svm-stop"]


async def test_a_revocation_names_the_guests_that_hold_the_digest(tmp_path: Path) -> None:
    """Also those that are away by then."""
    async with running_svm(tmp_path) as svm:
        async with RawGuest.connect(svm) as guest:
            await guest.ask(DIGEST)
            (session,) = svm.parts.sessions.all()
        control = SvmControl(svm.parts, "1", False, time.time)
        await control.set_override(DIGEST, Override(False, "bad", "uid-0.pid-1", 1), "")
        [revoked] = await arrived(svm, EventKind.REVOCATION)
        assert (revoked.guests, revoked.count) == ((session.guest.id,), 1)


async def test_of_many_revocations_at_once_not_all_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written down within a moment, so that a restart tells of all of them."""
    asked: list[bytes] = []
    async with running_svm(tmp_path) as svm:

        async def holders(digest: bytes, _tenant: str) -> list[Holder]:
            asked.append(digest)
            monkeypatch.setattr(svm.parts.witness, "_monotonic", lambda: time.monotonic() + NAMED_SECONDS)
            return [Holder("guest", 0, 0)]

        monkeypatch.setattr(svm.parts.witness.exposure, "holders", holders)
        for number in range(50):
            for told in svm.parts.protection.on_changed:
                told(DEFAULT_TENANT_SCOPE, bytes([number]) * 32, lambda _guest: True)
        revoked = await arrived(svm, EventKind.REVOCATION, 50)
    assert len(asked) == 1
    assert [event.guests for event in revoked] == [("guest",), *[()] * 49]


async def test_engines_that_say_something_else_revoke_what_was_answered(tmp_path: Path) -> None:
    """A guest that was told NOT_DETECTED hears of it, and the event names it."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        key = (DEFAULT_TENANT_SCOPE, digest_of(EICAR))
        svm.parts.store.put(
            *key, Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 7, 0)
        )  # of other signatures
        await find_eicar(guest)
        [revoked] = await arrived(svm, EventKind.REVOCATION)
        assert (revoked.sha256, revoked.scope, revoked.count) == (key[1], key[0], 1)
        assert guest.attach is not None
        told = await next_message(guest.attach)
        assert isinstance(told, guest_pb2.AttachReply)
        assert list(told.revocation.sha256) == [key[1]]


async def test_what_was_revoked_before_a_restart_is_told_to_who_comes_back(tmp_path: Path) -> None:
    """Of overrides that were taken back, and of what KSN or engines say anew."""
    other = digest_of(b"other")
    async with running_svm(tmp_path) as svm:
        control = SvmControl(svm.parts, "1", False, time.time)
        await control.clear(DIGEST, "fixed", "uid-0.pid-1", "")
        for told in svm.parts.protection.on_changed:
            told(DEFAULT_TENANT_SCOPE, other, lambda _guest: True)
        await arrived(svm, EventKind.REVOCATION, 2)
    async with running_svm(tmp_path) as svm:
        assert svm.parts.protection.void_digests(DEFAULT_TENANT_SCOPE) == {DIGEST, other}
        assert svm.parts.protection.void_digests(DEFAULT_TENANT_SCOPE + 1) == {DIGEST}


async def test_a_guest_that_was_away_for_long_is_told_after_a_restart_too(tmp_path: Path) -> None:
    """Its own answer has run out long since, and the file is still there; not after the exposure's days."""
    old, older = digest_of(b"old"), digest_of(b"older")
    async with running_svm(tmp_path) as svm:
        log = svm.parts.witness.log
        for digest, days in ((older, 91), (old, 89)):
            at = time.time() - days * 86400
            log.note(Event(at, EventKind.REVOCATION, sha256=digest, scope=DEFAULT_TENANT_SCOPE))
        await arrived(svm, EventKind.REVOCATION, 2)
    async with running_svm(tmp_path) as svm:
        assert svm.parts.protection.void_digests(DEFAULT_TENANT_SCOPE) == {old}


async def test_scans_that_are_ordered_and_end_are_events(tmp_path: Path) -> None:
    """One for all that were ordered together, with the guests; one for each that ends, with what it found."""
    async with running_svm(tmp_path) as svm:
        orders = svm.parts.scans.orders
        later = int(time.time()) + 3600
        await orders.place(
            {f"ip-{number}": "default" for number in range(40)}, Wanted((b"/srv",), "uid-7", later)
        )
        first = orders.all()[0]
        await orders.end({first.id: End(ScanState.DONE, ScanCounts(files=5, malicious=1), "fine")})
        [ordered] = await arrived(svm, EventKind.SCAN_ORDER)
        [ended] = await arrived(svm, EventKind.SCAN_END)
    assert (ordered.guest, ordered.count, len(ordered.guests), ordered.actor) == ("", 40, 32, "uid-7")
    assert ordered.text.startswith("/srv; to begin 20")
    assert ended.guest == "ip-0"
    assert ended.text == "done: 5 files, 1 malicious, 0 suspicious, 0 unanswered; fine"
