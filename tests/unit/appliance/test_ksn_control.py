"""Tests of appliance/ksn_control.py, over a real SVM and a service of the test's own."""

import asyncio
import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from appliance.config import BreakerSettings, SubmitSettings
from appliance.domain.guest import DEFAULT_TENANT_SCOPE, Guest
from appliance.domain.participation import KsnState, Reason
from appliance.domain.policy import DEFAULT_TENANT, Consent, Decision, KsnType, Mode, SettingsChange
from appliance.ksn.checking import KNOWN, NO_DIGEST
from appliance.ksn.reaching import Step
from appliance.ksn.statement import shown_hash, shown_text, version_in_force
from appliance.ksn.weburl import parse_url
from appliance.ksn.zones import Zone
from appliance.private_ksn.store import Store
from appliance.rpc.admin_calls import ControlRefused
from appliance.rpc.ksn_views import PolicyChange, PolicyDraft
from appliance.state.environment import StateError
from tests.support import private_ksn
from tests.support.ksn import ACTOR, decision, ksn_svm
from tests.support.misbehaving_ksn import answers, says
from tests.support.svm import until

DIGEST = b"d" * 32
WRONG = {
    "type": (decision(type_=KsnType.GLOBAL), "the provider has set the private type"),
    "version": (replace(decision(), version=9), "not about the Statement in force"),
    "text": (replace(decision(), sha256="00" * 32), "not about the Statement in force"),
}


async def test_a_policy_begins_with_a_decision(tmp_path: Path) -> None:
    """It is in force when the call returns, and so is every change; the history has all of it."""
    async with ksn_svm(tmp_path) as ksn:
        await ksn.accept()
        (view,) = list(ksn.control.policies(""))
        assert (view.policy.tenant, view.participation.state) == (DEFAULT_TENANT, KsnState.ENABLED)
        await ksn.decline()
        (view,) = list(ksn.control.policies(""))
        assert view.participation.reasons[0][0] is Reason.NOT_ACCEPTED
        declined, began, accepted = ksn.control.history(DEFAULT_TENANT, 10)
        assert isinstance(declined, Consent)
        assert isinstance(accepted, Consent)
        assert (declined.decision, accepted.decision) == (Decision.DECLINE, Decision.ACCEPT)
        assert isinstance(began, SettingsChange)
        assert (began.active, began.mode) == (True, Mode.STANDARD)


async def test_the_text_of_a_past_decision_is_there(tmp_path: Path) -> None:
    """With what the provider had added, after he has changed that and the SVM was started anew."""
    addition, texts = tmp_path / "addition", []
    for words in ("We keep it for a year.\n", "We keep it for ever.\n"):
        addition.write_text(words)
        async with ksn_svm(tmp_path / "svm", statement_addition_file=addition) as ksn:
            texts.append(shown_text(KsnType.PRIVATE, version_in_force(KsnType.PRIVATE), words))
            said = replace(decision(), sha256=shown_hash(texts[-1]))
            if len(texts) == 1:
                await ksn.control.create_policy(PolicyDraft(DEFAULT_TENANT, said), ACTOR)
            else:
                await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(decision=said), ACTOR)
                for text in texts:
                    assert ksn.control.statement_text(shown_hash(text)[:8], "") == text
                assert ksn.control.statement_text(decision().sha256, "") is None


async def test_a_text_is_not_chosen_from_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks gives more digits; a file that is damaged is told as that."""
    async with ksn_svm(tmp_path) as ksn:
        policies = ksn.svm.parts.ksn.policies
        monkeypatch.setattr(policies, "texts", lambda _beginning, _tenant: ["one", "another"])
        with pytest.raises(ControlRefused, match=r"several texts begin with c0ffee00 .*: give more digits"):
            ksn.control.statement_text("c0ffee00", "")

        def damaged(_beginning: str, _tenant: str) -> list[str]:
            raise StateError("it is damaged")

        monkeypatch.setattr(policies, "texts", damaged)
        with pytest.raises(ControlRefused, match="it is damaged"):
            ksn.control.statement_text("c0ffee00", "")


@pytest.mark.parametrize("name", WRONG)
async def test_a_decision_must_be_about_the_text_in_force(tmp_path: Path, name: str) -> None:
    """Of the type that is set, in its version, word for word."""
    wrong, why = WRONG[name]
    async with ksn_svm(tmp_path) as ksn:
        with pytest.raises(ControlRefused, match=why):
            await ksn.control.create_policy(PolicyDraft(DEFAULT_TENANT, wrong), ACTOR)
        assert list(ksn.control.policies("")) == []


async def test_a_tenant_may_choose_a_narrower_mode_and_no_wider_one(tmp_path: Path) -> None:
    """The provider's limit is the widest."""
    async with ksn_svm(tmp_path) as ksn:
        with pytest.raises(ControlRefused, match="wider than the provider allows"):
            await ksn.accept(mode=Mode.EXTENDED)
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn:
        await ksn.accept(mode=Mode.EXTENDED)
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(mode=Mode.STANDARD), ACTOR)
        assert ksn.control.ksn_status(DEFAULT_TENANT).participation.mode is Mode.STANDARD


