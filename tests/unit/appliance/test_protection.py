"""The use case, over a real store and real sandboxed engines."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.domain.guest import DEFAULT_TENANT_SCOPE, KSN_SHARED_SCOPE, PUBLIC_SCOPE, Guest, Owner
from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.override import Override
from appliance.domain.tenants import Realm
from appliance.domain.verdict import Answer, NoAnswer, Verdict
from appliance.protection import MISS, Key
from appliance.scanning.result import ScanResult
from appliance.scanning.spool import SpoolFile
from tests.support.contents import EICAR
from tests.support.svm import Svm, digest_of, running_svm, until

GUEST = Guest("g")
OTHER_TENANT = Guest("h", DEFAULT_TENANT_SCOPE + 1, "acme")
DIGEST = digest_of(b"content")
KEY = (DEFAULT_TENANT_SCOPE, DIGEST)
EICAR_KEY = (DEFAULT_TENANT_SCOPE, digest_of(EICAR))


@dataclass(eq=False)
class Asker:
    """A waiter that keeps what it is told."""

    guest_id: str = "g"
    answers: list[Answer] = field(default_factory=list)
    leases: list[int] = field(default_factory=list)

    def content_needed(self, token: int, lease: int) -> None:
        """Be asked for content."""
        self.leases.append(lease)

    def settled(self, token: int, answer: Answer) -> None:
        """Be answered."""
        self.answers.append(answer)


async def scan(svm: Svm, content: bytes) -> Answer:
    """Ask about content and give it to the engines, as rpc does; what the asker is told."""
    asker = Asker()
    svm.parts.protection.ask(GUEST, digest_of(content), asker, 1)
    await give(svm, content)
    await until(lambda: bool(asker.answers), "the asker is answered")
    (answer,) = asker.answers
    return answer


async def give(svm: Svm, content: bytes) -> None:
    """Give content to the engines, whether or not somebody waits for it."""
    file = await svm.parts.spool.reserve(Owner(guest_id="g"), len(content), 5)
    file.write(content)
    svm.parts.protection.scan((DEFAULT_TENANT_SCOPE, file.finish()), file, b"name")


def outcome(svm: Svm, digest: bytes, guest: Guest = GUEST) -> int:
    """What the guest is answered at once."""
    return svm.parts.protection.known(guest, [digest]).outcomes[0]


async def test_a_scan_is_stored_and_told_to_all(tmp_path: Path) -> None:
    """Every waiter gets the verdict, and the next question is a hit."""
    async with running_svm(tmp_path) as svm:
        askers = [Asker(name) for name in "abc"]
        for token, asker in enumerate(askers):
            svm.parts.protection.ask(Guest(asker.guest_id), digest_of(EICAR), asker, token)
        answer = await scan(svm, EICAR)
        assert isinstance(answer, Verdict)
        assert answer.disposition is Disposition.MALICIOUS
        assert [asker.answers for asker in askers] == [[answer]] * 3
        known = svm.parts.protection.known(GUEST, [digest_of(EICAR)])
        assert known.notable[0].engine == "eicar"


async def test_content_under_scan_is_not_scanned_again(tmp_path: Path) -> None:
    """Two uploads of one content at the same time are one scan with one answer."""
    async with running_svm(tmp_path) as svm:
        svm.parts.protection.ask(Guest("h"), EICAR_KEY[1], Asker("h"), 1)
        await give(svm, EICAR)
        answer = await scan(svm, EICAR)
        assert isinstance(answer, Verdict)
        assert answer.disposition is Disposition.MALICIOUS
        assert svm.parts.protection.counts["contents"] == 1
        assert svm.parts.spool.used_bytes == 0


async def test_content_that_nobody_waits_for_is_not_scanned(tmp_path: Path) -> None:
    """Its room is given back, and the engines do not see it."""
    async with running_svm(tmp_path) as svm:
        await give(svm, EICAR)
        assert svm.parts.spool.used_bytes == 0
        assert svm.parts.protection.counts["contents"] == 0
        await asyncio.wait_for(svm.parts.protection.finish_scans(), 5)


async def test_another_tenant_sees_nothing(tmp_path: Path) -> None:
    """What one tenant's guest brought in answers no other tenant."""
    async with running_svm(tmp_path) as svm:
        await scan(svm, b"content")
        assert outcome(svm, DIGEST) == Disposition.NOT_DETECTED
        assert outcome(svm, DIGEST, OTHER_TENANT) == MISS


