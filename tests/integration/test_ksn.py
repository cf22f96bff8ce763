"""KSN as a guest meets it: a real SVM, real streams, and a service over real HTTP that can go wrong."""

import asyncio
import time
from pathlib import Path

import pytest
from lightagent.v1 import verdict_pb2

from appliance.config import BreakerSettings
from appliance.control import SvmControl
from appliance.domain.guest import Guest
from appliance.domain.policy import DEFAULT_TENANT
from appliance.rpc.ksn_views import PolicyChange
from appliance.state.environment import StateError
from tests.support import misbehaving_ksn as faults
from tests.support.ksn import ACTOR, KsnSvm, ksn_svm
from tests.support.misbehaving_ksn import Connection, Fault
from tests.support.svm import RawGuest, digest_of, until

GOOD = b"innocent content"
DIGEST = digest_of(GOOD)
GREEN = {"Zone": "Green", "FileGeneralInfo": {"FileStatus": "Clean"}}
GREY = {"Zone": "Grey", "FileGeneralInfo": {"FileStatus": "NotCategorized"}}
ASKED_FOR_CONTENT = verdict_pb2.OUTCOME_CONTENT_NEEDED


async def end_of_question(guest: RawGuest, digest: bytes, budget: float = 0) -> verdict_pb2.Settled:
    """How a question ends that KSN is asked about: its first word after PENDING."""
    reply = await guest.ask(digest, budget=budget)
    assert list(reply.outcomes) == [verdict_pb2.OUTCOME_PENDING]
    return await guest.answer(reply.request_id)


async def ask(guest: RawGuest, digest: bytes) -> int:
    """The first word on a digest."""
    return (await guest.ask(digest)).outcomes[0]


async def test_a_malicious_digest_that_ksn_alone_knows_is_found_without_an_upload(tmp_path: Path) -> None:
    """It is named, kept, answered from the cache after that, and the ledger shows what was asked."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ended = await end_of_question(guest, DIGEST)
        assert ended.outcome == verdict_pb2.OUTCOME_MALICIOUS
        said = (ended.detail.threat, ended.detail.engine, ended.detail.source)
        assert said == ("EICAR-Test-File", "ksn", verdict_pb2.SOURCE_KSN)
        assert await ask(guest, DIGEST) == verdict_pb2.OUTCOME_MALICIOUS
        assert len(ksn.service.received) == 1
        assert ksn.svm.parts.protection.counts["contents"] == 0
        request, result = await ksn.ledger()
        assert request["fields"] == {"digest": DIGEST.hex()}
        assert (request["tenant"], request["type"], request["mode"]) == (
            DEFAULT_TENANT,
            "private",
            "standard",
        )
        assert (request["statement"], request["call"]) == (1, "hash")
        assert result["result"] == "Red"


async def test_green_saves_the_upload(tmp_path: Path) -> None:
    """Somebody vouches for it: CLEAN, and no content is asked for."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = faults.answers(GREEN)
        assert (await end_of_question(guest, DIGEST)).outcome == verdict_pb2.OUTCOME_CLEAN


@pytest.mark.parametrize("document", [GREY, None], ids=["grey", "not found"])
async def test_what_ksn_does_not_know_is_scanned_here_and_not_asked_again(
    tmp_path: Path, document: object
) -> None:
    """The content is asked for; while the answer counts, the next question goes the same way at once."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = faults.answers(document) if document else faults.answers({}, 404)
        asked = await end_of_question(guest, DIGEST)
        assert asked.outcome == ASKED_FOR_CONTENT
        ended = await guest.send(asked.detail.lease, GOOD)
        assert ended.outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        ksn.svm.parts.store.delete(16, DIGEST)
        assert await ask(guest, DIGEST) == ASKED_FOR_CONTENT
        assert len(ksn.service.received) == 1


async def test_nothing_leaves_unless_every_gate_is_open(tmp_path: Path) -> None:
    """Without a policy, after declining, and while the policy is not active, the service hears nothing."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        assert await ask(guest, digest_of(b"1 no policy")) == ASKED_FOR_CONTENT
        await ksn.accept()
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(active=False), ACTOR)
        assert await ask(guest, digest_of(b"2 not active")) == ASKED_FOR_CONTENT
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(active=True), ACTOR)
        await ksn.decline()
        assert await ask(guest, digest_of(b"3 declined")) == ASKED_FOR_CONTENT
        assert (ksn.service.received, await ksn.ledger()) == ([], [])


