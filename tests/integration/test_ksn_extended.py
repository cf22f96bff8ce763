"""Extended mode and usage statistics as a service meets them: a real SVM, real streams, real HTTP."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config import BreakerSettings, KsnSettings, StatisticsSettings, SubmitSettings
from appliance.domain.policy import DEFAULT_TENANT, Mode
from appliance.ksn import results
from appliance.ksn.statistics import Statistics
from appliance.ksn.submitting import Submitter
from appliance.ksn_control import PolicyControl
from appliance.private_ksn.store import Store
from appliance.rpc.ksn_views import PolicyChange, PolicyDraft
from tests.support import archives, private_ksn
from tests.support import misbehaving_ksn as faults
from tests.support.contents import EICAR
from tests.support.ksn import ACTOR, KsnSvm, decision, ksn_svm, misbehaving_ksn
from tests.support.misbehaving_ksn import Connection, Fault, Received
from tests.support.svm import DEADLINE, RawGuest, Svm, chunk, digest_of, running_svm, say, until

SCRIPT = b"#!/bin/sh\nexit 0\n"
MIB = 1 << 20
CHUNK = 256 << 10
SUBMIT = "/api/v1/scan/file"
STATISTICS = "/api/v1/statistics"


def knows_nothing(then: Fault | None = None) -> Fault:
    """A service that knows no digest. then: what it does with what is handed over."""
    taken = faults.answers({})

    async def act(connection: Connection) -> None:
        if connection.received.path in (SUBMIT, STATISTICS):
            await (then or taken)(connection)
        else:
            await faults.answers({}, 404)(connection)

    return act


def handed_over(ksn: KsnSvm, path: str = SUBMIT) -> list[Received]:
    """What the service was handed over."""
    return [received for received in ksn.service.received if received.path == path]


def submitter(svm: Svm) -> Submitter:
    """The SVM's."""
    found = svm.parts.ksn.submitter
    assert found is not None
    return found


def reporter(svm: Svm) -> Statistics | None:
    """The SVM's, where it has one."""
    return svm.parts.ksn.statistics


def document(number: int) -> bytes:
    """A document that holds the test file; each number gives another one."""
    members = {"[Content_Types].xml": b"%d" % number, "word/embeddings/eicar.com": EICAR}
    return archives.zipped(members)


async def at_rest(ksn: KsnSvm) -> None:
    """Return when nothing waits to be handed over."""
    await until(lambda: not submitter(ksn.svm).waiting, "nothing waits to be handed over")


async def scan(guest: RawGuest, content: bytes) -> int:
    """Ask about a content that KSN does not know, and send it; the outcome."""
    reply = await guest.ask(digest_of(content))
    if list(reply.outcomes) == [verdict_pb2.OUTCOME_PENDING]:
        lease = (await guest.answer(reply.request_id)).detail.lease
    else:
        lease = reply.details[0].lease
    return (await send(guest, lease, content)).outcome


async def send(guest: RawGuest, lease: int, content: bytes) -> verdict_pb2.Settled:
    """Upload a content of any size, a message for each chunk, as the stub does."""
    call = guest.stub.Scan(metadata=guest.metadata)
    await say(call, guest_pb2.ScanRequest(parts=[guest.header(lease, content)]))
    for at in range(0, len(content), CHUNK):
        await say(call, guest_pb2.ScanRequest(parts=[chunk(content[at : at + CHUNK])]))
    await call.done_writing()
    await asyncio.wait_for(call, DEADLINE)
    return await guest.answer(*guest.leases[lease])


def forget_verdicts(directory: Path) -> None:
    """Lose the cache of an SVM that is stopped, so that everything is scanned anew."""
    (found,) = directory.rglob("cache.lmdb")
    found.unlink()


async def test_an_unknown_script_is_handed_over_and_the_ledger_has_it(tmp_path: Path) -> None:
    """After the scan, under its digest and no name; the ledger has what left, but not the content."""
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept(mode=Mode.EXTENDED)
        ksn.service.act = knows_nothing()
        assert await scan(guest, SCRIPT) == verdict_pb2.OUTCOME_NOT_DETECTED
        await until(lambda: submitter(ksn.svm).counts["sent"] == 1, "it is handed over")
        (received,) = handed_over(ksn)
        digest = digest_of(SCRIPT).hex()
        assert (received.method, received.query, received.body) == ("POST", [("filename", digest)], SCRIPT)
        calls = [entry["call"] for entry in await ksn.ledger() if entry["kind"] == "request"]
        assert calls == ["hash", "submit"]
        request = next(entry for entry in await ksn.ledger() if entry.get("call") == "submit")
        content = f"sha256 {digest}, offset 0, length {len(SCRIPT)}"
        assert request["fields"] == {"submitted digest": digest, "content": content}
        assert (request["tenant"], request["mode"]) == (DEFAULT_TENANT, "extended")