async def test_public_entries_answer_everybody(tmp_path: Path) -> None:
    """A list's entry counts for all tenants; a tenant's own detection outweighs it."""
    async with running_svm(tmp_path) as svm:
        clean = Verdict(Disposition.CLEAN, Source.LIST, 0, 3600)
        svm.parts.store.put(PUBLIC_SCOPE, DIGEST, clean)
        assert outcome(svm, DIGEST) == outcome(svm, DIGEST, OTHER_TENANT) == Disposition.CLEAN
        bad = Verdict(Disposition.MALICIOUS, Source.LIST, 0, 3600, threat="T")
        svm.parts.store.put(DEFAULT_TENANT_SCOPE, DIGEST, bad)
        assert outcome(svm, DIGEST) == Disposition.MALICIOUS
        assert outcome(svm, DIGEST, OTHER_TENANT) == Disposition.CLEAN


async def test_a_batch_is_answered_like_its_digests_one_by_one(tmp_path: Path) -> None:
    """Large batches take another way through the cache; what is notable and what is missing is the same."""
    async with running_svm(tmp_path) as svm:
        generation = svm.parts.scanner.generation
        verdicts = [
            None,
            Verdict(Disposition.NOT_DETECTED, Source.ENGINE, generation, 3600),
            Verdict(Disposition.NOT_DETECTED, Source.ENGINE, generation ^ 1, 3600),
            Verdict(Disposition.CLEAN, Source.LIST, 0, 3600, expires_at=7200),
            Verdict(Disposition.CLEAN, Source.LIST, 0, 3600),
        ]
        bad = Verdict(Disposition.MALICIOUS, Source.LIST, 0, 3600, threat="T")
        expected = [MISS, Disposition.NOT_DETECTED, MISS, MISS, Disposition.CLEAN]
        digests = [digest_of(b"%d" % number) for number in range(5 * 20)]
        for number, digest in enumerate(digests):
            if verdict := verdicts[number % 5]:
                svm.parts.store.put(DEFAULT_TENANT_SCOPE, digest, verdict)
        for outcomes, notable in ((expected * 20, {}), ([*expected * 20, Disposition.MALICIOUS], {100: bad})):
            known = svm.parts.protection.known(GUEST, digests)
            assert known.outcomes == outcomes == [outcome(svm, digest) for digest in digests]
            assert known.misses == 60
            assert known.notable == notable
            digests.append(digest_of(b"bad"))
            svm.parts.store.put(DEFAULT_TENANT_SCOPE, digests[-1], bad)


@pytest.mark.parametrize("disposition", [Disposition.NOT_DETECTED, Disposition.MALICIOUS])
async def test_engines_of_another_generation_do_not_answer(tmp_path: Path, disposition: Disposition) -> None:
    """An entry of another set of signatures is looked at anew, whatever it said."""
    async with running_svm(tmp_path) as svm:
        old = Verdict(disposition, Source.ENGINE, svm.parts.scanner.generation ^ 1, 3600)
        svm.parts.store.put(*KEY, old)
        assert outcome(svm, DIGEST) == MISS


async def test_a_detection_stands_until_engines_really_looked_again(tmp_path: Path) -> None:
    """A scan without an answer does not make a known detection go away; one with an answer does."""
    async with running_svm(tmp_path) as svm:
        generation = svm.parts.scanner.generation
        old = Verdict(Disposition.MALICIOUS, Source.ENGINE, generation ^ 1, 3600, threat="T", engine="yara")
        svm.parts.store.put(*KEY, old)
        no_answer = ScanResult((), NoAnswer(Unanswered.TIMED_OUT, "slow"), generation)
        assert svm.parts.protection._conclude(KEY, no_answer) == old
        answer = await scan(svm, b"content")
        assert isinstance(answer, Verdict)
        assert answer.disposition is Disposition.NOT_DETECTED


async def test_no_answer_is_never_stored(tmp_path: Path) -> None:
    """What engines could not answer is asked again next time."""
    async with running_svm(tmp_path) as svm:
        result = ScanResult((), NoAnswer(Unanswered.ENGINE_ERROR, "broken"), svm.parts.scanner.generation)
        assert svm.parts.protection._conclude(KEY, result) == result.no_answer
        assert svm.parts.store.lookup(KEY[0], [KEY[1]]) == [None]
        assert svm.parts.protection.ends == {"ENGINE_ERROR": 1}