async def test_what_the_provider_locked_stays(tmp_path: Path) -> None:
    """The mode, and taking part anew; nobody is kept from declining."""
    async with ksn_svm(tmp_path, locked=("mode", "participation")) as ksn:
        await ksn.accept()
        with pytest.raises(ControlRefused, match="locked the mode"):
            await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(mode=Mode.STANDARD), ACTOR)
        await ksn.decline()
        with pytest.raises(ControlRefused, match="locked participation"):
            await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(decision=decision()), ACTOR)


async def test_a_policy_begins_in_the_mode_that_is_locked(tmp_path: Path) -> None:
    """Named or not; another one is refused, the narrower too."""
    async with ksn_svm(tmp_path, mode_limit="extended", locked=("mode",)) as ksn:
        with pytest.raises(ControlRefused, match=r"locked the mode .*: a policy begins in extended mode"):
            await ksn.accept(mode=Mode.STANDARD)
        assert list(ksn.control.policies("")) == []
        view = await ksn.control.create_policy(PolicyDraft(DEFAULT_TENANT, decision()), ACTOR)
        assert (view.policy.mode, view.participation.mode) == (Mode.EXTENDED, Mode.EXTENDED)
        await ksn.accept("another", mode=Mode.EXTENDED)
    async with ksn_svm(tmp_path / "standard", locked=("mode",)) as ksn:
        with pytest.raises(ControlRefused, match=r"locked the mode .*: a policy begins in standard mode"):
            await ksn.accept(mode=Mode.EXTENDED)


async def test_a_policy_without_a_mode_begins_in_standard_mode(tmp_path: Path) -> None:
    """However wide the provider's limit is, as long as he has not locked it."""
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn:
        view = await ksn.control.create_policy(PolicyDraft(DEFAULT_TENANT, decision()), ACTOR)
        assert view.policy.mode is Mode.STANDARD


async def test_a_policy_from_before_the_lock_keeps_its_mode(tmp_path: Path) -> None:
    """A lock widens nothing that somebody accepted in a narrower mode."""
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn:
        await ksn.accept(mode=Mode.STANDARD)
    async with ksn_svm(tmp_path, mode_limit="extended", locked=("mode",)) as ksn:
        assert ksn.control.ksn_status(DEFAULT_TENANT).participation.mode is Mode.STANDARD


async def test_a_locked_participation_begins_with_the_first_decision_only(tmp_path: Path) -> None:
    """Either is possible then; who takes part may accept a newer text, who does not may not begin."""
    addition = tmp_path / "addition"
    settings: dict[str, Any] = {"locked": ("participation",)}
    async with ksn_svm(tmp_path, **settings) as ksn:
        await ksn.accept()
        declined = PolicyDraft("another", decision(Decision.DECLINE))
        await ksn.control.create_policy(declined, ACTOR)
        with pytest.raises(ControlRefused, match="locked participation"):
            await ksn.control.change_policy("another", PolicyChange(decision=decision()), ACTOR)
        with pytest.raises(ControlRefused, match="has no policy: create one"):
            await ksn.control.change_policy("nobody", PolicyChange(decision=decision()), ACTOR)
    addition.write_text("We keep it for a year.\n")
    async with ksn_svm(tmp_path, statement_addition_file=addition, **settings) as ksn:
        newer = shown_text(KsnType.PRIVATE, version_in_force(KsnType.PRIVATE), addition.read_text())
        said = PolicyChange(decision=replace(decision(), sha256=shown_hash(newer)))
        view = await ksn.control.change_policy(DEFAULT_TENANT, said, ACTOR)
        assert view.participation.state is KsnState.ENABLED