async def test_what_an_analysis_finds_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is asked for; what nobody knew when it was handed over is revoked."""
    monkeypatch.setattr(results, "WAITS", (0.2, 0.2, 0.2))

    async def act(connection: Connection) -> None:
        found = {"Zone": "Red", "Status": "complete", "DetectionsInfo": [{"DetectionName": "Found.Late"}]}
        is_result = connection.received.path.endswith("getresult/file")
        await (faults.answers(found) if is_result else knows_nothing())(connection)

    async with ksn_svm(tmp_path, mode_limit="extended") as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept(mode=Mode.EXTENDED)
        ksn.service.act = act
        assert await scan(guest, SCRIPT) == verdict_pb2.OUTCOME_NOT_DETECTED
        revocation = await asyncio.wait_for(guest.attach.read(), DEADLINE)
        assert list(revocation.revocation.sha256) == [digest_of(SCRIPT)]
        reply = await guest.ask(digest_of(SCRIPT))
        assert reply.details[0].threat == "Found.Late"
        calls = [entry["call"] for entry in await ksn.ledger() if entry["kind"] == "request"]
        assert calls == ["hash", "submit", "result"]


async def test_a_restart_does_not_begin_the_day_anew(tmp_path: Path) -> None:
    """Neither for the budget nor for the quota; and what was handed over is not handed over again."""
    terms = {"mode_limit": "extended", "submit": SubmitSettings(daily_files=2), "per_day": 10}
    async with misbehaving_ksn(knows_nothing()) as service:
        async with ksn_svm(tmp_path, service, **terms) as ksn, RawGuest.connect(ksn.svm) as guest:
            await ksn.accept(mode=Mode.EXTENDED)
            await scan(guest, SCRIPT)
            await until(lambda: submitter(ksn.svm).counts["sent"] == 1, "it is handed over")
        forget_verdicts(tmp_path)
        async with ksn_svm(tmp_path, service, **terms) as ksn, RawGuest.connect(ksn.svm) as guest:
            network = ksn.svm.parts.ksn.network
            assert network is not None
            asked = sum(entry["kind"] == "request" for entry in await ksn.ledger())
            assert (network.asking.quota_left() or 0) <= 10 - asked < 10
            for content in (SCRIPT, SCRIPT + b"2", SCRIPT + b"3"):
                await scan(guest, content)
            await at_rest(ksn)
            assert [received.body for received in handed_over(ksn)] == [SCRIPT, SCRIPT + b"2"]
            assert submitter(ksn.svm).counts["over_budget"] == 1


async def test_large_files_are_handed_over_whole_or_in_part(tmp_path: Path) -> None:
    """By the provider's setting, and under the digest of the whole."""
    submit = SubmitSettings(max_file_mib=3, part_mib=1)
    async with (
        ksn_svm(tmp_path, mode_limit="extended", submit=submit) as ksn,
        RawGuest.connect(ksn.svm) as guest,
    ):
        await ksn.accept(mode=Mode.EXTENDED)
        ksn.service.act = knows_nothing()
        whole, large = SCRIPT + os.urandom(2 * MIB), SCRIPT + os.urandom(3 * MIB)
        await scan(guest, whole)
        await scan(guest, large)
        await until(lambda: submitter(ksn.svm).counts["sent"] == 2, "both are handed over")
        assert [received.body for received in handed_over(ksn)] == [whole, large[:MIB]]
        assert handed_over(ksn)[1].query == [("filename", digest_of(large).hex())]
        network = ksn.svm.parts.ksn.network
        assert network is not None
        assert network.asking.trouble() is None


@pytest.mark.parametrize(
    ("limit", "mode"), [("standard", Mode.STANDARD), ("extended", Mode.STANDARD)], ids=["limit", "tenant"]
)
async def test_no_content_leaves_in_standard_mode(tmp_path: Path, limit: str, mode: Mode) -> None:
    """Whoever it is that wants no more than that."""
    async with ksn_svm(tmp_path, mode_limit=limit) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept(mode=mode)
        ksn.service.act = knows_nothing()
        await scan(guest, SCRIPT)
        await at_rest(ksn)
        assert [received.method for received in ksn.service.received if "hash" in received.path] == ["GET"]
        assert (handed_over(ksn), submitter(ksn.svm).counts["queued"]) == ([], 0)


