"""In which order changes of the register are made."""

import asyncio
from collections.abc import Hashable

from appliance.identity.order import Order


class Desk:
    """Those who ask, and who has had a turn so far."""

    def __init__(self) -> None:
        self.order = Order()
        self.had: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, name: str, who: Hashable = "", ends: bool = False) -> asyncio.Task[None]:
        """Somebody who asks, and waits where another has the turn."""
        self.tasks.append(asyncio.get_running_loop().create_task(self._turn(name, who, ends)))
        await asyncio.sleep(0)
        return self.tasks[-1]

    async def _turn(self, name: str, who: Hashable, ends: bool) -> None:
        async with self.order.turn(who, ends):
            self.had.append(name)
            await asyncio.sleep(0)

    async def all_had(self) -> list[str]:
        """Who had a turn, in order, once all had one or went away."""
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.had


async def test_one_at_a_time() -> None:
    """In the order in which they asked, where nothing else decides."""
    desk = Desk()
    async with desk.order.turn("", False):
        for name in "abc":
            await desk.ask(name)
        assert desk.had == []
    assert await desk.all_had() == ["a", "b", "c"]
    await desk.ask("d")
    assert await desk.all_had() == ["a", "b", "c", "d"]


async def test_what_ends_something_comes_first() -> None:
    """Before all that waited already, and only behind what is under way."""
    desk = Desk()
    async with desk.order.turn("", False):
        for name in ("token 1", "token 2"):
            await desk.ask(name)
        for name in ("end 1", "end 2"):
            await desk.ask(name, ends=True)
    assert await desk.all_had() == ["end 1", "end 2", "token 1", "token 2"]


async def test_ends_without_end_do_not_stop_all_else() -> None:
    """While others wait every fourth turn is theirs; where nobody does, ends follow one another."""
    desk = Desk()
    async with desk.order.turn("", False):
        for name in ("t1", "t2"):
            await desk.ask(name)
        for number in range(10):
            await desk.ask(f"e{number}", ends=True)
    had = await desk.all_had()
    assert had == ["e0", "e1", "e2", "t1", "e3", "e4", "e5", "t2", "e6", "e7", "e8", "e9"]


async def test_those_who_ask_take_turns() -> None:
    """Among ends as well: one that asks for many has each other wait for one."""
    for ends in (False, True):
        desk = Desk()
        async with desk.order.turn("", False):
            for name in ("a1", "a2", "a3", "b1", "c1", "c2"):
                await desk.ask(name, name[0], ends)
        assert await desk.all_had() == ["a1", "b1", "c1", "a2", "c2", "a3"]


async def test_who_goes_away_holds_up_nobody() -> None:
    """Neither one that waits, nor one whose turn has just come."""
    desk = Desk()
    async with desk.order.turn("", False):
        gone, late = await desk.ask("gone"), await desk.ask("late")
        await desk.ask("stays")
        gone.cancel()
    late.cancel()  # its turn has come, and it has not begun
    assert await desk.all_had() == ["stays"]
    assert desk.tasks[0].cancelled()
    assert desk.tasks[1].cancelled()
    await desk.ask("after")
    assert await desk.all_had() == ["stays", "after"]


async def test_who_goes_away_costs_those_with_whom_he_takes_turns_nothing() -> None:
    """One that asks and goes away, over and over, is behind nobody for it when it stays."""
    desk = Desk()
    async with desk.order.turn("", False):
        for name in ("a1", "a2", "a3", "b1", "gone"):
            await desk.ask(name, name[0])
        for task in (desk.tasks[0], desk.tasks[1], desk.tasks[4]):
            task.cancel()
        await asyncio.sleep(0)
    assert await desk.all_had() == ["a3", "b1"]


async def test_what_fails_leaves_the_turn_to_others() -> None:
    """The error is its caller's."""
    desk = Desk()
    try:
        async with desk.order.turn("", False):
            await desk.ask("next")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert await desk.all_had() == ["next"]