async def test_documents_are_allowed_where_the_provider_allows_it(tmp_path: Path) -> None:
    """Not unless the tenant says so, and no more when the provider has changed his mind."""
    yes, no = PolicyChange(documents=True), PolicyChange(documents=False)
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn:
        with pytest.raises(ControlRefused, match="the provider does not allow that documents"):
            await ksn.accept(mode=Mode.EXTENDED, documents=True)
        await ksn.accept(mode=Mode.EXTENDED)
        with pytest.raises(ControlRefused, match="the provider does not allow that documents"):
            await ksn.control.change_policy(DEFAULT_TENANT, yes, ACTOR)
    allowed = SubmitSettings(documents=True)
    async with ksn_svm(tmp_path, mode_limit="extended", submit=allowed) as ksn:
        assert not ksn.control.ksn_status(DEFAULT_TENANT).participation.documents
        view = await ksn.control.change_policy(DEFAULT_TENANT, yes, ACTOR)
        assert (view.policy.documents, view.participation.documents) == (True, True)
        view = await ksn.control.change_policy(DEFAULT_TENANT, no, ACTOR)
        assert (view.policy.documents, view.participation.documents) == (False, False)
        await ksn.control.change_policy(DEFAULT_TENANT, yes, ACTOR)
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn:
        (view,) = list(ksn.control.policies(""))
        assert (view.policy.documents, view.participation.documents) == (True, False)


async def test_documents_that_are_locked_can_be_forbidden_only(tmp_path: Path) -> None:
    """A yes at the beginning counts; a no is never refused; no yes comes after it."""
    settings: dict[str, Any] = {"locked": ("documents",), "submit": SubmitSettings(documents=True)}
    async with ksn_svm(tmp_path, mode_limit="extended", **settings) as ksn:
        await ksn.accept(mode=Mode.EXTENDED, documents=True)
        assert ksn.control.ksn_status(DEFAULT_TENANT).participation.documents
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(documents=False), ACTOR)
        with pytest.raises(ControlRefused, match="locked documents"):
            await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(documents=True), ACTOR)


async def test_a_policy_that_is_there_or_not_there(tmp_path: Path) -> None:
    """Is not begun twice, and not changed before it began."""
    async with ksn_svm(tmp_path) as ksn:
        with pytest.raises(ControlRefused, match="no policy"):
            await ksn.decline()
        await ksn.accept()
        with pytest.raises(ControlRefused, match="already"):
            await ksn.accept()


async def test_an_administrator_asks_on_behalf_of_who_takes_part(tmp_path: Path) -> None:
    """The answer is shown, and the ledger has who asked; for others nothing is sent."""
    async with ksn_svm(tmp_path) as ksn:
        with pytest.raises(ControlRefused, match="nothing was sent: the tenant has no policy"):
            await ksn.control.look_up(DEFAULT_TENANT, DIGEST)
        await ksn.accept()
        view = await ksn.control.look_up(DEFAULT_TENANT, DIGEST)
        assert view.answer is not None
        assert view.answer.zone is Zone.RED
        assert (await ksn.ledger())[0]["guest"] == "svm ksn lookup"
        await ksn.service.stop()
        assert "cannot be reached" in (await ksn.control.look_up(DEFAULT_TENANT, bytes(32))).why_not


async def test_the_status_says_what_is_set_and_what_is_in_force(tmp_path: Path) -> None:
    """Also for a tenant without a policy, and with the quota that is left."""
    async with ksn_svm(tmp_path, per_day=5) as ksn:
        status = ksn.control.ksn_status("nobody")
        assert status.participation.reasons[0][0] is Reason.NO_POLICY
        assert (status.enabled, status.type, status.mode_limit) == (True, KsnType.PRIVATE, Mode.STANDARD)
        assert (status.breaker, status.quota_left) == ("closed", 5)


async def test_the_status_says_that_changes_are_not_followed(tmp_path: Path) -> None:
    """As soon as the service has turned out to tell of none, and until a reload finds that it does."""
    async with ksn_svm(tmp_path) as ksn:
        status = ksn.control.ksn_status(DEFAULT_TENANT)
        assert ("changes" in status.takes, status.notices) == (True, ())
        await ksn.accept()
        await until(lambda: bool(ksn.control.ksn_status(DEFAULT_TENANT).notices), "it has been asked")
        status = ksn.control.ksn_status(DEFAULT_TENANT)
        ((call, said),) = status.notices
        assert (call, "changes" in status.takes) == ("changes", False)
        assert said.startswith("they are not followed: ")
        assert "tells of no changes; it is asked again after an hour" in said
        ksn.service.changes = 200
        key = ksn.svm.parts.ksn.key
        assert key is not None
        await key.renew()
        await until(lambda: not ksn.control.ksn_status(DEFAULT_TENANT).notices, "it is asked again")
        assert "changes" in ksn.control.ksn_status(DEFAULT_TENANT).takes


