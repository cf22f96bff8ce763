"""What the sessions of one guest have together."""

import asyncio

from appliance.rpc.share import REMEMBERED_SECONDS, Pace, Share, Shares


class Clock:
    """Time that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


async def waits(pace: Pace, cost: float, stands_back: bool) -> bool:
    """Whether a message has to wait; it is given up then."""
    slowed: list[bool] = []
    task = asyncio.get_running_loop().create_task(pace.take(cost, stands_back, lambda: slowed.append(True)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return bool(slowed)


async def test_programs_beside_the_daemon_do_not_spend_its_half() -> None:
    """Those that wait for their own half have not taken anything of what is common yet."""
    clock = Clock()
    pace = Pace(20, clock)
    clock.now += 5
    assert not await waits(pace, 10, stands_back=True)
    for _ in range(50):
        assert await waits(pace, 5, stands_back=True)
    assert not await waits(pace, 10, stands_back=False)
    assert await waits(pace, 1, stands_back=False)


def test_shares_of_those_who_went_are_few_and_not_kept_long() -> None:
    """Of more than there may be the latest stay; after a while nobody is remembered; no gatherer stays."""
    clock = Clock()
    shares = Shares(2, clock)
    left = {name: Share() for name in "abc"}
    for name, share in left.items():
        shares.leave(name, share)
    assert len(shares) == 2
    assert shares.come("a") is not left["a"]
    assert shares.come("b") is left["b"]
    clock.now += REMEMBERED_SECONDS
    assert shares.come("c") is not left["c"]
    assert len(shares) == 0