@pytest.mark.parametrize("narrower", [True, False])
async def test_withdrawing_ends_what_is_being_handed_over(tmp_path: Path, narrower: bool) -> None:
    """The request is cancelled before the command returns, what waits is dropped; so in a narrower mode."""
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept(mode=Mode.EXTENDED)
        ksn.service.act = knows_nothing(faults.hangs)
        for number in range(3):
            await scan(guest, SCRIPT + b"%d" % number)
        await until(lambda: bool(handed_over(ksn)), "the first is being handed over")
        if narrower:
            await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(mode=Mode.STANDARD), ACTOR)
        else:
            await ksn.decline()
        await at_rest(ksn)
        assert (len(handed_over(ksn)), submitter(ksn.svm).counts["withdrawn"]) == (1, 3)
        assert [entry.get("result") for entry in await ksn.ledger()][-1] == "cancelled"
        assert len([entry for entry in await ksn.ledger() if entry.get("call") == "submit"]) == 1


async def test_a_document_leaves_only_while_its_tenant_says_so(tmp_path: Path) -> None:
    """Not before, and not after: what waits is dropped then, and what is being sent ends."""
    submit = SubmitSettings(documents=True)
    async with (
        ksn_svm(tmp_path, mode_limit="extended", submit=submit) as ksn,
        RawGuest.connect(ksn.svm) as guest,
    ):
        await ksn.accept(mode=Mode.EXTENDED)
        ksn.service.act = knows_nothing()
        assert await scan(guest, document(0)) == verdict_pb2.OUTCOME_MALICIOUS
        await at_rest(ksn)
        assert handed_over(ksn) == []
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(documents=True), ACTOR)
        await scan(guest, document(1))
        await until(lambda: submitter(ksn.svm).counts["sent"] == 1, "it is handed over")
        assert [received.body for received in handed_over(ksn)] == [document(1)]
        ksn.service.act = knows_nothing(faults.hangs)
        for number in (2, 3):
            await scan(guest, document(number))
        await until(lambda: len(handed_over(ksn)) == 2, "one is being handed over")
        await ksn.control.change_policy(DEFAULT_TENANT, PolicyChange(documents=False), ACTOR)
        await at_rest(ksn)
        assert (len(handed_over(ksn)), submitter(ksn.svm).counts["withdrawn"]) == (2, 2)
        assert [entry.get("result") for entry in await ksn.ledger()][-1] == "cancelled"