async def test_nothing_leaves_where_the_provider_has_not_enabled_ksn(tmp_path: Path) -> None:
    """Tenants may have decided before; then nobody is asked, and no answer of before is seen."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        await end_of_question(guest, DIGEST)
    async with ksn_svm(tmp_path, enabled=False) as ksn, RawGuest.connect(ksn.svm) as guest:
        assert await ask(guest, DIGEST) == ASKED_FOR_CONTENT
        assert ksn.service.received == []


async def test_who_takes_part_no_more_sees_no_answer_of_ksn(tmp_path: Path) -> None:
    """Neither from the cache nor anew; whoever accepts again sees what was kept."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        await end_of_question(guest, DIGEST)
        await ksn.decline()
        assert await ask(guest, DIGEST) == ASKED_FOR_CONTENT
        assert len(ksn.service.received) == 1


async def test_withdrawing_ends_what_is_under_way(tmp_path: Path) -> None:
    """The request is cancelled before the command returns, its guest is asked for the content at once."""
    async with ksn_svm(tmp_path, longest_seconds=30) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = faults.hangs
        reply = await guest.ask(DIGEST)
        await until(lambda: len(ksn.service.received) == 1, "the request has gone out")
        await ksn.decline()
        network = ksn.svm.parts.ksn.network
        assert network is not None
        assert network.asking.under_way == 0
        assert (await guest.answer(reply.request_id)).outcome == ASKED_FOR_CONTENT
        assert [entry.get("result") for entry in await ksn.ledger()] == [None, "cancelled"]


