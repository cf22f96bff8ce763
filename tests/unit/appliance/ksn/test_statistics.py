"""Tests of appliance/ksn/statistics.py."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.domain.policy import Decision, KsnType, Mode
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Call, Request, Trouble
from appliance.ksn.statistics import SENDER, Figures, Statistics
from tests.unit.appliance.ksn.test_participation import TERMS, consent, policy

NEVER_TOOK_PART = 18


class Bench:
    """Two tenants that take part and one that does not, with what they have done and what is sent of it."""

    def __init__(self, capabilities: frozenset[Call] = frozenset(Call)) -> None:
        """capabilities: of the service."""
        self.now = 1000.0
        self.done = {16: Figures(100, 1, 10), 17: Figures(), NEVER_TOOK_PART: Figures()}
        self.sent: list[tuple[Asker, Request]] = []
        self.says: Unknown | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.participants = Participants(TERMS, [policy(), policy(tenant="another", scope=17)])
        self.statistics = Statistics(
            self, capabilities, self.participants, lambda scope: self.done[scope], lambda: self.now
        )

    def trouble(self, asker: Asker | None = None, call: Call = Call.HASH) -> Unknown | None:
        """Nothing is in the way."""
        return None

    async def send(self, asker: Asker, request: Request, seconds: float) -> Unknown | None:
        """Keep it, and say what the test wants."""
        self.sent.append((asker, request))
        self.meanwhile()
        return self.says

    def do(self, scope: int, checked: int, detected: int = 0, asked: int = 0) -> None:
        """Let a tenant have done more."""
        before = self.done[scope]
        self.done[scope] = Figures(before.checked + checked, before.detected + detected, before.asked + asked)

    async def report(self, after: float = 3600.0) -> list[dict[str, str]]:
        """Report when so many seconds have passed; what is sent."""
        self.now += after
        self.sent.clear()
        await self.statistics.report()
        return [dict(request.fields) for _, request in self.sent]


def fields(period: int, checked: int, detected: int = 0, asked: int = 0) -> dict[str, str]:
    """What a report says, by the Statement's names."""
    names = ("period", "files checked", "threats found", "questions asked")
    return dict(zip(names, map(str, (period, checked, detected, asked)), strict=True))


async def test_a_tenants_report_says_what_came_since_the_last_one() -> None:
    """Not what was counted before, in its own name, in its mode, and by the Statement's names."""
    bench = Bench()
    bench.do(16, 5, 1, 2)
    assert await bench.report() == [fields(3600, 5, 1, 2)]
    ((asker, request),) = bench.sent
    assert (asker.scope, asker.tenant, asker.guest, asker.type) == (16, "default", SENDER, KsnType.PRIVATE)
    assert (request.call, request.mode, request.part) == (Call.STATISTICS, Mode.STANDARD, None)
    bench.do(16, 7)
    assert await bench.report(60.4) == [fields(60, 7)]
    assert bench.statistics.counts == {"sent": 2, "failed": 0}


async def test_each_tenant_that_takes_part_is_reported_by_itself() -> None:
    """One report each; of who takes no part nothing is said to anybody."""
    bench = Bench()
    for scope, checked in ((16, 1), (17, 2), (NEVER_TOOK_PART, 4)):
        bench.do(scope, checked)
    assert await bench.report() == [fields(3600, 1), fields(3600, 2)]
    assert [asker.tenant for asker, _ in bench.sent] == ["default", "another"]


async def test_where_nothing_was_done_nothing_is_sent() -> None:
    """The next report covers that time as well."""
    bench = Bench()
    assert await bench.report() == []
    bench.do(17, 1)
    assert await bench.report() == [fields(7200, 1)]


