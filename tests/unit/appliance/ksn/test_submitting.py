"""Tests of appliance/ksn/submitting.py; with a real service in tests/integration/test_ksn_extended.py."""

import asyncio
import gc
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from appliance.domain.guest import Guest
from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.policy import Decision, KsnType, Mode
from appliance.domain.verdict import NoAnswer, Verdict
from appliance.ksn import submitting
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.participation import Participants
from appliance.ksn.quota import DAY
from appliance.ksn.reputation import Call, Part, Request, Trouble
from appliance.ksn.spent import Spent
from appliance.ksn.submitting import DailyBudget, Scanned, Submitter, SubmitTerms
from tests.support.descriptors import open_descriptors
from tests.support.scanning import until
from tests.unit.appliance.ksn.test_participation import TERMS, consent, policy

GUEST = Guest("g", 16)
OTHER = Guest("h", 17)
EXTENDED = replace(TERMS, mode_limit=Mode.EXTENDED, documents=True)
SCRIPT = b"#!/bin/sh\nexit 0\n"
PDF = b"%PDF-1.7\n"
CLEAR = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 0)
FOUND = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, 0, threat="T")
PAUSED = Unknown(Trouble.PAUSED, "it is left alone")
MIB = 1 << 20


def policies(mode: Mode = Mode.EXTENDED, **changes: Any) -> Participants:
    """Two tenants that take part. changes: of the first."""
    first = policy(**({"mode": mode} | changes))
    return Participants(EXTENDED, [first, policy(mode=mode, tenant="another", scope=17)])


