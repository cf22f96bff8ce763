"""Asking later; with a real service it is in tests/integration/test_ksn_later.py."""

from dataclasses import replace

import pytest

from appliance.domain.guest import Guest
from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.verdict import NoAnswer, Verdict
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.later import LASTING, Later, LaterTerms
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Answer, Call, Subject, Trouble
from appliance.ksn.zones import Zone
from tests.unit.appliance.ksn.test_participation import TERMS, policy

CLEAR = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600)
GUEST = Guest("uid-7.pid-1", 16)
RED = Answer(Zone.RED, "Threat")
FAILED = Unknown(Trouble.TIMED_OUT, "the service did not answer")
TERMS_LATER = LaterTerms(most=4, after_seconds=10, again_seconds=60, pace_seconds=1, idle_seconds=5)
PASSING = (Trouble.PAUSED, Trouble.QUOTA, Trouble.TIMED_OUT, Trouble.BUSY, Trouble.UNREACHABLE)


def digest(number: int) -> bytes:
    """One of many."""
    return number.to_bytes(32, "big")


class Bench:
    """A Later, and a service that the test answers for."""

    def __init__(self) -> None:
        """Everything is open still, and KSN says Red."""
        self.now = 1000.0
        self.says: Answer | Unknown = RED
        self.room = True
        self.settled: set[tuple[int, bytes]] = set()
        self.asked: list[tuple[Asker, bytes]] = []
        self.participants = Participants(TERMS, [policy(), policy(tenant="another", scope=17)])
        self.later = Later(
            self, self.participants, lambda *key: key not in self.settled, lambda: self.now, TERMS_LATER
        )

    def has_room_behind(self, asker: Asker) -> bool:
        """What the test says."""
        assert asker.standing is Standing.LATER
        return self.room

    async def ask(self, asker: Asker, subject: Subject, budget: float) -> Answer | Unknown:
        """Keep it, and say what the test wants; an answer is told, as `Asking` does."""
        assert subject.call is Call.HASH
        self.asked.append((asker, bytes.fromhex(subject.value)))
        if isinstance(self.says, Answer):
            self.later.answered(asker, subject, self.says)
        return self.says

    def scanned(self, *numbers: int, guest: Guest = GUEST) -> None:
        """Have contents scanned in which nothing was found."""
        for number in numbers:
            self.later.scanned(guest, digest(number), CLEAR)

    async def pass_time(self, seconds: float) -> list[int]:
        """Let time pass, and return which were asked about meanwhile."""
        before, end = len(self.asked), self.now + seconds
        while self.now < end:
            self.now += await self.later.ask_next() or 0.001
        return [int.from_bytes(each, "big") for _, each in self.asked[before:]]


@pytest.fixture
def bench() -> Bench:
    """With nothing noted yet."""
    return Bench()


async def test_what_was_scanned_without_an_answer_is_asked_about_after_a_while(bench: Bench) -> None:
    """Once, on behalf of the guest whose content it was."""
    bench.scanned(1)
    assert await bench.pass_time(9) == []
    assert await bench.pass_time(1000) == [1]
    assert (bench.asked[0][0].guest, bench.asked[0][0].scope) == (GUEST.id, 16)
    assert bench.later.counts == {"noted": 1, "asked": 1, "answered": 1, "dropped": 0}
    assert len(bench.later) == 0


@pytest.mark.parametrize(
    "answer",
    [
        NoAnswer(Unanswered.TIMED_OUT, "too slow"),
        replace(CLEAR, disposition=Disposition.MALICIOUS, threat="T", engine="e"),
        replace(CLEAR, source=Source.KSN),
        replace(CLEAR, source=Source.OVERRIDE),
    ],
    ids=["no verdict", "found here", "KSN has spoken", "an administrator has decided"],
)
async def test_only_what_engines_found_nothing_in_is(bench: Bench, answer: Verdict | NoAnswer) -> None:
    """All else is settled, or is asked about by the next guest anyway."""
    bench.later.scanned(GUEST, digest(1), answer)
    assert await bench.pass_time(1000) == []


