"""Slots for which owners take turns."""

import asyncio
from contextlib import suppress

import pytest

from appliance.ksn.turns import Turns


class Course:
    """Who had a slot, in order, and who may let go of it."""

    def __init__(self, slots: int) -> None:
        """slots: of the turns."""
        self.turns = Turns(slots)
        self.had: list[str] = []
        self.done: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def want(self, *owners: str) -> None:
        """Have each want a slot, in this order."""
        for owner in owners:
            done = asyncio.Event()
            self.done.append(done)
            self.tasks.append(asyncio.get_running_loop().create_task(self._have(owner, done)))
            await self.settle()

    async def _have(self, owner: str, done: asyncio.Event) -> None:
        async with self.turns.turn(owner):
            self.had.append(owner)
            await done.wait()

    async def let_go(self, number: int) -> None:
        """Have the one that wanted as `number` let go, as soon as it has a slot."""
        self.done[number].set()
        await self.settle()

    async def settle(self) -> None:
        """Let everybody go as far as he can."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Let all go."""
        for done in self.done:
            done.set()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_so_many_at_a_time() -> None:
    """The others wait, and come when somebody lets go."""
    course = Course(2)
    await course.want("a", "b", "c")
    assert (course.had, course.turns.waiting) == (["a", "b"], 1)
    await course.let_go(0)
    assert (course.had, course.turns.waiting) == (["a", "b", "c"], 0)
    await course.finish()


async def test_owners_take_turns() -> None:
    """Who wants one slot is not behind all that another wants."""
    course = Course(1)
    await course.want("greedy", "greedy", "greedy", "greedy", "b", "c", "b")
    await course.finish()
    assert course.had == ["greedy", "greedy", "b", "c", "greedy", "b", "greedy"]


@pytest.mark.parametrize("given", [False, True], ids=["while it waits", "right after it was given a slot"])
async def test_who_is_cancelled_costs_no_slot(given: bool) -> None:
    """Neither while it waits nor when its turn has just come."""
    course = Course(1)
    await course.want("a", "b", "c")
    if given:
        course.tasks[0].cancel()
        await asyncio.sleep(0)  # the slot is b's now, which does not know it yet
    course.tasks[1].cancel()
    await course.settle()
    if not given:
        assert course.turns.waiting == 1
        await course.let_go(0)
    assert course.had == ["a", "c"]
    await course.finish()
    again = Course(1)
    again.turns = course.turns
    await again.want("d")
    assert again.had == ["d"]
    await again.finish()