class Bench:
    """A Submitter, what it sends, and the wants of the test.

    says: what sending comes to. holds: sending does not end while it is cleared.
    """

    def __init__(self) -> None:
        """Two tenants in extended mode; KSN knows nothing."""
        self.now = 0.0
        self.sent: list[tuple[Asker, Part]] = []
        self.says: Unknown | None = None
        self.in_the_way: Unknown | None = None
        self.holds = asyncio.Event()
        self.holds.set()
        self.known: set[tuple[int, bytes]] = set()
        self.participants = policies()
        self.set_terms()

    def set_terms(self, **terms: Any) -> None:
        """Begin anew on these terms."""
        self.submitter = Submitter(
            self,
            self.participants,
            lambda scope, digest: (scope, digest) not in self.known,
            replace(SubmitTerms(retry_seconds=0.001), **terms),
            lambda: self.now,
        )

    def trouble(self, asker: Asker | None = None, call: Call = Call.HASH) -> Unknown | None:
        """What the test wants to be in the way of what is handed over."""
        assert call is Call.SUBMIT
        assert asker is None or asker.standing is Standing.CONTENT
        return self.in_the_way

    async def send(self, asker: Asker, request: Request, seconds: float) -> Unknown | None:
        """Keep it, and say what the test wants."""
        assert (request.call, request.mode) == (Call.SUBMIT, Mode.EXTENDED)
        assert asker.standing is Standing.CONTENT
        assert request.part is not None
        assert dict(request.fields) == {"submitted digest": request.part.sha256.hex()}
        self.sent.append((asker, request.part))
        await self.holds.wait()
        return self.says

    def offer(
        self, content: bytes = SCRIPT, answer: Verdict | NoAnswer = CLEAR, guest: Guest = GUEST
    ) -> bytes:
        """Offer a content after its scan, from a descriptor that is closed and used anew right after."""
        fd = os.memfd_create("content")
        os.write(fd, content)
        digest = hashlib.sha256(content).digest()
        self.submitter.offer(Scanned(guest, digest, len(content), fd, answer))
        os.ftruncate(fd, len(content))
        os.close(fd)
        return digest

    async def contents(self) -> list[bytes]:
        """What was sent, once nothing waits any more."""
        await until(lambda: not self.submitter.waiting, "everything was sent")
        return [part.data for _, part in self.sent]

    def count(self, name: str) -> int:
        """One of its counts."""
        return self.submitter.counts[name]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A bench; whatever happened, no descriptor is left open."""
    gc.collect()  # what other tests have left would be closed meanwhile
    before = open_descriptors()
    made = Bench()
    yield made
    await made.submitter.close()
    assert open_descriptors() <= before


async def test_an_unknown_script_is_handed_over_whole(bench: Bench) -> None:
    """Under its digest, for the guest's tenant, after the scan's own descriptor is closed."""
    digest = bench.offer()
    assert await bench.contents() == [SCRIPT]
    ((asker, part),) = bench.sent
    assert (asker.tenant, asker.guest, asker.mode) == ("default", "g", Mode.EXTENDED)
    assert (part.sha256, part.offset) == (digest, 0)
    assert (bench.count("queued"), bench.count("sent"), bench.count("sent_bytes")) == (1, 1, len(SCRIPT))


async def test_a_large_file_arrives_as_it_is(bench: Bench) -> None:
    """It is read piece by piece, and put together again."""
    content = SCRIPT + os.urandom(3 * MIB + 5)
    bench.offer(content)
    assert await bench.contents() == [content]


@pytest.mark.parametrize(("part", "sent"), [(MIB, 1), (0, 0)])
async def test_of_a_file_that_is_too_large_the_beginning_is_handed_over(
    bench: Bench, part: int, sent: int
) -> None:
    """Under the digest of the whole; or nothing of it."""
    bench.set_terms(max_file_bytes=2 * MIB, part_bytes=part)
    content = SCRIPT + os.urandom(2 * MIB)
    digest = bench.offer(content)
    assert await bench.contents() == [content[:MIB]] * sent
    assert [part.sha256 for _, part in bench.sent] == [digest] * sent


RULES: dict[str, tuple[bytes, Verdict | NoAnswer, dict[str, bool], bool]] = {
    "a script, nothing found": (SCRIPT, CLEAR, {}, True),
    "a script, nothing found, not wanted": (SCRIPT, CLEAR, {"unknown_executables": False}, False),
    "a script, detected": (SCRIPT, FOUND, {"unknown_executables": False}, True),
    "a script, suspicious": (SCRIPT, replace(FOUND, disposition=Disposition.SUSPICIOUS), {}, True),
    "a script, detected, not wanted": (SCRIPT, FOUND, {"after_detection": False}, False),
    "a script, no scan": (SCRIPT, NoAnswer(Unanswered.TIMED_OUT), {}, False),
    "a script, allowed by an administrator": (
        SCRIPT,
        Verdict(Disposition.CLEAN, Source.OVERRIDE, 0, 0),
        {},
        False,
    ),
    "a script, denied by an administrator": (SCRIPT, replace(FOUND, source=Source.OVERRIDE), {}, False),
    "a document, detected": (PDF, FOUND, {}, False),
    "a document, detected, allowed": (PDF, FOUND, {"documents": True}, True),
    "a document, detected, allowed, detections not wanted": (
        PDF,
        FOUND,
        {"documents": True, "after_detection": False},
        False,
    ),
    "a document, nothing found, allowed": (PDF, CLEAR, {"documents": True}, False),
    "an archive, detected": (b"PK\x03\x04", FOUND, {"documents": True}, False),
    "text, detected": (b"text", FOUND, {"documents": True}, False),
    "nothing": (b"", CLEAR, {}, False),
}


@pytest.mark.parametrize("name", RULES)
async def test_the_rules_decide_what_is_handed_over(bench: Bench, name: str) -> None:
    """By kind, by what the engines said, by what provider and tenant have set."""
    content, answer, terms, wanted = RULES[name]
    bench.participants = policies(documents=terms.get("documents", False))
    bench.set_terms(**{setting: value for setting, value in terms.items() if setting != "documents"})
    bench.offer(content, answer)
    assert await bench.contents() == [content] * wanted


async def test_what_ksn_knows_or_was_not_asked_about_is_not_handed_over(bench: Bench) -> None:
    """Only what KSN said to this very tenant that it does not know."""
    bench.known.add((GUEST.scope, hashlib.sha256(SCRIPT).digest()))
    bench.offer()
    assert await bench.contents() == []
    bench.offer(guest=OTHER)
    assert await bench.contents() == [SCRIPT]


@pytest.mark.parametrize(
    "participants",
    [
        policies(Mode.STANDARD),
        policies(active=False),
        policies(decided={KsnType.PRIVATE: consent(Decision.DECLINE)}),
        Participants(EXTENDED, []),
        Participants(TERMS, [policy(mode=Mode.EXTENDED)]),
        Participants(replace(EXTENDED, enabled=False), [policy(mode=Mode.EXTENDED)]),
    ],
    ids=["standard mode", "not active", "declined", "no policy", "limited by the provider", "not enabled"],
)
async def test_nothing_is_handed_over_without_extended_mode(bench: Bench, participants: Participants) -> None:
    """Whichever gate is closed."""
    bench.participants = participants
    bench.set_terms()
    bench.offer()
    assert (await bench.contents(), bench.count("queued")) == ([], 0)


@pytest.mark.parametrize(
    "participants",
    [
        policies(documents=False),
        Participants(replace(EXTENDED, documents=False), [policy(mode=Mode.EXTENDED, documents=True)]),
        Participants(replace(EXTENDED, mode_limit=Mode.STANDARD), [policy(documents=True)]),
    ],
    ids=["tenant", "provider", "mode"],
)
async def test_a_document_is_handed_over_only_where_both_allow_it(
    bench: Bench, participants: Participants
) -> None:
    """Whoever says no; of another tenant, which says yes, it is."""
    bench.participants = participants
    bench.set_terms()
    bench.offer(PDF, FOUND)
    assert (await bench.contents(), bench.count("queued")) == ([], 0)
    bench.participants.put(policy(tenant="another", scope=17, mode=Mode.EXTENDED, documents=True))
    bench.offer(PDF, FOUND, OTHER)
    both = participants.terms.documents and participants.terms.mode_limit is Mode.EXTENDED
    assert await bench.contents() == [PDF] * both


async def test_a_document_that_waits_is_not_sent_once_its_tenant_says_no(bench: Bench) -> None:
    """It is asked again right before sending, whether or not anybody was told; programs still are."""
    bench.participants = policies(documents=True)
    bench.set_terms(daily_files=2)
    bench.offer(PDF, FOUND)
    bench.offer()
    bench.participants.put(policy(mode=Mode.EXTENDED, documents=False))
    assert (await bench.contents(), bench.count("withdrawn")) == ([SCRIPT], 1)
    bench.participants.put(policy(mode=Mode.EXTENDED, documents=True))
    bench.offer(PDF, FOUND)
    assert await bench.contents() == [SCRIPT, PDF]


async def test_a_digest_is_handed_over_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever brings it again; of the many that were, the oldest are forgotten."""
    monkeypatch.setattr(submitting, "MOST_REMEMBERED", 2)
    bench.offer()
    bench.offer()
    await bench.contents()
    bench.offer(guest=OTHER)
    assert await bench.contents() == [SCRIPT]
    bench.offer(SCRIPT + b"2")
    bench.offer(SCRIPT + b"3")
    bench.offer()
    assert len(await bench.contents()) == 4