FAULTS: dict[str, tuple[Fault, str]] = {
    "quota": (faults.says(b"", 403), "quota"),
    "too many": (faults.says(b"", 429), "quota"),
    "key refused": (faults.says(b"", 401), "credentials refused"),
    "bad query": (faults.says(b"", 400), "bad query"),
    "down": (faults.says(b"", 503), "unreachable"),
    "hangs": (faults.hangs, "timed out"),
    "drips": (faults.drips, "timed out"),
    "breaks off": (faults.breaks_off, "malformed"),
    "hangs up": (faults.hangs_up, "unreachable"),
    "no HTTP": (faults.talks_nonsense, "malformed"),
    "endless": (faults.never_ends, "malformed"),
    "no JSON": (faults.says(b"<html>"), "malformed"),
    "cut JSON": (faults.says(b'{"Zone": "Re'), "malformed"),
    "content type": (faults.says(b'{"Zone": "Red"}', content_type="text/html"), "malformed"),
    "redirect": (faults.says(b"", 302, Location="http://127.0.0.1:9/"), "malformed"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_the_service_does_the_content_is_scanned_here(tmp_path: Path, name: str) -> None:
    """In time, with an answer of our own; the ledger says how the request ended."""
    fault, result = FAULTS[name]
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = fault
        asked = await end_of_question(guest, DIGEST, budget=20)
        assert asked.outcome == ASKED_FOR_CONTENT
        assert (await guest.send(asked.detail.lease, GOOD)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        network = ksn.svm.parts.ksn.network
        assert network is not None
        await until(lambda: network.asking.under_way == 0, "the request has ended")
        assert [entry.get("result") for entry in await ksn.ledger()] == [None, result]


async def test_a_dead_service_is_left_alone(tmp_path: Path) -> None:
    """After failures in a row the breaker opens: nothing is asked, and content is asked for at once."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        await ksn.service.stop()
        for number in range(5):
            asked = await end_of_question(guest, digest_of(b"%d" % (number + 10)))
            assert asked.outcome == ASKED_FOR_CONTENT
        assert await ask(guest, DIGEST) == ASKED_FOR_CONTENT
        status = ksn.control.ksn_status(DEFAULT_TENANT)
        assert status.breaker == "open"
        assert "left alone" in status.participation.reasons[0][1]


async def test_a_refused_key_is_read_again_when_the_operator_says_so(tmp_path: Path) -> None:
    """The status tells him what to do; after it KSN is asked with the key that stands in the file by then."""
    key = tmp_path / "key"
    key.write_text("old\n")

    async def knows_the_new_one(connection: Connection) -> None:
        good = connection.received.headers.get("x-api-key") == "new"
        await (faults.answers() if good else faults.says(b"", 401))(connection)

    async with ksn_svm(tmp_path, api_key_file=key) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = knows_the_new_one
        assert (await end_of_question(guest, digest_of(b"another"))).outcome == ASKED_FOR_CONTENT
        await until(lambda: ksn.control.ksn_status(DEFAULT_TENANT).breaker == "open", "it is left alone")
        assert "svm signatures reload" in ksn.control.ksn_status(DEFAULT_TENANT).participation.reasons[0][1]
        assert await ask(guest, DIGEST) == ASKED_FOR_CONTENT
        key.write_text("new\n")
        await SvmControl(ksn.svm.parts, "1", unsandboxed=False, clock=time.time).reload("who")
        assert ksn.control.ksn_status(DEFAULT_TENANT).participation.reasons == ()
        ended = await end_of_question(guest, digest_of(b"a third"))
        assert ended.outcome == verdict_pb2.OUTCOME_MALICIOUS


async def test_a_service_that_refused_by_itself_is_asked_again_after_long(tmp_path: Path) -> None:
    """Nobody has changed anything; one request finds out."""
    terms = BreakerSettings(refused_pause_seconds=0.2)
    async with ksn_svm(tmp_path, breaker=terms) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = faults.says(b"", 401)
        assert (await end_of_question(guest, digest_of(b"another"))).outcome == ASKED_FOR_CONTENT
        ksn.service.act = faults.answers()
        await until(lambda: ksn.control.ksn_status(DEFAULT_TENANT).breaker == "half open", "it was long")
        assert (await end_of_question(guest, DIGEST)).outcome == verdict_pb2.OUTCOME_MALICIOUS
        assert ksn.control.ksn_status(DEFAULT_TENANT).breaker == "closed"


async def test_an_answer_that_comes_late_is_kept_and_revokes_ours(tmp_path: Path) -> None:
    """The guest was answered in time by a scan; when KSN knows better, whoever keeps that is told."""
    slow = asyncio.Event()

    async def late(connection: Connection) -> None:
        await slow.wait()
        await faults.answers()(connection)

    async with (
        ksn_svm(tmp_path, longest_seconds=20, budget_share=0.05) as ksn,
        RawGuest.connect(ksn.svm) as guest,
    ):
        await ksn.accept()
        ksn.service.act = late
        asked = await end_of_question(guest, DIGEST, budget=4)
        assert (await guest.send(asked.detail.lease, GOOD)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        slow.set()
        revocation = await asyncio.wait_for(guest.attach.read(), 30)
        assert list(revocation.revocation.sha256) == [DIGEST]
        assert await ask(guest, DIGEST) == verdict_pb2.OUTCOME_MALICIOUS


async def test_nothing_is_sent_that_the_ledger_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it cannot be written, the content is scanned here, and the status says why."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        network = ksn.svm.parts.ksn.network
        assert network is not None

        def full(_payloads: object) -> int:
            raise StateError("the disk is full")

        monkeypatch.setattr(network.ledger._writer, "append", full)
        assert (await end_of_question(guest, DIGEST)).outcome == ASKED_FOR_CONTENT
        assert ksn.service.received == []
        assert "the disk is full" in ksn.control.ksn_status(DEFAULT_TENANT).participation.reasons[0][1]


async def test_many_guests_that_ask_at_once_are_one_question(tmp_path: Path) -> None:
    """One request for all who ask about a digest while it is under way."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as one, RawGuest.connect(ksn.svm) as two:
        await ksn.accept()
        first, second = await asyncio.gather(one.ask(DIGEST), two.ask(DIGEST))
        for guest, reply in ((one, first), (two, second)):
            if reply.outcomes[0] == verdict_pb2.OUTCOME_PENDING:
                assert (await guest.answer(reply.request_id)).outcome == verdict_pb2.OUTCOME_MALICIOUS
            else:
                assert reply.outcomes[0] == verdict_pb2.OUTCOME_MALICIOUS
        assert len(ksn.service.received) == 1


async def test_the_empty_file_is_answered_at_home(tmp_path: Path) -> None:
    """Everybody has it: asking would tell nothing."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        assert await ask(guest, digest_of(b"")) == ASKED_FOR_CONTENT
        assert ksn.service.received == []


async def seen_by(ksn: KsnSvm, scope: int) -> list[int]:
    """What a tenant's guest is told of DIGEST from the cache."""
    return ksn.svm.parts.protection.known(Guest("g", scope), [DIGEST]).outcomes


@pytest.mark.parametrize("shared", [False, True])
async def test_another_tenant_sees_an_answer_only_where_answers_are_shared(
    tmp_path: Path, shared: bool
) -> None:
    """And then only if it takes part itself."""
    async with ksn_svm(tmp_path, share_between_tenants=shared) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        await end_of_question(guest, DIGEST)
        await ksn.accept("other")
        assert await seen_by(ksn, 16) == [verdict_pb2.OUTCOME_MALICIOUS]
        assert await seen_by(ksn, 17) == [verdict_pb2.OUTCOME_MALICIOUS if shared else 0]
        await ksn.decline("other")
        assert await seen_by(ksn, 17) == [0]