async def test_a_report_that_failed_leaves_its_figures_to_the_next() -> None:
    """Nothing is lost, nothing is told twice, and the status can say what was in the way."""
    bench = Bench()
    bench.do(16, 3, asked=1)
    bench.says = Unknown(Trouble.PAUSED, "it is left alone")
    await bench.report()
    assert (bench.statistics.counts, bench.statistics.obstacle.sentence) == (
        {"sent": 0, "failed": 1},
        "it is left alone",
    )
    bench.says = None
    bench.do(16, 2, 1)
    assert await bench.report() == [fields(7200, 5, 1, 1)]
    assert bench.statistics.obstacle.sentence == ""
    assert await bench.report() == []


async def test_a_service_that_does_not_take_statistics_is_sent_none() -> None:
    """The status says so."""
    bench = Bench(frozenset(Call) - {Call.STATISTICS})
    bench.do(16, 1)
    assert await bench.report() == []
    assert "does not take usage statistics" in bench.statistics.not_taken


async def test_a_service_that_turns_out_not_to_take_statistics_is_left_alone_for_an_hour() -> None:
    """It is tried once, whoever's report it was; what is told then covers all of the time."""
    bench = Bench()
    told: list[str] = []
    bench.statistics.obstacle.on_change = told.append
    assert bench.statistics.not_taken == ""
    bench.do(16, 1)
    bench.do(17, 1)
    bench.says = Unknown(Trouble.NOT_OFFERED, "it does not take statistics")
    assert len(await bench.report()) == 1
    assert await bench.report(3599.0) == []
    assert "does not take usage statistics" in bench.statistics.not_taken
    assert "after an hour" in bench.statistics.not_taken
    bench.says = None
    assert await bench.report(1.0) == [fields(7200, 1), fields(7200, 1)]
    assert bench.statistics.not_taken == ""
    assert told == [told[0], ""]
    assert "does not take usage statistics" in told[0]


async def test_a_service_that_took_no_statistics_is_tried_again_when_told() -> None:
    """With the next report, without waiting for the hour."""
    bench = Bench()
    bench.do(16, 1)
    bench.says = Unknown(Trouble.NOT_OFFERED, "it does not take statistics")
    await bench.report()
    bench.says = None
    assert await bench.report(1.0) == []
    bench.statistics.ask_again()
    assert await bench.report(1.0) == [fields(3602, 1)]


@pytest.mark.parametrize("told", [True, False])
async def test_what_was_done_without_taking_part_is_never_told(told: bool) -> None:
    """Neither of the time before it is accepted, nor of that after it is declined and accepted again."""
    bench = Bench()
    bench.do(16, 1000)
    bench.participants.put(policy(decided={KsnType.PRIVATE: consent(Decision.DECLINE)}))
    if told:
        bench.statistics.withdraw(16)
    bench.do(16, 100)
    assert await bench.report() == []
    bench.participants.put(policy())
    if told:
        bench.statistics.withdraw(16)
        bench.do(16, 10)
        assert await bench.report() == [fields(3600, 10)]
    else:
        bench.do(16, 10)
        assert await bench.report() == []
    bench.do(16, 1)
    assert await bench.report() == [fields(3600, 1)]


async def test_terms_that_change_while_a_report_is_under_way_begin_anew() -> None:
    """What was done before they changed is not told later."""
    bench = Bench()
    bench.do(16, 5)

    def begin_anew() -> None:
        bench.do(16, 100)
        bench.statistics.withdraw(16)

    bench.meanwhile = begin_anew
    await bench.report()
    bench.meanwhile = lambda: None
    bench.do(16, 3)
    assert await bench.report() == [fields(3600, 3)]


async def test_the_mode_that_is_in_force_is_the_reports() -> None:
    """A tenant in extended mode reports in extended mode."""
    bench = Bench()
    bench.participants.terms = replace(TERMS, mode_limit=Mode.EXTENDED)
    bench.participants.put(policy(mode=Mode.EXTENDED))
    bench.do(16, 1)
    assert await bench.report() == [fields(3600, 1)]
    assert bench.sent[0][1].mode is Mode.EXTENDED