async def test_one_is_sent_at_a_time_and_no_more_wait_than_there_is_room_for(bench: Bench) -> None:
    """What comes over the queue is not handed over, and counted; it may be when it comes again."""
    bench.set_terms(queue=2)
    bench.holds.clear()
    bench.offer(SCRIPT + b"0")
    await until(lambda: bench.sent, "the first is being sent")
    for number in range(1, 5):
        bench.offer(SCRIPT + b"%d" % number)
    assert (bench.submitter.waiting, bench.count("no_room"), len(bench.sent)) == (3, 2, 1)
    bench.holds.set()
    assert [content[-1:] for content in await bench.contents()] == [b"0", b"1", b"2"]
    bench.offer(SCRIPT + b"4")
    assert len(await bench.contents()) == 4


async def test_contents_that_wait_are_bounded_in_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may be larger than the bound, but not one more beside it."""
    monkeypatch.setattr(submitting, "HELD_BYTES", 20)
    bench.holds.clear()
    bench.offer(SCRIPT + bytes(100))
    bench.offer(SCRIPT)
    assert (bench.submitter.waiting, bench.count("no_room")) == (1, 1)
    bench.holds.set()
    await bench.contents()
    bench.offer(SCRIPT)
    assert len(await bench.contents()) == 2


@pytest.mark.parametrize("terms", [{"daily_files": 2}, {"daily_bytes": 2 * len(SCRIPT) + 3}])
async def test_the_days_budget_is_kept(bench: Bench, terms: dict[str, int]) -> None:
    """All tenants together; when 24 hours have passed since a file, there is room for another."""
    bench.set_terms(**terms)
    for number, guest in enumerate([GUEST, OTHER, GUEST, OTHER]):
        bench.offer(SCRIPT + b"%d" % number, guest=guest)
    assert len(await bench.contents()) == 2
    assert bench.count("over_budget") == 2
    bench.now = DAY - 1
    bench.offer()
    assert bench.count("over_budget") == 3
    bench.now = DAY
    bench.offer()
    assert len(await bench.contents()) == 3


async def test_a_restart_does_not_begin_the_day_anew(bench: Bench) -> None:
    """What was sent before it counts until it is a day old, and is not sent again."""
    bench.set_terms(daily_files=2)
    who = ("ksn.example", "acme", "vm-1")
    sent, digest = SCRIPT + b"sent", hashlib.sha256(SCRIPT + b"sent").digest()
    bench.submitter.restore([Spent(DAY - 60, *who, "submit", digest, len(sent)), Spent(30, *who, "hash")])
    bench.offer(sent)
    bench.offer(SCRIPT + b"1")
    bench.offer(SCRIPT + b"2")
    assert await bench.contents() == [SCRIPT + b"1"]
    assert bench.count("over_budget") == 1
    bench.now += 60
    bench.offer(SCRIPT + b"2")
    assert await bench.contents() == [SCRIPT + b"1", SCRIPT + b"2"]


def test_a_budget_that_is_given_back_is_there_again() -> None:
    """Once, and also where it has come of age meanwhile."""
    now = [0.0]
    budget = DailyBudget(1, 100, lambda: now[0])
    taken = budget.take(100)
    assert taken is not None
    assert budget.take(0) is None
    budget.give_back(taken)
    budget.give_back(taken)
    again = budget.take(60)
    assert again is not None
    now[0] = DAY
    assert budget.take(100) is not None
    budget.give_back(again)
    assert budget.take(0) is None


async def test_withdrawing_drops_what_waits_of_that_tenant(bench: Bench) -> None:
    """The other's is sent; what was dropped has cost no budget, and may be handed over later."""
    bench.set_terms(daily_files=3)
    bench.holds.clear()
    bench.offer(SCRIPT + b"0", guest=OTHER)
    await until(lambda: bench.sent, "the first is being sent")
    bench.offer(SCRIPT + b"1")
    bench.offer(SCRIPT + b"2", guest=OTHER)
    bench.submitter.withdraw(GUEST.scope)
    assert (bench.submitter.waiting, bench.count("withdrawn")) == (2, 1)
    bench.holds.set()
    assert [content[-1:] for content in await bench.contents()] == [b"0", b"2"]
    bench.offer(SCRIPT + b"1")
    assert [content[-1:] for content in await bench.contents()] == [b"0", b"2", b"1"]


