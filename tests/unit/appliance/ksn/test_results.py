"""What became of content that was handed over."""

import pytest

from appliance.domain.guest import Guest
from appliance.domain.policy import Mode
from appliance.ksn import results
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.reputation import Answer, Call, Subject, Trouble
from appliance.ksn.results import WAITS, Results
from appliance.ksn.zones import Zone
from tests.unit.appliance.ksn.test_submitting import policies

GUEST = Guest("g", 16)
DIGEST = b"d" * 32
UNKNOWN = Answer(Zone.GREY)


class Bench:
    """Results, and a service that says what the test wants."""

    def __init__(self) -> None:
        """Two tenants in extended mode."""
        self.now = 0.0
        self.says: Answer | Unknown = UNKNOWN
        self.asked: list[tuple[float, str, Subject]] = []
        self.participants = policies()
        self.results = Results(self, self.participants, lambda: self.now)

    async def ask(self, asker: Asker, subject: Subject, budget: float) -> Answer | Unknown:
        """See results.Asks."""
        assert asker.standing is Standing.CONTENT
        self.asked.append((self.now, asker.tenant, subject))
        return self.says

    async def pass_time(self, seconds: float) -> None:
        """Ask about all that becomes due."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 30)
            while await self.results.ask_next():
                pass


@pytest.fixture
def bench() -> Bench:
    """One of the test's own."""
    return Bench()


async def test_it_is_asked_a_few_times_further_and_further_apart(bench: Bench) -> None:
    """By the digest, on behalf of the tenant; then no more."""
    bench.results.sent(GUEST, DIGEST)
    await bench.pass_time(3 * sum(WAITS))
    whole = (WAITS[0], WAITS[0] + WAITS[1], sum(WAITS))
    subject = Subject(Call.RESULT, DIGEST.hex())
    assert bench.asked == [(at, policies().asker(GUEST).tenant, subject) for at in whole]  # type: ignore[union-attr]
    assert (len(bench.results), bench.results.counts) == (0, {"asked": 3, "decided": 0})


async def test_an_answer_that_decides_is_the_last(bench: Bench) -> None:
    """Nobody asks about it again."""
    bench.results.sent(GUEST, DIGEST)
    bench.says = Answer(Zone.RED)
    await bench.pass_time(2 * sum(WAITS))
    assert bench.results.counts == {"asked": 1, "decided": 1}


@pytest.mark.parametrize(("why", "times"), [(Trouble.NOT_OFFERED, 1), (Trouble.UNREACHABLE, 3)])
async def test_without_an_answer_it_is_asked_again_where_that_is_of_use(
    bench: Bench, why: Trouble, times: int
) -> None:
    """Not where the service does not tell results."""
    bench.results.sent(GUEST, DIGEST)
    bench.says = Unknown(why, "")
    await bench.pass_time(2 * sum(WAITS))
    assert len(bench.asked) == times


async def test_nobody_asks_for_who_takes_part_no_more(bench: Bench) -> None:
    """Nor for who left extended mode: neither what waits nor what comes due."""
    other = Guest("h", 17)
    bench.results.sent(GUEST, DIGEST)
    bench.results.sent(other, DIGEST)
    bench.results.withdraw(17)
    assert len(bench.results) == 1
    narrower = policies(mode=Mode.STANDARD)
    bench.results = Results(bench, narrower, lambda: bench.now)
    bench.results.sent(GUEST, DIGEST)
    await bench.pass_time(2 * sum(WAITS))
    assert bench.asked == []


def test_what_waits_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes over that is not asked about."""
    monkeypatch.setattr(results, "MOST_WAITING", 2)
    for number in range(5):
        bench.results.sent(GUEST, bytes([number]) * 32)
    assert len(bench.results) == 2
