"""Tests of appliance/ksn/feed.py, with a service whose changes the test gives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.feed import EARLY_SECONDS, ChangeFeed, Timing, rest_until
from appliance.ksn.pacing import Pace, PaceTerms
from appliance.ksn.reputation import Call, Changes, Flip, Request, Trouble
from appliance.ksn.zones import Zone
from tests.support.svm import until

ASKER = Asker(16, "default", "svm", KsnType.PRIVATE, Mode.STANDARD, 1)
FLIP = Flip(Call.HASH, "ab" * 32, Zone.RED)


class Service:
    """Answers as the test says, then waits for ever."""

    def __init__(self, *answers: Changes | Unknown) -> None:
        """answers: one after another. seconds: that each takes."""
        self.answers = iter(answers)
        self.seconds = 0.0
        self.requests: list[Request] = []

    @property
    def positions(self) -> list[str]:
        """From which was asked."""
        return [dict(request.fields)["position"] for request in self.requests]


class Followed:
    """A feed on a clock of its own, and what it told.

    rests: how many seconds it waited, each time. asked_at: when.
    """

    def __init__(self, service: Service, position: int | None = 5) -> None:
        """position: that was kept."""
        self.service = service
        self.now = 1000.0
        self.asker: Asker | None = ASKER
        self.flips: list[Flip] = []
        self.told: list[str] = []
        self.rests: list[float] = []
        self.asked_at: list[float] = []
        self.kept = position
        self.rest: Callable[[float, asyncio.Event], Awaitable[None]] = self._pass
        self.feed = ChangeFeed(
            self,  # type: ignore[arg-type]  # the one method that is used
            lambda: self.asker,
            self.flips.append,
            lambda: self.kept,
            self._keep,
            Timing(Pace(PaceTerms(), lambda: self.now, lambda: 0.0), lambda: self.now, self._rest),
        )
        self.feed.obstacle.on_change = self.told.append

    async def watch(self, _asker: Asker, request: Request, _seconds: float) -> Changes | Unknown:
        """As Asking does."""
        self.asked_at.append(self.now)
        self.service.requests.append(request)
        self.now += self.service.seconds
        answer = next(self.service.answers, None)
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    async def _keep(self, position: int) -> None:
        self.kept = position

    async def _rest(self, seconds: float, event: asyncio.Event) -> None:
        self.rests.append(seconds)
        await self.rest(seconds, event)

    async def _pass(self, seconds: float, _event: asyncio.Event) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def following(service: Service, position: int | None = 5) -> AsyncIterator[Followed]:
    """A feed that runs."""
    followed = Followed(service, position)
    task = asyncio.get_running_loop().create_task(followed.feed.run())
    yield followed
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_changes_are_told_and_the_position_is_kept() -> None:
    """It goes on from there; of addresses as well as of files."""
    other = Flip(Call.URL, "http://a.example/", Zone.RED)
    service = Service(Changes(7, True, (FLIP, other)), Changes(9))
    async with following(service) as followed:
        await until(lambda: len(service.requests) == 3, "it waits for more")
        assert (followed.flips, followed.kept, followed.feed.heard) == ([FLIP, other], 9, 2)
        assert service.positions == ["5", "7", "9"]


async def test_the_first_time_it_begins_with_what_comes() -> None:
    """Nothing was kept before, so nothing can have been missed."""
    service = Service(Changes(41, lost=True))
    async with following(service, None) as followed:
        await until(lambda: len(service.requests) == 2, "it waits for more")
        assert service.positions[1] == "41"
        assert (followed.kept, followed.feed.lost) == (41, 0)


async def test_changes_that_were_missed_are_counted() -> None:
    """The service keeps only so many."""
    service = Service(Changes(41, lost=True))
    async with following(service) as followed:
        await until(lambda: len(service.requests) == 2, "it waits for more")
        assert followed.feed.lost == 1


async def test_a_failure_is_a_pause() -> None:
    """It says why, once, and tries again; and once that it is over."""
    service = Service(*[Unknown(Trouble.UNREACHABLE, "nobody there")] * 2, Changes(6))
    async with following(service) as followed:
        await until(lambda: len(service.requests) == 4, "it waits for more")
        assert followed.rests == [1.0, 2.0]
        assert followed.told == ["nobody there", ""]
        assert followed.feed.obstacle.sentence == ""


async def test_after_an_outage_a_change_is_heard_within_seconds() -> None:
    """However long it was, the pauses stay short."""
    service = Service(*[Unknown(Trouble.UNREACHABLE, "nobody there")] * 100, Changes(6, flips=(FLIP,)))
    async with following(service) as followed:
        await until(lambda: followed.flips == [FLIP], "it is heard")
        assert max(followed.rests) <= 8


@pytest.mark.parametrize(
    "told",
    [
        [Changes(5)] * 1000,
        [Changes(5, more=True)] * 1000,
        [Changes(5, more=True, flips=(FLIP,))] * 1000,
        [Changes(5, lost=True)] * 1000,
        [Changes(position, more=True, flips=(FLIP,)) for position in range(6, 1006)],
        [Changes(5 + number % 2, lost=True) for number in range(1000)],
    ],
    ids=["nothing", "more", "the same", "lost", "endless", "to and fro"],
)
async def test_no_service_can_have_itself_asked_without_end(told: list[Changes]) -> None:
    """One that answers at once, whatever it says, is asked some times a minute."""
    service = Service(*told)
    service.seconds = 0.0025
    async with following(service) as followed:
        await until(lambda: followed.now > 1000 + 600, "ten minutes are over")
        for began in followed.asked_at:
            assert sum(began <= at < began + 60 for at in followed.asked_at) <= 60


async def test_one_that_does_not_wait_is_asked_every_few_seconds() -> None:
    """One that does is asked again at once."""
    service = Service(*[Changes(5)] * 6)
    async with following(service) as followed:
        await until(lambda: len(service.requests) == 7, "it waits for more")
        assert followed.rests == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    service = Service(*[Changes(5)] * 6)
    service.seconds = EARLY_SECONDS
    async with following(service) as followed:
        await until(lambda: len(service.requests) == 7, "it waits for more")
        assert followed.rests == []


@pytest.mark.parametrize("why", [Trouble.NOT_OFFERED, Trouble.REFUSED])
async def test_a_service_that_tells_of_none_is_asked_again_after_an_hour(why: Trouble) -> None:
    """Until then it is said why, and that the provider can have it asked at once."""
    service = Service(Unknown(why, "it tells of none"))
    async with following(service) as followed:
        await until(lambda: len(service.requests) == 2, "it is asked again")
        assert followed.rests == [3600.0]
        (told,) = followed.told
        assert told.startswith("it tells of none; it is asked again after an hour")
        assert "svm signatures reload" in told
        assert followed.feed.obstacle.sentence == told
        assert followed.feed.offered == (why is not Trouble.NOT_OFFERED)


async def test_a_provider_need_not_wait_for_that() -> None:
    """It is asked when he says so, and left alone again for an hour where it says the same."""
    service = Service(*[Unknown(Trouble.NOT_OFFERED, "it tells of none")] * 2)
    followed = Followed(service)
    followed.rest = rest_until
    task = asyncio.get_running_loop().create_task(followed.feed.run())
    await until(lambda: followed.rests == [3600.0], "it is left alone")
    followed.feed.ask_again()
    await until(lambda: followed.rests == [3600.0, 3600.0], "it is left alone again")
    assert len(service.requests) == 2
    task.cancel()


async def test_while_nobody_takes_part_nothing_is_asked() -> None:
    """And as soon as somebody does, it begins."""
    service = Service(Unknown(Trouble.WITHDRAWN, "no more"))
    followed = Followed(service)
    followed.asker = None
    task = asyncio.get_running_loop().create_task(followed.feed.run())
    await until(lambda: len(followed.rests) > 3, "it looks now and then")
    assert service.requests == []
    followed.asker = ASKER
    await until(lambda: len(service.requests) == 2, "it asks, also after it was withdrawn")
    task.cancel()