async def test_who_has_left_extended_mode_by_then_hands_over_nothing(bench: Bench) -> None:
    """It is asked again right before sending, whether or not anybody was told."""
    bench.offer()
    bench.participants.put(policy(mode=Mode.STANDARD))
    assert (await bench.contents(), bench.count("withdrawn")) == ([], 1)


async def test_what_is_made_ready_when_consent_is_withdrawn_is_not_sent(bench: Bench) -> None:
    """Also where the tenant accepts again at once: what was offered before was on other terms."""
    bench.offer(SCRIPT + bytes(3 * MIB))
    await asyncio.sleep(0)
    bench.submitter.withdraw(GUEST.scope)
    assert (await bench.contents(), bench.count("withdrawn")) == ([], 1)


ENDS = {
    "taken": (None, 0, 1),
    "paused": (PAUSED, 1, 2),
    "not recorded": (Unknown(Trouble.NOT_RECORDED, "the ledger failed"), 1, 2),
    "not offered": (Unknown(Trouble.NOT_OFFERED, "it takes no files"), 1, 1),
    "timed out": (Unknown(Trouble.TIMED_OUT, "no answer"), 1, 1),
    "too large": (Unknown(Trouble.TOO_LARGE, "too large"), 1, 1),
    "withdrawn": (Unknown(Trouble.WITHDRAWN, "no more"), 0, 1),
}


