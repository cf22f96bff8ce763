"""What the guests of one tenant have together."""

import asyncio

from appliance.rpc.tenants import TenantPace
from tests.support.svm import until


class Clock:
    """The loop's time, and a way to move on."""

    ahead = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return asyncio.get_running_loop().time() + self.ahead


async def test_guests_of_a_tenant_take_turns_over_its_pace() -> None:
    """Who asks for little waits for one message of others, and not for all that one of them has sent."""
    pace = TenantPace(1000, Clock())
    passed: list[str] = []

    async def send(guest: str, cost: float) -> None:
        await pace.take(guest, cost, lambda: None)
        passed.append(guest)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(send("loud", 1020))
        await until(lambda: len(pace._waiting.get("loud", ())) == 4, "the first has passed, the others wait")
        group.create_task(send("quiet", 1))
    assert passed[:3] in (["loud", "quiet", "loud"], ["loud", "loud", "quiet"])
    assert sorted(passed) == ["loud"] * 5 + ["quiet"]
    assert not pace._waiting


async def test_within_the_pace_nobody_waits() -> None:
    """A second's worth passes at once, and is told to nobody."""
    pace, slowed = TenantPace(1000, Clock()), []
    for number in range(100):
        await pace.take(str(number), 10, lambda: slowed.append(1))
    assert slowed == []


async def test_who_gives_up_waiting_costs_nothing() -> None:
    """It is out of the queue, and the next one's turn comes when it would have come."""
    clock = Clock()
    pace, slowed = TenantPace(1, clock), []
    await pace.take("a", 100, lambda: slowed.append(1))
    tasks = [
        asyncio.get_running_loop().create_task(pace.take("a", 9, lambda: slowed.append(1))) for _ in "ab"
    ]
    await until(lambda: len(slowed) == 2, "both wait")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not pace._waiting
    clock.ahead += 200
    await pace.take("b", 1, lambda: slowed.append(1))
    assert len(slowed) == 2