async def test_the_service_is_tried_step_by_step(tmp_path: Path) -> None:
    """Each step says how it went."""
    async with ksn_svm(tmp_path, per_day=5) as ksn:
        await ksn.accept()
        steps = await ksn.control.check_ksn(DEFAULT_TENANT)
        assert [step.what for step in steps] == ["name", "TLS", "credentials", "known digest", "quota"]
        assert all(step.good for step in steps)
        assert steps[-1].said == "4 questions left today"


async def checked_at(directory: Path, base_url: str, key_file: Path | None = None) -> dict[str, Step]:
    """What `svm ksn check` says of an address, by the names of its steps."""
    more: dict[str, Any] = {"api_key_file": key_file} if key_file else {}
    async with ksn_svm(directory, endpoint=base_url, **more) as ksn:
        await ksn.accept()
        return {step.what: step for step in await ksn.control.check_ksn(DEFAULT_TENANT)}


async def test_a_service_that_does_not_know_eicar_is_a_service(tmp_path: Path) -> None:
    """A Private KSN says so of what is in none of its feeds; at another path it is none."""
    chosen = private_ksn.settings(tmp_path)
    key = tmp_path / "key"
    key.write_text(private_ksn.KEY)
    with closing(Store.open(tmp_path / "data")) as store:
        async with private_ksn.serving(store, chosen) as served:
            place = f"http://127.0.0.1:{served.ports[0]}"
            whole = await checked_at(tmp_path / "whole", f"{place}/api/v1/", key)
            part = await checked_at(tmp_path / "part", place, key)
    assert all(step.good for step in whole.values())
    assert whole["known digest"].said == "not found: the service answers, and does not know this one"
    assert (part["credentials"].good, part["known digest"].good) == (False, False)
    assert "see ksn.endpoint, which ends" in part["known digest"].said


async def test_a_web_server_that_is_no_service_is_told_from_one(tmp_path: Path) -> None:
    """It knows no such page, whatever is asked; one that answers with pages is no service either."""
    app = web.Application()
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        steps = await checked_at(tmp_path / "svm", f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1/")
    finally:
        await runner.cleanup()
    assert [steps[what].good for what in ("name", "TLS", "credentials", "known digest")] == [
        True,
        True,
        False,
        False,
    ]
    assert "this is no KSN service, or not the whole of its address: see ksn.endpoint" in (
        steps["known digest"].said
    )


async def test_both_questions_about_what_a_service_does_not_know_stand_in_the_ledger(tmp_path: Path) -> None:
    """And what it says of the second, which is about no digest, counts nowhere."""
    async with ksn_svm(tmp_path) as ksn:
        await ksn.accept()
        ksn.service.act = says(b"{}", 404)
        await ksn.control.check_ksn(DEFAULT_TENANT)
        asked = [entry for entry in await ksn.ledger() if entry["kind"] == "request"]
        assert [next(iter(entry["fields"].values())) for entry in asked] == [KNOWN.hex(), NO_DIGEST]
        network = ksn.svm.parts.ksn.network
        assert network is not None
        assert network.is_unknown(DEFAULT_TENANT_SCOPE, KNOWN)
        assert not network.is_unknown(DEFAULT_TENANT_SCOPE, bytes.fromhex(NO_DIGEST))
        assert [request.query for request in ksn.service.received] == [
            [("request", KNOWN.hex())],
            [("request", NO_DIGEST)],
        ]


async def test_a_service_that_is_left_alone_is_tried_all_the_same(tmp_path: Path) -> None:
    """It stands in the ledger, and a service that does well again is asked by everybody again."""
    async with ksn_svm(tmp_path, breaker=BreakerSettings(in_a_row=1, pause_seconds=300)) as ksn:
        await ksn.accept()
        ksn.service.act = says(b"", 503)
        await ksn.control.look_up(DEFAULT_TENANT, bytes(32))
        assert ksn.control.ksn_status(DEFAULT_TENANT).breaker == "open"
        failed = {step.what: step for step in await ksn.control.check_ksn(DEFAULT_TENANT)}
        assert [failed[what].good for what in ("name", "TLS", "known digest")] == [True, True, False]
        assert "cannot serve now" in failed["known digest"].said
        ksn.service.act = answers()
        steps = await ksn.control.check_ksn(DEFAULT_TENANT)
        assert all(step.good for step in steps)
        assert ksn.control.ksn_status(DEFAULT_TENANT).breaker == "closed"
        asked = [entry for entry in await ksn.ledger() if entry["kind"] == "request"]
        assert [entry["guest"] for entry in asked] == ["svm ksn lookup", "svm ksn check", "svm ksn check"]


async def test_who_declines_is_never_refused(tmp_path: Path) -> None:
    """Whatever text he was shown, and of whatever type; he takes part in none after that."""
    async with ksn_svm(tmp_path) as ksn:
        await ksn.accept()
        declined = replace(decision(Decision.DECLINE, KsnType.GLOBAL), version=7, sha256="00" * 32)
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(decision=declined), ACTOR)
        assert ksn.control.ksn_status(DEFAULT_TENANT).participation.state is KsnState.OFF