async def test_what_ksn_has_spoken_of_is_not_asked_about(bench: Bench) -> None:
    """Whether it had before the scan was over, or has since, to whomever."""
    bench.settled.add((16, digest(1)))
    bench.scanned(1, 2, 3)
    asker = bench.participants.asker(GUEST)
    assert asker is not None
    bench.later.answered(asker, Subject(Call.HASH, digest(2).hex()), Answer(Zone.GREY))
    bench.later.answered(asker, Subject(Call.DOMAIN, "example.com"), RED)
    bench.settled.add((16, digest(3)))
    assert await bench.pass_time(1000) == []
    assert len(bench.later) == 0


@pytest.mark.parametrize("why", PASSING)
async def test_a_reason_that_passes_has_it_asked_again(bench: Bench, why: Trouble) -> None:
    """Not at once, and until there is an answer."""
    bench.later.unanswered(16, digest(1), why)
    bench.says = Unknown(why, "not now")
    bench.scanned(1)
    assert await bench.pass_time(69) == [1]
    assert await bench.pass_time(60) == [1]
    bench.says = RED
    assert await bench.pass_time(1000) == [1]


@pytest.mark.parametrize("why", sorted(LASTING))
async def test_a_reason_that_lasts_does_not(bench: Bench, why: Trouble) -> None:
    """Neither after a guest's question nor after one of these."""
    bench.later.unanswered(16, digest(1), why)
    bench.scanned(1, 2)
    bench.says = Unknown(why, "never")
    assert await bench.pass_time(1000) == [2]
    bench.scanned(1, 2)
    assert len(bench.later) == 0


async def test_nothing_is_asked_while_there_is_no_room(bench: Bench) -> None:
    """Guests go first; it is kept."""
    bench.room = False
    bench.scanned(1)
    assert await bench.pass_time(1000) == []
    bench.room = True
    assert await bench.pass_time(10) == [1]


async def test_one_question_follows_another_slowly(bench: Bench) -> None:
    """At the pace that is set."""
    bench.scanned(1, 2, 3)
    bench.now += 10
    assert await bench.later.ask_next() == TERMS_LATER.pace_seconds
    assert len(bench.asked) == 1


async def test_withdrawn_consent_drops_what_waits_for_that_tenant_alone(bench: Bench) -> None:
    """It is not asked about when the tenant takes part again either; nor what is under way then."""
    bench.scanned(1, 2)
    bench.scanned(3, guest=Guest("uid-7.pid-1", 17))
    bench.participants.put(policy(active=False))
    bench.later.withdraw(16)
    assert len(bench.later) == 1
    bench.participants.put(policy())
    bench.later.withdraw(16)
    assert await bench.pass_time(1000) == [3]
    bench.says = Unknown(Trouble.WITHDRAWN, "takes part no more")
    bench.scanned(4)
    await bench.pass_time(1000)
    assert len(bench.later) == 0


async def test_who_takes_part_no_more_is_not_asked_for(bench: Bench) -> None:
    """The gate is looked at again; and what is scanned meanwhile is not noted."""
    bench.scanned(1)
    bench.participants.put(policy(active=False))
    bench.scanned(2)
    assert await bench.pass_time(1000) == []
    assert len(bench.later) == 0


async def test_users_take_turns(bench: Bench) -> None:
    """Who has one digest waits for no more than one of another's; eight processes have one turn."""
    bench.scanned(1)
    bench.scanned(2, guest=Guest("uid-7.pid-2"))
    bench.scanned(3, guest=Guest("uid-7.pid-3"))
    bench.scanned(4, guest=Guest("uid-8.pid-1"))
    assert await bench.pass_time(1000) == [1, 4, 2, 3]


async def test_what_is_remembered_is_bounded(bench: Bench) -> None:
    """The oldest of whoever has most is dropped, and counted."""
    bench.scanned(9, guest=Guest("uid-8.pid-1"))
    bench.scanned(*range(5))
    assert (len(bench.later), bench.later.counts["dropped"]) == (4, 2)
    assert sorted(await bench.pass_time(1000)) == [2, 3, 4, 9]
    for number in range(10):
        bench.later.unanswered(16, digest(number), Trouble.BAD_QUERY)
    assert len(bench.later._useless) == TERMS_LATER.most


async def test_a_content_is_noted_once(bench: Bench) -> None:
    """However often it is scanned."""
    bench.scanned(1, 1)
    assert await bench.pass_time(1000) == [1]
    assert bench.later.counts["noted"] == 1
