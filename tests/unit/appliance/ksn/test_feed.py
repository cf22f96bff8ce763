"""Tests of appliance/ksn/feed.py, with a service whose changes the test gives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn import feed
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.feed import ChangeFeed
from appliance.ksn.reputation import Call, Changes, Flip, Request, Trouble
from appliance.ksn.zones import Zone
from tests.support.svm import until

ASKER = Asker(16, "default", "svm", KsnType.PRIVATE, Mode.STANDARD, 1)
FLIP = Flip(Call.HASH, "ab" * 32, Zone.RED)


class Service:
    """Answers as the test says, then waits for ever."""

    def __init__(self, *answers: Changes | Unknown) -> None:
        """answers: one after another."""
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def watch(self, _asker: Asker, request: Request, _seconds: float) -> Changes | Unknown:
        """As Asking does."""
        self.requests.append(request)
        if not self.answers:
            await asyncio.Event().wait()
        return self.answers.pop(0)

    @property
    def positions(self) -> list[str]:
        """From which was asked."""
        return [dict(request.fields)["position"] for request in self.requests]


class Followed:
    """A feed, and what it told."""

    def __init__(self, service: Service, position: int | None = 5) -> None:
        """position: that was kept."""
        self.asker: Asker | None = ASKER
        self.flips: list[Flip] = []
        self.kept = position
        self.feed = ChangeFeed(
            service,  # type: ignore[arg-type]  # the one method that is used
            lambda: self.asker,
            self.flips.append,
            lambda: self.kept,
            self._keep,
        )

    async def _keep(self, position: int) -> None:
        self.kept = position


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


async def test_a_failure_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says why, and tries again."""
    monkeypatch.setattr(feed, "_PAUSE_SECONDS", 0.01)
    service = Service(Unknown(Trouble.UNREACHABLE, "nobody there"), Changes(6))
    async with following(service) as followed:
        followed.feed._pause = 0.01
        await until(lambda: len(service.requests) >= 1, "it has asked")
        await until(lambda: followed.kept == 6, "it goes on")
        assert followed.feed.trouble == ""


async def test_a_service_that_tells_of_none_is_not_asked_again() -> None:
    """It ends, and says why."""
    service = Service(Unknown(Trouble.NOT_OFFERED, "it tells of none"))
    followed = Followed(service)
    await followed.feed.run()
    assert (len(service.requests), followed.feed.trouble) == (1, "it tells of none")


async def test_while_nobody_takes_part_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """And as soon as somebody does, it begins."""
    monkeypatch.setattr(feed, "_IDLE_SECONDS", 0.01)
    service = Service(Unknown(Trouble.WITHDRAWN, "no more"))
    followed = Followed(service)
    followed.asker = None
    task = asyncio.get_running_loop().create_task(followed.feed.run())
    await asyncio.sleep(0.05)
    assert service.requests == []
    followed.asker = ASKER
    await until(lambda: len(service.requests) == 2, "it asks, also after it was withdrawn")
    task.cancel()