FAULTS: dict[str, tuple[Fault, str]] = {
    "quota": (faults.says(b"", 403), "quota"),
    "key refused": (faults.says(b"", 401), "credentials refused"),
    "not taken": (faults.says(b"", 404), "not offered"),
    "too large": (faults.says(b"", 413), "too large"),
    "down": (faults.says(b"", 503), "unreachable"),
    "breaks off": (faults.breaks_off, "malformed"),
    "hangs up": (faults.hangs_up, "unreachable"),
    "no JSON": (faults.says(b"<html>", content_type="text/html"), "malformed"),
    "redirect": (faults.says(b"", 302, Location="http://127.0.0.1:9/"), "malformed"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_the_service_does_with_it_the_scan_was_answered(tmp_path: Path, name: str) -> None:
    """The guest has its answer; the ledger says how it ended; nothing is sent twice."""
    fault, result = FAULTS[name]
    async with ksn_svm(tmp_path, mode_limit="extended") as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept(mode=Mode.EXTENDED)
        ksn.service.act = knows_nothing(fault)
        assert await scan(guest, SCRIPT) == verdict_pb2.OUTCOME_NOT_DETECTED
        await until(lambda: submitter(ksn.svm).counts["failed"] == 1, "it has failed")
        assert len(handed_over(ksn)) == 1
        assert [entry.get("result") for entry in await ksn.ledger()][-1] == result
        assert submitter(ksn.svm).trouble


async def test_a_service_that_takes_long_over_a_file_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans go on, and a slow upload is not held against the service."""
    go_on = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await go_on.wait()
        await faults.answers({})(connection)

    at_once = BreakerSettings(in_a_row=1, slow_seconds=10, pause_seconds=600, longest_pause_seconds=600)
    async with (
        ksn_svm(tmp_path, mode_limit="extended", breaker=at_once) as ksn,
        RawGuest.connect(ksn.svm) as guest,
    ):
        await ksn.accept(mode=Mode.EXTENDED)
        network = ksn.svm.parts.ksn.network
        assert network is not None
        time_of_breaker = [0.0]
        monkeypatch.setattr(network.asking._breaker, "_clock", lambda: time_of_breaker[0])
        ksn.service.act = knows_nothing(slow)
        for number in range(8):
            assert await scan(guest, SCRIPT + b"%d" % number) == verdict_pb2.OUTCOME_NOT_DETECTED
        await until(lambda: bool(handed_over(ksn)), "the first is being handed over")
        time_of_breaker[0] += 60
        go_on.set()
        await until(lambda: submitter(ksn.svm).counts["sent"] == 8, "all are handed over")
        assert network.asking.trouble() is None


async def test_statistics_go_to_a_service_that_takes_them(tmp_path: Path) -> None:
    """What came since the last report, in plain numbers; the ledger has them too."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await scan(guest, SCRIPT + b"before anybody takes part")
        await ksn.accept()
        ksn.service.act = knows_nothing()
        await scan(guest, SCRIPT)
        statistics = reporter(ksn.svm)
        assert statistics is not None
        await statistics.report()
        (received,) = handed_over(ksn, STATISTICS)
        figures = json.loads(received.body)
        assert figures.pop("period") >= 0
        assert figures == {"checked": 1, "detected": 0, "asked": 1}
        request = next(entry for entry in await ksn.ledger() if entry.get("call") == "statistics")
        assert {**request["fields"], "period": ""} == {
            "period": "",
            "files checked": "1",
            "threats found": "0",
            "questions asked": "1",
        }
        assert statistics.not_taken == ""


async def test_statistics_count_what_ksn_alone_finds(tmp_path: Path) -> None:
    """No engine sees it; the guest is told of a threat, twice with the cache, and so is the service."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = faults.answers({"Zone": "Red"})
        reply = await guest.ask(digest_of(SCRIPT))
        assert (await guest.answer(reply.request_id)).outcome == verdict_pb2.OUTCOME_MALICIOUS
        assert (await guest.ask(digest_of(SCRIPT))).outcomes[0] == verdict_pb2.OUTCOME_MALICIOUS
        statistics = reporter(ksn.svm)
        assert statistics is not None
        await statistics.report()
        (received,) = handed_over(ksn, STATISTICS)
        figures = json.loads(received.body)
        assert (figures["checked"], figures["detected"], figures["asked"]) == (2, 2, 1)


async def test_statistics_can_be_switched_off(tmp_path: Path) -> None:
    """Then there is nothing that could report."""
    async with ksn_svm(tmp_path, statistics=StatisticsSettings(enabled=False)) as ksn:
        assert reporter(ksn.svm) is None


async def test_to_a_service_that_does_not_take_statistics_nothing_is_sent(tmp_path: Path) -> None:
    """As to one that answers that it has no such thing; the status can say so."""
    async with ksn_svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        await ksn.accept()
        ksn.service.act = faults.answers({}, 404)
        await scan(guest, SCRIPT)
        statistics = reporter(ksn.svm)
        assert statistics is not None
        await statistics.report()
        await scan(guest, SCRIPT + b"2")
        await statistics.report()
        assert len(handed_over(ksn, STATISTICS)) == 1
        assert statistics.not_taken


async def test_a_private_ksn_of_our_own_takes_both(tmp_path: Path) -> None:
    """The content is kept for its operator, and the figures stand in its file."""
    store, chosen = Store.open(tmp_path / "data"), private_ksn.settings(tmp_path)
    (tmp_path / "key").write_text(private_ksn.KEY)
    async with private_ksn.serving(store, chosen) as served:
        settings = KsnSettings(
            enabled=True,
            type="private",
            mode_limit="extended",
            endpoint=f"http://127.0.0.1:{served.ports[0]}/api/v1/",
            api_key_file=tmp_path / "key",
            longest_seconds=10,
            breaker=BreakerSettings(slow_seconds=10),
        )
        async with running_svm(tmp_path / "svm", ksn=settings) as svm, RawGuest.connect(svm) as guest:
            control = PolicyControl(svm.parts.ksn)
            await control.create_policy(PolicyDraft(DEFAULT_TENANT, decision(), Mode.EXTENDED), ACTOR)
            statistics = reporter(svm)
            assert statistics is not None
            await scan(guest, SCRIPT)
            await until(lambda: submitter(svm).counts["sent"] == 1, "it is handed over")
            kept = tmp_path / "data" / "submitted" / digest_of(SCRIPT).hex()
            assert await asyncio.to_thread(kept.read_bytes) == SCRIPT
            await statistics.report()
            assert (statistics.counts, statistics.obstacle.sentence) == ({"sent": 1, "failed": 0}, "")
    store.close()
    (line,) = (tmp_path / "data" / "statistics.jsonl").read_text().splitlines()
    assert json.loads(line)["figures"]["checked"] == 1
