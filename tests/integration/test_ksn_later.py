"""What was scanned while KSN gave no answer is asked about later: a real SVM, real streams, real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lightagent.v1 import verdict_pb2

from appliance.config import BreakerSettings
from appliance.domain.guest import Guest
from appliance.domain.outcome import Disposition, Source
from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.verdict import Verdict
from appliance.ksn.later import Later, LaterTerms
from tests.support import misbehaving_ksn as faults
from tests.support.ksn import KsnSvm, ksn_svm
from tests.support.misbehaving_ksn import Fault
from tests.support.svm import DEADLINE, RawGuest, digest_of, until

CONTENT = b"malicious, which KSN alone knows"
DIGEST = digest_of(CONTENT)
SOON = LaterTerms(after_seconds=0.05, again_seconds=0.05, pace_seconds=0.01, idle_seconds=0.01)
BRIEF = BreakerSettings(in_a_row=1, pause_seconds=0.1, longest_pause_seconds=0.1)
CLEAR = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600)


def later_of(ksn: KsnSvm) -> Later:
    """The SVM's."""
    found = ksn.svm.parts.ksn.later
    assert found is not None
    return found


@asynccontextmanager
async def svm(directory: Path, breaker: BreakerSettings = BRIEF, **settings: Any) -> AsyncIterator[KsnSvm]:
    """An SVM that asks again soon. breaker: one that leaves a service alone for a moment only."""
    async with ksn_svm(directory, breaker=breaker, **settings) as ksn:
        later_of(ksn)._terms = SOON
        await ksn.accept()
        yield ksn


async def scan(guest: RawGuest) -> int:
    """Ask about CONTENT, send it, and return what the guest is told of it."""
    reply = await guest.ask(DIGEST)
    if list(reply.outcomes) == [verdict_pb2.OUTCOME_PENDING]:
        lease = (await guest.answer(reply.request_id)).detail.lease
    else:
        lease = reply.details[0].lease
    return (await guest.send(lease, CONTENT)).outcome


@pytest.mark.parametrize(
    ("fault", "result"),
    [(faults.hangs, "timed out"), (faults.says(b"", 503), "unreachable")],
    ids=["hangs", "dead"],
)
async def test_what_ksn_alone_knows_is_found_when_it_comes_back(
    tmp_path: Path, fault: Fault, result: str
) -> None:
    """The guest is told that its answer counts no more; the ledger has the question, on its behalf."""
    async with svm(tmp_path) as ksn, RawGuest.connect(ksn.svm) as guest:
        ksn.service.act = fault
        assert await scan(guest) == verdict_pb2.OUTCOME_NOT_DETECTED
        assert len(later_of(ksn)) + ksn.svm.parts.ksn.figures()["ksn_later_asked"] > 0
        ksn.service.act = faults.answers()
        revocation = await asyncio.wait_for(guest.attach.read(), DEADLINE)
        assert list(revocation.revocation.sha256) == [DIGEST]
        reply = await guest.ask(DIGEST)
        assert list(reply.outcomes) == [verdict_pb2.OUTCOME_MALICIOUS]
        await until(lambda: later_of(ksn).counts["answered"] == 1, "it is counted")
        entries = await ksn.ledger()
        first, *_, last = [entry for entry in entries if entry["kind"] == "request"]
        assert last["fields"] == {"digest": DIGEST.hex()}
        assert (last["tenant"], last["guest"]) == (DEFAULT_TENANT, first["guest"])
        results = [entry["result"] for entry in entries if entry["kind"] == "result"]
        assert (results[0], results[-1]) == (result, "Red")
        assert ksn.svm.parts.protection.counts["contents"] == 1


async def test_a_spent_quota_has_it_asked_about_later(tmp_path: Path) -> None:
    """No question went out for it at all: the guest's share was used, what is asked later has another."""
    async with svm(tmp_path, per_day=2) as ksn, RawGuest.connect(ksn.svm) as guest:
        ksn.service.act = faults.answers({}, 404)
        reply = await guest.ask(digest_of(b"another"))
        await guest.answer(reply.request_id)
        ksn.service.act = faults.answers()
        assert await scan(guest) == verdict_pb2.OUTCOME_NOT_DETECTED
        revocation = await asyncio.wait_for(guest.attach.read(), DEADLINE)
        assert list(revocation.revocation.sha256) == [DIGEST]
        assert ksn.svm.parts.ksn.figures()["ksn_over_share"] >= 1


async def test_a_tenant_that_declined_meanwhile_is_not_asked_for(tmp_path: Path) -> None:
    """What waited is dropped: nothing goes out when the service is there again."""
    async with svm(tmp_path, BreakerSettings(in_a_row=1, pause_seconds=600)) as ksn:
        async with RawGuest.connect(ksn.svm) as guest:
            ksn.service.act = faults.says(b"", 503)
            assert await scan(guest) == verdict_pb2.OUTCOME_NOT_DETECTED
        later = later_of(ksn)
        assert len(later) == 1
        await ksn.decline()
        assert len(later) == 0
        ksn.service.act = faults.answers()
        network = ksn.svm.parts.ksn.network
        assert network is not None
        assert network.asking.ask_again(changed=True)
        later.scanned(Guest("uid-0.pid-1"), DIGEST, CLEAR)
        assert [await later.ask_next() for _ in range(3)] == [SOON.idle_seconds] * 3
        assert len(ksn.service.received) == 1
        assert [entry["kind"] for entry in await ksn.ledger()] == ["request", "result"]