@pytest.mark.parametrize("name", ENDS)
async def test_what_may_have_left_counts_and_is_not_sent_again(bench: Bench, name: str) -> None:
    """Only where it is certain that nothing has left, budget and digest are free again."""
    bench.says, failed, sent = ENDS[name]
    bench.set_terms(daily_files=1)
    bench.offer()
    await bench.contents()
    assert (bench.count("failed"), bool(bench.submitter.trouble)) == (failed, bool(failed))
    bench.offer()
    assert len(await bench.contents()) == sent


async def test_what_is_held_waits_for_a_service_that_is_left_alone(bench: Bench) -> None:
    """Nothing is tried meanwhile; afterwards it is sent, unless its tenant has left by then."""
    bench.in_the_way = PAUSED
    bench.offer()
    bench.offer(SCRIPT + b"2", guest=OTHER)
    await until(lambda: bench.submitter.trouble == PAUSED.reason, "they wait")
    bench.submitter.withdraw(GUEST.scope)
    assert bench.sent == []
    bench.in_the_way = None
    assert await bench.contents() == [SCRIPT + b"2"]
    assert bench.submitter.trouble == ""


async def test_it_does_not_wait_for_good(bench: Bench) -> None:
    """It is dropped, has cost no budget, and may be handed over when it comes again."""
    bench.set_terms(daily_files=1)
    bench.in_the_way = PAUSED
    bench.offer()
    bench.now = SubmitTerms().wait_seconds
    assert (await bench.contents(), bench.count("failed")) == ([], 1)
    bench.in_the_way = None
    bench.offer()
    assert await bench.contents() == [SCRIPT]


async def test_a_fault_while_sending_does_not_stop_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, and said."""
    sending = bench.send

    async def fails(*_: object) -> Unknown | None:
        monkeypatch.setattr(bench, "send", sending)
        raise RuntimeError("broken")

    monkeypatch.setattr(bench, "send", fails)
    bench.offer(SCRIPT + b"1")
    bench.offer(SCRIPT + b"2")
    assert await bench.contents() == [SCRIPT + b"2"]
    assert (bench.count("failed"), bench.count("sent")) == (1, 1)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_machine_without_descriptors_does_not_fail_the_scan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """It is counted, said, and costs no budget."""
    bench.set_terms(daily_files=1, max_file_bytes=MIB if whole else 1, part_bytes=1)

    def none_left(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        fd = os.memfd_create("content")
        os.write(fd, SCRIPT)
        patched.setattr(os, "dup" if whole else "memfd_create", none_left)
        bench.submitter.offer(Scanned(GUEST, b"d" * 32, len(SCRIPT), fd, CLEAR))
        os.close(fd)
    assert (bench.count("failed"), bench.submitter.waiting) == (1, 0)
    assert "Too many open files" in bench.submitter.trouble
    bench.offer()
    assert len(await bench.contents()) == 1


async def test_closing_ends_what_is_under_way_and_takes_no_more(bench: Bench) -> None:
    """What waits is dropped, its descriptors with it."""
    bench.holds.clear()
    bench.offer(SCRIPT + b"1")
    bench.offer(SCRIPT + b"2")
    await until(lambda: bench.sent, "the first is being sent")
    await bench.submitter.close()
    bench.offer(SCRIPT + b"3")
    assert (bench.submitter.waiting, len(bench.sent)) == (0, 1)