@pytest.mark.parametrize(("allow", "expected"), [(True, Disposition.CLEAN), (False, Disposition.MALICIOUS)])
async def test_an_override_wins_over_engines(tmp_path: Path, allow: bool, expected: Disposition) -> None:
    """What an administrator says is answered to everybody, known before or not, until it is taken back."""
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection
        for content in (EICAR, b"content"):
            before = await scan(svm, content)
            digest = digest_of(content)
            protection.override(digest, Override(allow, "why", "me", 1))
            assert outcome(svm, digest) == outcome(svm, digest, OTHER_TENANT) == expected
            protection.override(digest, None)
            assert isinstance(before, Verdict)
            assert outcome(svm, digest) == before.disposition


async def test_an_override_answers_who_waits(tmp_path: Path) -> None:
    """A question that is open when an override comes is answered by it."""
    async with running_svm(tmp_path) as svm:
        asker = Asker()
        svm.parts.protection.ask(GUEST, DIGEST, asker, 1)
        svm.parts.protection.override(DIGEST, Override(True, "why", "me", 1))
        (answer,) = asker.answers
        assert isinstance(answer, Verdict)
        assert answer.source is Source.OVERRIDE


async def test_an_override_ends(tmp_path: Path) -> None:
    """After its expiry the engines' word counts again."""
    past = Override(True, "why", "me", 1, expires_at=2)
    async with running_svm(tmp_path) as svm:
        svm.parts.protection.overrides.load({(0, digest_of(EICAR)): past})
        assert outcome(svm, digest_of(EICAR)) == MISS
        assert svm.parts.protection.overrides.of(16, digest_of(EICAR)) is None


async def test_the_end_of_an_override_is_known_before_and_told_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody keeps its answer beyond its end, and who was told of it is told of that, once."""
    now = [1000.0]
    first, second = digest_of(b"first"), digest_of(b"second")
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection
        monkeypatch.setattr(protection.overrides, "_clock", lambda: now[0])
        protection.overrides.load({(0, first): Override(True, "why", "me", 1, expires_at=1060)})
        protection.override(second, Override(True, "why", "me", 1, expires_at=1030))
        protection.override(DIGEST, Override(True, "why", "me", 1))
        known = protection.known(GUEST, [DIGEST, first, second])
        assert protection.overrides.first_end(known.notable.values()) == 30.0
        assert protection.overrides.first_end([known.notable[0]]) is None
        assert protection.overrides.end() == []
        now[0] = 1030.0
        protection.override(first, Override(True, "longer", "me", 1, expires_at=1090))
        assert protection.overrides.end() == [(0, second)]
        assert second in protection.overrides.digests(16)
        now[0] = 1060.0
        assert protection.overrides.end() == []
        now[0] = 1090.0
        assert protection.overrides.end() == [(0, first)]
        assert [outcome(svm, digest) for digest in (first, second, DIGEST)] == [MISS, MISS, Disposition.CLEAN]


async def test_signatures_that_came_during_a_scan_look_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks when they are in use is not answered with what the ones before did not find."""
    async with running_svm(tmp_path) as svm:
        generations = iter([svm.parts.scanner.generation ^ 1])
        scanner_scan = svm.parts.scanner.scan
        looks = []

        def scan_of_before(*words: Any) -> asyncio.Future[ScanResult]:
            looks.append(words)
            done: asyncio.Future[ScanResult] = asyncio.get_running_loop().create_future()
            for generation in generations:
                done.set_result(ScanResult((), None, generation))
                return done
            return scanner_scan(*words)

        monkeypatch.setattr(svm.parts.scanner, "scan", scan_of_before)
        answer = await scan(svm, b"content")
        assert isinstance(answer, Verdict)
        assert (len(looks), answer.generation) == (2, svm.parts.scanner.generation)


async def test_others_are_told_of_a_content_while_it_is_at_hand(tmp_path: Path) -> None:
    """With what came of it; one that raises fails neither the scan nor the next."""
    told = []

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    def look(key: Key, content: SpoolFile, answer: Answer) -> None:
        told.append((key, os.pread(content.fd, 100, 0), content.guest_id, answer))

    async with running_svm(tmp_path) as svm:
        svm.parts.protection.on_scanned += [broken, look]
        answer = await scan(svm, b"content")
        assert isinstance(answer, Verdict)
        assert told == [(KEY, b"content", "g", answer)]
        assert svm.parts.spool.used_bytes == 0
        assert outcome(svm, DIGEST) == Disposition.NOT_DETECTED


