"""Tests of who reads next."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from guest_stub.hashing import HashResult
from guest_stub.on_access.turns import SMALL_BYTES, THREADS, Turns
from tests.support.held_files import until

ANSWER = HashResult(None, b"")


class Desk:
    """Threads that read until a test lets them go. begun: what is read, in order."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.begun: list[str] = []
        self.go = threading.Semaphore(0)
        self.turns = Turns(executor)
        self.tasks: list[asyncio.Task[HashResult]] = []

    def read(self, name: str, size: int, owner: int) -> "asyncio.Task[HashResult]":
        """Have a file read."""

        def reads() -> HashResult:
            self.begun.append(name)
            self.go.acquire(timeout=60)
            return ANSWER

        task = asyncio.get_running_loop().create_task(self.turns.read(size, owner, reads))
        self.tasks.append(task)
        return task


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """One at rest; all that was begun ends."""
    with ThreadPoolExecutor(THREADS) as executor:
        made = Desk(executor)
        yield made
        made.go.release(1000)
        await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_a_small_file_finds_a_thread_among_any_number_of_large_ones(desk: Desk) -> None:
    """One is left for it."""
    for number in range(50):
        desk.read(f"large {number}", SMALL_BYTES, 1000)
    await until(lambda: len(desk.begun) == THREADS - 1)
    desk.read("small", 10, 0)
    await until(lambda: "small" in desk.begun)


async def test_a_large_file_finds_a_thread_among_any_number_of_small_ones(desk: Desk) -> None:
    """The next that is free; the others are left to small ones."""
    for number in range(50):
        desk.read(f"small {number}", SMALL_BYTES - 1, 1000)
    await until(lambda: len(desk.begun) == THREADS)
    desk.read("large", SMALL_BYTES, 0)
    desk.read("another large one", SMALL_BYTES, 0)
    await asyncio.sleep(0)
    desk.go.release()
    await until(lambda: len(desk.begun) == THREADS + 1)
    assert desk.begun[-1] == "large"


async def test_neither_kind_starves_the_other_where_both_come_without_end(desk: Desk) -> None:
    """Each has a thread at the least, whoever waits; its owners take turns."""
    for number in range(50):
        desk.read(f"his small {number}", 10, 1000)
        desk.read(f"his large {number}", SMALL_BYTES, 1000)
    await until(lambda: len(desk.begun) == THREADS)
    desk.read("my small", 10, 1001)
    desk.read("my large", SMALL_BYTES, 1001)
    await asyncio.sleep(0)
    for number in range(5 * THREADS):
        desk.go.release()
        await until(lambda number=number: len(desk.begun) == THREADS + number + 1)  # type: ignore[misc]
        assert 1 <= desk.turns._reading[True] <= THREADS - 1
    assert {"my small", "my large"} <= set(desk.begun)


async def test_owners_take_turns(desk: Desk) -> None:
    """Who has many files to be read waits for those who have few."""
    for number in range(20):
        desk.read(f"his {number}", 10, 1000)
    await until(lambda: len(desk.begun) == THREADS)
    desk.read("mine", 10, 1001)
    desk.read("mine too", 10, 1001)
    await asyncio.sleep(0)
    for _ in range(4):
        begun = len(desk.begun)
        desk.go.release()
        await until(lambda begun=begun: len(desk.begun) > begun)  # type: ignore[misc]
    assert {"mine", "mine too"} <= set(desk.begun)


async def test_who_gives_up_leaves_his_turn(desk: Desk) -> None:
    """Whether he waits for it or has it."""
    for number in range(THREADS):
        desk.read(f"first {number}", 10, 0)
    await until(lambda: len(desk.begun) == THREADS)
    given_up, other = desk.read("given up", 10, 0), desk.read("other", 10, 0)
    await asyncio.sleep(0)
    given_up.cancel()
    desk.go.release(THREADS + 1)
    assert await asyncio.wait_for(other, 60) is ANSWER
    assert "given up" not in desk.begun
    await until(lambda: desk.turns._reading == {False: 0, True: 0})