async def test_less_is_in_force_even_if_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked from then on; what is said of it is so: the policy is as it was, and KSN is off."""
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn:
        await ksn.accept()

        def full(*_what: object) -> None:
            raise StateError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(ksn.svm.parts.ksn.policies, "change", full)
            with pytest.raises(
                ControlRefused, match=r"the disk is full\. KSN is off for this tenant all the same"
            ):
                await ksn.decline()
            with pytest.raises(ControlRefused, match=r"the disk is full$"):
                await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(mode=Mode.EXTENDED), ACTOR)
        (view,) = list(ksn.control.policies(""))
        assert view.policy.active
        for participation in (view.participation, ksn.control.ksn_status(DEFAULT_TENANT).participation):
            assert participation.state is KsnState.OFF
            ((reason, sentence),) = participation.reasons
            assert reason is Reason.NOT_WRITTEN
            assert "is not written: nothing is sent until it is" in sentence
        with pytest.raises(ControlRefused, match="nothing was sent: a change of the policy"):
            await ksn.control.look_up(DEFAULT_TENANT, DIGEST)
        await ksn.decline()
        assert ksn.control.ksn_status(DEFAULT_TENANT).participation.reasons[0][0] is Reason.NOT_ACCEPTED
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(decision=decision()), ACTOR)
        assert ksn.svm.parts.ksn.participants.takes_part(16)


async def test_a_question_that_was_just_begun_does_not_go_out_after_declining(tmp_path: Path) -> None:
    """It was taken in on the tick of the change; its guest is asked for the content."""
    async with ksn_svm(tmp_path) as ksn:
        await ksn.accept()
        network, done = ksn.svm.parts.ksn.network, list[int]()
        assert network is not None
        guest = Guest("g", 16)
        declining = asyncio.get_running_loop().create_task(ksn.decline())
        while not declining.done():
            network.ask(guest, DIGEST, 10.0, lambda: done.append(1))
            await asyncio.sleep(0)
        asked = len(ksn.service.received)
        await until(lambda: network.asking.under_way == 0, "all is over")
        await asyncio.sleep(0.1)
        assert len(ksn.service.received) == asked


async def test_an_address_is_asked_about_step_by_step(tmp_path: Path) -> None:
    """He is told what the answer is about; for who takes no part nothing is sent."""
    resource = parse_url("http://www.example.com/x?a=b")
    async with ksn_svm(tmp_path) as ksn:
        with pytest.raises(ControlRefused, match="nothing was sent"):
            await ksn.control.look_up_url(DEFAULT_TENANT, resource)
        await ksn.accept()
        view = await ksn.control.look_up_url(DEFAULT_TENANT, resource)
        assert view.answer is not None
        assert (view.answer.zone, view.asked) == (Zone.RED, "url http://www.example.com/x")
        ksn.service.act = answers({}, 404)
        view = await ksn.control.look_up_url(DEFAULT_TENANT, resource)
        assert view.answer is not None
        assert (view.answer.zone, view.asked) == (Zone.NOT_FOUND, "domain example.com")


async def test_what_every_system_holds_is_not_looked_up(tmp_path: Path) -> None:
    """The empty file tells nothing to anybody, and nothing is sent."""
    async with ksn_svm(tmp_path) as ksn:
        await ksn.accept()
        with pytest.raises(ControlRefused, match="every system holds this content"):
            await ksn.control.look_up(DEFAULT_TENANT, hashlib.sha256(b"").digest())
        assert await ksn.ledger() == []