async def test_what_engines_found_nothing_in_is_told_from_all_else(tmp_path: Path) -> None:
    """From what nobody knows, what KSN or an administrator has spoken of, and the word of other engines."""
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection

        def found_nothing() -> bool:
            return protection.found_nothing(DEFAULT_TENANT_SCOPE, DIGEST)

        assert not found_nothing()
        answer = await scan(svm, b"content")
        assert isinstance(answer, Verdict)
        assert found_nothing()
        protection.override(DIGEST, Override(False, "why", "me", 1))
        assert not found_nothing()
        protection.override(DIGEST, None)
        for other in (
            replace(answer, generation=answer.generation ^ 1),
            replace(answer, source=Source.KSN),
            replace(answer, disposition=Disposition.MALICIOUS, threat="T", engine="e"),
        ):
            svm.parts.store.put(*KEY, other)
            assert not found_nothing()


async def test_a_forgotten_digest_is_asked_for_again(tmp_path: Path) -> None:
    """Clearing drops the verdict, and says whether there was one."""
    async with running_svm(tmp_path) as svm:
        await scan(svm, b"content")
        scopes = (PUBLIC_SCOPE, DEFAULT_TENANT_SCOPE)
        assert svm.parts.protection.forget(DIGEST, scopes)
        assert outcome(svm, DIGEST) == MISS
        assert not svm.parts.protection.forget(DIGEST, scopes)


async def test_verdicts_are_written_soon(tmp_path: Path) -> None:
    """A verdict reaches the file within the commit delay, without anybody asking."""
    async with running_svm(tmp_path) as svm:
        await scan(svm, b"content")
        await until(lambda: svm.parts.store.stats().pending == 0, "the verdict is committed")
        assert svm.parts.store.stats().entries == 1


class Known:
    """A reputation service of the test's own: knows nothing, and is told who asks."""

    def __init__(self, shared: bool = False) -> None:
        """shared: whether those who take part see each other's answers."""
        self.shared = shared
        self.epoch = 0
        self.where = {DEFAULT_TENANT_SCOPE}
        self.asked: list[tuple[str, bytes, float]] = []
        self.done: list[Callable[[], None]] = []

    def takes_part(self, scope: int) -> bool:
        """Those of `where`."""
        return scope in self.where

    def scopes(self) -> list[int]:
        """Those that the test wants."""
        return sorted(self.where)

    def slice_of(self, budget: float) -> float:
        """All of it."""
        return budget

    def would_ask(self, guest: Guest, digest: bytes) -> bool:
        """Whoever takes part."""
        return self.takes_part(guest.scope)

    def ask(self, guest: Guest, digest: bytes, budget: float, done: Callable[[], None]) -> None:
        """Keep the question open."""
        self.asked.append((guest.id, digest, budget))
        self.done.append(done)


BAD_BY_KSN = Verdict(Disposition.MALICIOUS, Source.KSN, 0, 3600, threat="T", engine="ksn")


async def test_who_takes_part_waits_for_ksn_before_content_is_asked_for(tmp_path: Path) -> None:
    """Nobody is asked while it is being asked, once for all; then the first is."""
    async with running_svm(tmp_path) as svm:
        protection, ksn = svm.parts.protection, Known()
        protection.reputation = ksn
        first, second = Asker("g"), Asker("h")
        assert protection.ask(GUEST, DIGEST, first, 1, 8.0) is None
        assert protection.ask(Guest("h"), DIGEST, second, 1, 9.0) is None
        assert ksn.asked == [("g", DIGEST, 8.0)]
        ksn.done[0]()
        assert (len(first.leases), second.leases) == (1, [])
        assert protection.ask(OTHER_TENANT, DIGEST, Asker("i"), 1, 8.0) is not None


async def test_what_ksn_says_is_for_those_who_take_part(tmp_path: Path) -> None:
    """In its own scope, and where it is shared in each other's; nobody else sees it, cached or waiting."""
    async with running_svm(tmp_path) as svm:
        protection, ksn = svm.parts.protection, Known(shared=True)
        protection.reputation = ksn
        here, there = Asker("g"), Asker("h")
        protection.ask(GUEST, DIGEST, here, 1)
        protection.ask(OTHER_TENANT, DIGEST, there, 1)
        protection.learned(KSN_SHARED_SCOPE, DIGEST, BAD_BY_KSN)
        assert (here.answers, there.answers) == ([BAD_BY_KSN], [])
        assert outcome(svm, DIGEST) == Disposition.MALICIOUS
        assert outcome(svm, DIGEST, OTHER_TENANT) == MISS
        ksn.where = set()
        assert outcome(svm, DIGEST) == MISS


