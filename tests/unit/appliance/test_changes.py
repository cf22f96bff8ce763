"""Changes that are made whole, whoever goes away meanwhile."""

import asyncio

import pytest

from appliance.changes import Changes


class Disk:
    """A change that waits for the disk. made: how many were."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.made = 0

    async def change(self) -> int:
        """Make it; how many were made by then."""
        await self.is_there.wait()
        self.made += 1
        return self.made

    async def fail(self) -> int:
        """Wait in vain."""
        await self.is_there.wait()
        raise ZeroDivisionError


async def test_a_change_returns_and_raises_what_it_did() -> None:
    """As if it were awaited; nothing is under way then."""
    disk, changes = Disk(), Changes()
    disk.is_there.set()
    assert await changes.whole(disk.change()) == 1
    with pytest.raises(ZeroDivisionError):
        await changes.whole(disk.fail())
    await changes.finish()


@pytest.mark.parametrize("fails", [False, True])
async def test_who_goes_away_is_let_go_when_the_change_is_over(fails: bool) -> None:
    """However often he is cancelled; nobody hears then what became of it."""
    disk, changes = Disk(), Changes()
    asking = asyncio.get_running_loop().create_task(changes.whole(disk.fail() if fails else disk.change()))
    for _ in range(3):
        await asyncio.sleep(0)
        asking.cancel()
    await asyncio.sleep(0)
    assert not asking.done()
    disk.is_there.set()
    await changes.finish()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert disk.made == (not fails)
