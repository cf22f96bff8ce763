"""What is asked about anew after changes were missed."""

import asyncio
from collections.abc import Sequence

import pytest

from appliance.domain.guest import Guest
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.ksn import relearning
from appliance.ksn.relearning import Relearning
from tests.support.scanning import until

PASSED = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 0)


class Bench:
    """Verdicts of two scopes, and who is to ask about them; `room` is how many may wait with him."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bytes]] = []
        self.waiting = 0
        self.kept: list[bool] = []
        self.verdicts = {scope: [bytes([scope, number]) for number in range(5)] for scope in (16, 17)}
        self.relearning = Relearning(self, lambda: [16, 17], self.page, self.keep)

    def scanned(self, guest: Guest, digest: bytes, answer: Verdict) -> None:
        """See relearning.Asks."""
        assert answer == PASSED
        self.asked.append((guest.scope, digest))

    def __len__(self) -> int:
        return self.waiting

    def page(
        self, scope: int, start: bytes, count: int
    ) -> tuple[Sequence[tuple[bytes, Verdict]], bytes | None]:
        """See Relearning."""
        left = [digest for digest in self.verdicts[scope] if digest >= start]
        found = [(digest, PASSED) for digest in left[:count]]
        return found, left[count] if len(left) > count else None

    async def keep(self, begun: bool) -> None:
        """See Relearning."""
        self.kept.append(begun)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two verdicts are read at a time, and nobody waits long."""
    monkeypatch.setattr(relearning, "AT_ONCE", 2)
    monkeypatch.setattr(relearning, "_IDLE_SECONDS", 0.001)
    return Bench()


async def test_all_that_was_passed_is_handed_over_and_it_is_kept_that_this_is_done(bench: Bench) -> None:
    """Of every scope, each once; and not again until that is wanted."""
    running = asyncio.get_running_loop().create_task(bench.relearning.run())
    await asyncio.sleep(0.01)
    assert (bench.asked, bench.kept) == ([], [])
    bench.relearning.begin()
    await until(lambda: bench.kept == [True, False], "everything was gone through")
    assert bench.asked == [(scope, digest) for scope in (16, 17) for digest in bench.verdicts[scope]]
    assert bench.relearning.counts == {"begun": 1, "looked_at": 10}
    running.cancel()


async def test_it_waits_where_many_wait_already(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is handed over that would push something else out."""
    monkeypatch.setattr(relearning, "MOST_WAITING", 3)
    bench.waiting = 3
    bench.relearning.begin()
    running = asyncio.get_running_loop().create_task(bench.relearning.run())
    await until(lambda: bench.kept == [True], "it has begun")
    await asyncio.sleep(0.02)
    assert bench.asked == []
    bench.waiting = 0
    await until(lambda: bench.kept == [True, False], "everything was gone through")
    assert len(bench.asked) == 10
    running.cancel()


async def test_what_is_missed_meanwhile_begins_it_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not done before everything was gone through after the last time."""
    monkeypatch.setattr(relearning, "MOST_WAITING", 3)
    bench.waiting = 3
    bench.relearning.begin()
    running = asyncio.get_running_loop().create_task(bench.relearning.run())
    await until(lambda: bench.kept == [True], "it has begun")
    bench.relearning.begin()
    await until(lambda: bench.kept == [True, True], "it has begun anew")
    bench.waiting = 0
    await until(lambda: bench.kept == [True, True, False], "everything was gone through")
    assert len(bench.asked) == 10
    running.cancel()