async def test_each_threat_that_a_guest_is_told_of_is_counted_once(tmp_path: Path) -> None:
    """Whoever found it: KSN for two who wait, an engine for one, the cache; no administrator."""
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection
        protection.reputation = Known()
        for name in "gh":
            protection.ask(Guest(name), DIGEST, Asker(name), 1)
        protection.learned(DEFAULT_TENANT_SCOPE, DIGEST, BAD_BY_KSN)
        assert protection.counts["detected"] == 2
        assert outcome(svm, DIGEST) == Disposition.MALICIOUS
        assert protection.counts["detected"] == 3
        protection.reputation = None
        await scan(svm, EICAR)
        await scan(svm, b"harmless")
        assert protection.counts["detected"] == 4
        protection.override(DIGEST, Override(True, "why", "me", 1))
        protection.override(digest_of(b"harmless"), Override(False, "why", "me", 1))
        assert outcome(svm, DIGEST) == Disposition.CLEAN
        assert outcome(svm, digest_of(b"harmless")) == Disposition.MALICIOUS
        assert protection.counts["detected"] == 4


async def test_an_override_wins_over_what_ksn_says(tmp_path: Path) -> None:
    """Who waits is told the administrator's word."""
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection
        protection.reputation = Known()
        protection.override(DIGEST, Override(True, "why", "me", 1))
        asker = Asker()
        protection.ask(GUEST, DIGEST, asker, 1)
        protection.learned(DEFAULT_TENANT_SCOPE, DIGEST, BAD_BY_KSN)
        (answer,) = asker.answers
        assert isinstance(answer, Verdict)
        assert answer.source is Source.OVERRIDE


async def test_a_scan_that_finds_nothing_leaves_the_word_of_ksn(tmp_path: Path) -> None:
    """It came while engines were looking, and knows better."""
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection
        ksn = Known()
        protection.reputation = ksn
        asker = Asker()
        protection.ask(GUEST, DIGEST, asker, 1)
        ksn.done[0]()
        svm.parts.store.put(*KEY, BAD_BY_KSN)
        await give(svm, b"content")
        await until(lambda: bool(asker.answers), "the asker is answered")
        assert svm.parts.store.lookup(KEY[0], [DIGEST]) == [BAD_BY_KSN]


async def test_what_changed_at_ksn_is_taken_over_where_something_is_kept(tmp_path: Path) -> None:
    """Our own verdict is replaced, KSN's is forgotten when it knows nothing more; guests are told."""
    async with running_svm(tmp_path) as svm:
        protection, told = svm.parts.protection, list[bytes]()
        protection.reputation = Known()
        protection.on_changed.append(lambda _scope, digest, _concerns: told.append(digest))
        scopes = [DEFAULT_TENANT_SCOPE, KSN_SHARED_SCOPE]
        protection.flipped(scopes, DIGEST, BAD_BY_KSN)
        assert (outcome(svm, DIGEST), told) == (MISS, [])
        found = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, protection.generation, 3600)
        svm.parts.store.put(*KEY, found)
        protection.flipped(scopes, DIGEST, BAD_BY_KSN)
        assert (outcome(svm, DIGEST), told) == (Disposition.MALICIOUS, [DIGEST])
        protection.flipped(scopes, DIGEST, None)
        assert (outcome(svm, DIGEST), told) == (MISS, [DIGEST, DIGEST])
        assert protection.void_digests(DEFAULT_TENANT_SCOPE) == {DIGEST}
        assert protection.void_digests(OTHER_TENANT.scope) == set()


async def test_what_ksn_says_reaches_who_keeps_an_answer_of_earlier_signatures(tmp_path: Path) -> None:
    """That answers nobody any more, and the file lies there all the same; of two that are harmless nobody
    need hear.
    """
    async with running_svm(tmp_path) as svm:
        protection, told = svm.parts.protection, list[bytes]()
        protection.reputation = Known()
        protection.on_changed.append(lambda _scope, digest, _concerns: told.append(digest))
        found = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, protection.generation + 1, 3600)
        for verdict in (Verdict(Disposition.CLEAN, Source.KSN, 0, 3600), BAD_BY_KSN):
            svm.parts.store.put(*KEY, found)
            protection.flipped([DEFAULT_TENANT_SCOPE], DIGEST, verdict)
        assert told == [DIGEST]


async def test_who_joins_does_not_wait_for_ksn_beyond_his_own_budget(tmp_path: Path) -> None:
    """Another asked with all the time in the world; the content is asked for when the first slice is over."""
    async with running_svm(tmp_path) as svm:
        protection = svm.parts.protection
        protection.reputation = Known()
        patient, hurried = Asker("g"), Asker("h")
        protection.ask(GUEST, DIGEST, patient, 1, 600.0)
        protection.ask(Guest("h"), DIGEST, hurried, 1, 0.05)
        await until(lambda: len(patient.leases) == 1, "somebody is asked for the content")
        assert (hurried.leases, patient.answers, hurried.answers) == ([], [], [])


async def test_a_shared_detection_reaches_who_keeps_another_answer(tmp_path: Path) -> None:
    """Ours was in the tenant's own scope; the worse one counts, and guests are told."""
    async with running_svm(tmp_path) as svm:
        protection, told = svm.parts.protection, list[bytes]()
        protection.reputation = Known(shared=True)
        protection.on_changed.append(lambda _scope, digest, _concerns: told.append(digest))
        found = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, protection.generation, 3600)
        svm.parts.store.put(*KEY, found)
        protection.learned(KSN_SHARED_SCOPE, DIGEST, BAD_BY_KSN)
        assert (outcome(svm, DIGEST), told) == (Disposition.MALICIOUS, [DIGEST])


async def test_a_tenants_override_answers_its_own_guests_alone(tmp_path: Path) -> None:
    """Also those who wait; another tenant's guests wait on, and the provider's word wins over it."""
    async with running_svm(tmp_path) as svm:
        protection, allow = svm.parts.protection, Override(True, "ours", "me", 1)
        mine, other = Asker("g"), Asker("h")
        protection.ask(GUEST, DIGEST, mine, 1)
        protection.ask(OTHER_TENANT, DIGEST, other, 1)
        protection.override(DIGEST, allow, Realm(GUEST.scope, "default"))
        (answer,) = mine.answers
        assert isinstance(answer, Verdict)
        assert answer.disposition is Disposition.CLEAN
        assert other.answers == []
        assert outcome(svm, DIGEST) == Disposition.CLEAN
        assert outcome(svm, DIGEST, OTHER_TENANT) == MISS
        assert protection.void_digests(OTHER_TENANT.scope) == set()
        protection.override(DIGEST, Override(False, "all", "provider", 1))
        assert outcome(svm, DIGEST) == outcome(svm, DIGEST, OTHER_TENANT) == Disposition.MALICIOUS
        (answer,) = other.answers
        assert isinstance(answer, Verdict)
        assert answer.disposition is Disposition.MALICIOUS


async def test_each_tenants_answers_are_counted_for_themselves(tmp_path: Path) -> None:
    """And all of them together."""
    async with running_svm(tmp_path) as svm:
        await scan(svm, EICAR)
        outcome(svm, digest_of(EICAR))
        outcome(svm, digest_of(EICAR), OTHER_TENANT)
        counts = svm.parts.protection.counts_by_scope
        assert counts[GUEST.scope] == {
            "digests": 1,
            "hits": 1,
            "detected": 2,
            "overridden": 0,
            "contents": 1,
            "content_bytes": len(EICAR),
        }
        assert (counts[OTHER_TENANT.scope]["digests"], counts[OTHER_TENANT.scope]["hits"]) == (1, 0)
        assert svm.parts.protection.counts["digests"] == 2


async def test_what_changes_for_one_tenant_concerns_no_other(tmp_path: Path) -> None:
    """The engines of a newer generation find what is in one tenant's file: only its guests hear of it."""
    async with running_svm(tmp_path) as svm:
        protection, told = svm.parts.protection, list[tuple[int, bool, bool]]()
        before = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, protection.generation + 1, 3600)
        svm.parts.store.put(*EICAR_KEY, before)
        protection.on_changed.append(
            lambda scope, _digest, concerns: told.append((scope, concerns(GUEST), concerns(OTHER_TENANT)))
        )
        await scan(svm, EICAR)
        assert told == [(GUEST.scope, True, False)]
        assert protection.void_digests(GUEST.scope) == {digest_of(EICAR)}
        assert protection.void_digests(OTHER_TENANT.scope) == set()
