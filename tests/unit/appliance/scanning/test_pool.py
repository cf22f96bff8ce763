"""Tests of appliance/scanning/pool.py: odd workers behind a real pool."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from appliance.config import ScanningSettings
from appliance.domain.guest import Owner
from appliance.domain.outcome import Unanswered
from appliance.scanning.pool import QUEUE_SECONDS, Pool
from appliance.scanning.result import ScanResult
from tests.support.scanning import (
    DEADLINE,
    content,
    descendants,
    kill,
    odd_crew,
    scanned,
    until,
    workers_below,
)


class Clock:
    """The real clock, and a way to move on."""

    ahead = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead


@asynccontextmanager
async def pool_of(
    count: int = 1, settings: ScanningSettings | None = None, clock: Clock | None = None
) -> AsyncIterator[Pool]:
    """A pool with a crew of odd workers; afterwards no process is left."""
    pool = Pool(settings or ScanningSettings(), clock or time.monotonic)
    crew = odd_crew(pool, count)
    await asyncio.wait_for(crew.start(), DEADLINE)
    crew.generation = 7
    pool.use(crew)
    try:
        yield pool
    finally:
        await pool.close()
        assert not descendants()


def scan_soon(pool: Pool, data: bytes) -> asyncio.Task[ScanResult]:
    """A scan in a task of its own."""
    return asyncio.get_running_loop().create_task(scanned(pool, data))


def _moved_on(tasks: list[asyncio.Task[ScanResult]], done: int) -> bool:
    """Whether more tasks than `done` have ended, or all."""
    return sum(task.done() for task in tasks) > done or all(task.done() for task in tasks)


def why(result: ScanResult) -> Unanswered | None:
    """Why there is no answer."""
    return None if result.no_answer is None else result.no_answer.why


async def test_contents_are_answered_with_their_generation() -> None:
    """What workers say arrives, and the figures count each content and its bytes once."""
    async with pool_of(count=2) as pool:
        results = await asyncio.gather(*(scanned(pool, b"good %d" % number) for number in range(50)))
        evil = await scanned(pool, b"evil")
    assert set(results) == {ScanResult((), None, 7)}
    assert [found.threat for found in evil.detections] == ["Evil"]
    assert pool.counts["scans"] == 51
    assert pool.counts["engine_bytes"] == 10 * len("good 1") + 40 * len("good 10") + len("evil")
    assert (pool.queued, pool.busy) == (0, 0)


async def test_a_deadly_content_is_tried_twice_and_no_more() -> None:
    """ENGINE_ERROR after the second worker has died, and at once when it is asked again."""
    async with pool_of() as pool:
        first = await scanned(pool, b"die")
        assert why(first) is Unanswered.ENGINE_ERROR
        assert first.no_answer is not None
        assert "this content is deadly" in first.no_answer.reason
        assert pool.counts["worker_crashes"] == 2
        assert why(await scanned(pool, b"die")) is Unanswered.ENGINE_ERROR
        assert pool.counts["worker_crashes"] == 2
        assert pool.counts["engine_bytes"] == 3
        assert (await scanned(pool, b"good")).no_answer is None


async def test_a_hold_is_over_after_its_time() -> None:
    """Then the content is tried again."""
    clock = Clock()
    async with pool_of(settings=ScanningSettings(crash_hold_seconds=600), clock=clock) as pool:
        await scanned(pool, b"die")
        clock.ahead = 601
        await scanned(pool, b"die")
        assert pool.counts["worker_crashes"] == 4


async def test_without_a_hold_two_tries_are_the_end_all_the_same() -> None:
    """A content that kills is not tried for ever when nothing is remembered."""
    async with pool_of(settings=ScanningSettings(crash_hold_seconds=0)) as pool:
        assert why(await scanned(pool, b"die")) is Unanswered.ENGINE_ERROR
        assert pool.counts["worker_crashes"] == 2


async def test_what_waits_behind_a_deadly_content_is_not_blamed() -> None:
    """It goes to another worker and is answered, however often its neighbour kills."""
    async with pool_of() as pool:
        deadly = [scan_soon(pool, b"die %d" % number) for number in range(3)]
        good = [scan_soon(pool, b"good %d" % number) for number in range(20)]
        assert {why(await task) for task in deadly} == {Unanswered.ENGINE_ERROR}
        assert {(await task).no_answer for task in good} == {None}
    assert pool.counts["engine_bytes"] == sum(len(b"die 0") for _ in deadly) + 10 * 6 + 10 * 7
    assert 6 <= pool.counts["worker_crashes"] <= 9  # twice for each, and once for a batch that it was in
    assert pool.held == 3


async def test_a_batch_that_takes_too_long_is_taken_apart(tmp_path: Path) -> None:
    """Only the content that hangs by itself ends as TIMED_OUT; its neighbours are answered."""
    gate = tmp_path / "gate"
    async with pool_of(settings=ScanningSettings(scan_timeout_seconds=0.5)) as pool:
        held = [scan_soon(pool, b"hold " + os.fsencode(gate)) for _ in range(2)]
        await until(lambda: pool.busy == 2, "the worker has enough")
        words = [b"good 1", b"hang", b"good 2", b"evil"]
        results = [scan_soon(pool, word) for word in words]
        await until(lambda: pool.queued == 4, "four wait")
        gate.touch()
        ends = [why(await result) for result in results]
        assert ends == [None, Unanswered.TIMED_OUT, None, None]
        assert [found.threat for found in results[-1].result().detections] == ["Evil"]
        assert {(await task).no_answer for task in held} == {None}
    assert pool.counts["worker_timeouts"] == 2
    assert pool.counts["worker_crashes"] == 0


async def test_guests_are_served_in_turn(tmp_path: Path) -> None:
    """One content of a quiet guest does not wait for the hundred that another has queued before."""
    gate = tmp_path / "gate"
    ended: list[str] = []
    async with pool_of() as pool:
        with content(b"hold " + os.fsencode(gate)) as (fd, label):
            held = [pool.scan(fd, label, Owner(16, "loud")) for _ in range(2)]
            with content(b"good") as (other, small):
                for owner in ["loud"] * 100 + ["quiet"]:
                    pool.scan(other, small, Owner(16, owner)).add_done_callback(
                        lambda _, owner=owner: ended.append(owner)  # type: ignore[misc]
                    )
                assert pool.queued == 101
                gate.touch()
                await until(lambda: len(ended) == 101, "all are answered")
            await asyncio.gather(*held)
    assert ended.index("quiet") < 2


async def test_what_an_open_waits_for_goes_first(tmp_path: Path) -> None:
    """Before all that was queued earlier, whether it was urgent from the first or became so."""
    gate = tmp_path / "gate"
    ended: list[str] = []
    async with pool_of() as pool:
        with content(b"hold " + os.fsencode(gate)) as (fd, label):
            held = [pool.scan(fd, label, Owner(16, "g")) for _ in range(2)]
            with content(b"good") as (other, small):

                def scan(name: str, urgent: bool = False) -> asyncio.Future[ScanResult]:
                    end = pool.scan(other, small, Owner(16, "g"), urgent=urgent)
                    end.add_done_callback(lambda _: ended.append(name))
                    return end

                for number in range(50):
                    scan(f"tree {number}")
                asked = scan("asked")
                scan("open", urgent=True)
                pool.hurry(asked)
                pool.hurry(asked)
                assert (pool.urgent, pool.queued) == (2, 52)
                gate.touch()
                await until(lambda: len(ended) == 52, "all are answered")
            await asyncio.gather(*held)
        pool.hurry(asked)
        assert pool.urgent == 0
    assert ended[:2] == ["open", "asked"]


async def test_a_full_queue_takes_from_who_has_most(tmp_path: Path) -> None:
    """A guest that asks for little is served, however full another has made the queue."""
    gate = tmp_path / "gate"
    async with pool_of(settings=ScanningSettings(queue=5)) as pool:
        held = [scan_soon(pool, b"hold " + os.fsencode(gate)) for _ in range(2)]
        await until(lambda: pool.busy == 2, "the worker has enough")
        with content(b"good") as (fd, label):
            loud = [pool.scan(fd, label, Owner(16, "loud")) for _ in range(5)]
            quiet = pool.scan(fd, label, Owner(16, "quiet"))
            assert why(await loud[-1]) is Unanswered.OVERLOADED
            gate.touch()
            assert {why(await scan) for scan in [quiet, *loud[:-1], *held]} == {None}
    assert pool.counts["scans_refused"] == 1


async def test_what_nobody_wants_any_more_takes_no_worker(tmp_path: Path) -> None:
    """When its turn comes and all who waited have left, it ends unscanned."""
    gate, wanted = tmp_path / "gate", [True]
    async with pool_of() as pool:
        held = [scan_soon(pool, b"hold " + os.fsencode(gate)) for _ in range(2)]
        await until(lambda: pool.busy == 2, "the worker has enough")
        with content(b"good") as (fd, label):
            left = pool.scan(fd, label, wanted=lambda: wanted[0])
            wanted[0] = False
            gate.touch()
            assert why(await left) is Unanswered.OVERLOADED
        await asyncio.gather(*held)
    assert pool.counts["scans"] == 2


async def test_a_scan_that_takes_too_long_ends_as_timed_out() -> None:
    """The worker is replaced, what waited behind is answered, and the second time-out is remembered."""
    async with pool_of(settings=ScanningSettings(scan_timeout_seconds=0.3)) as pool:
        hanging, behind = scan_soon(pool, b"hang"), scan_soon(pool, b"good")
        assert why(await hanging) is Unanswered.TIMED_OUT
        assert (await behind).no_answer is None
        assert why(await scanned(pool, b"hang")) is Unanswered.TIMED_OUT
        assert pool.counts["worker_timeouts"] == 2
        remembered = await scanned(pool, b"hang")
        assert why(remembered) is Unanswered.TIMED_OUT
        assert pool.counts["worker_timeouts"] == 2


async def test_time_begins_when_a_worker_begins(tmp_path: Path) -> None:
    """A content that waits in a worker's socket is not timed out for the one before it."""
    clock = Clock()
    async with pool_of(settings=ScanningSettings(scan_timeout_seconds=100), clock=clock) as pool:
        first = scan_soon(pool, b"hold " + os.fsencode(tmp_path / "first"))
        second = scan_soon(pool, b"hold " + os.fsencode(tmp_path / "second"))
        await until(lambda: pool.busy == 2, "both are with the worker")
        clock.ahead = 90
        (tmp_path / "first").touch()
        assert (await first).no_answer is None
        clock.ahead = 180
        pool.end_overdue()
        (tmp_path / "second").touch()
        assert (await second).no_answer is None


async def test_a_stopped_worker_costs_one_content_its_time() -> None:
    """A process that does not move is killed and replaced."""
    async with pool_of(settings=ScanningSettings(scan_timeout_seconds=0.3)) as pool:
        os.kill(next(iter(workers_below())), signal.SIGSTOP)
        assert why(await scanned(pool, b"good")) is Unanswered.TIMED_OUT
        assert (await scanned(pool, b"good")).no_answer is None


async def test_workers_killed_at_any_moment_cost_no_answer(tmp_path: Path) -> None:
    """SIGKILL again and again from outside: every content ends, and none is lost or answered twice."""
    async with pool_of(count=2) as pool:
        tasks = [scan_soon(pool, b"good %d" % number) for number in range(400)]
        kills = 0
        while not all(task.done() for task in tasks) and kills < 4:
            kill(workers_below())
            kills += 1
            done = sum(task.done() for task in tasks)
            await until(
                partial(_moved_on, tasks, done),
                "some scan ends",
            )
        ends = [why(await task) for task in tasks]
    assert set(ends) <= {None, Unanswered.ENGINE_ERROR}
    assert ends.count(None) >= 390


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    """OVERLOADED beyond the bound; what waits is answered when there is room."""
    gate = tmp_path / "gate"
    async with pool_of(settings=ScanningSettings(queue=3)) as pool:
        held = [scan_soon(pool, b"hold " + os.fsencode(gate)) for _ in range(2)]
        await until(lambda: pool.busy == 2, "the worker has enough")
        queued = [scan_soon(pool, b"good %d" % number) for number in range(3)]
        await until(lambda: pool.queued == 3, "the queue is full")
        refused = await scanned(pool, b"good 4")
        assert why(refused) is Unanswered.OVERLOADED
        assert pool.counts["scans_refused"] == 1
        gate.touch()
        assert {(await task).no_answer for task in [*held, *queued]} == {None}


async def test_nothing_waits_for_ever(tmp_path: Path) -> None:
    """A content that no worker takes within the longest budget ends as OVERLOADED."""
    clock, gate = Clock(), tmp_path / "gate"
    settings = ScanningSettings(scan_timeout_seconds=3600)
    async with pool_of(settings=settings, clock=clock) as pool:
        held = [scan_soon(pool, b"hold " + os.fsencode(gate)) for _ in range(2)]
        await until(lambda: pool.busy == 2, "the worker has enough")
        late = scan_soon(pool, b"good")
        await until(lambda: pool.queued == 1, "one waits")
        clock.ahead = QUEUE_SECONDS + 1
        assert why(await late) is Unanswered.OVERLOADED
        gate.touch()
        await asyncio.gather(*held)


@pytest.mark.parametrize("queued", [False, True])
async def test_a_scan_can_be_cancelled(tmp_path: Path, queued: bool) -> None:
    """Waiting or under scan: its turn passes, and its late answer harms nobody."""
    gate = tmp_path / "gate"
    async with pool_of() as pool:
        tasks = [scan_soon(pool, b"hold %s" % os.fsencode(gate)) for _ in range(2 + queued)]
        await until(lambda: (pool.busy, pool.queued) == (2, int(queued)), "the scan has come so far")
        tasks[-1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[-1]
        gate.touch()
        await asyncio.gather(*tasks[:-1])
        assert (await scanned(pool, b"good")).no_answer is None


async def test_a_cancelled_scan_is_not_tried_again(tmp_path: Path) -> None:
    """Nobody wants the answer any more, and its descriptor may be closed."""
    async with pool_of() as pool:
        task = scan_soon(pool, b"hang")
        await until(lambda: pool.busy == 1, "it is with the worker")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.kill(next(iter(workers_below())), signal.SIGKILL)
        assert (await scanned(pool, b"good")).no_answer is None
        assert pool.counts["worker_crashes"] == 1


async def test_a_descriptor_that_is_none_ends_unanswered() -> None:
    """A closed one is the caller's mistake and costs no worker."""
    async with pool_of() as pool:
        with content(b"good") as (fd, label):
            pass
        result = await asyncio.wait_for(pool.scan(fd, label), DEADLINE)
        assert why(result) is Unanswered.ENGINE_ERROR
        assert (await scanned(pool, b"good")).no_answer is None
        assert pool.counts["worker_crashes"] == 0


async def test_another_crew_takes_over_without_a_stall(tmp_path: Path) -> None:
    """What the old one has it finishes under its generation; everything else goes to the new one."""
    gate = tmp_path / "gate"
    async with pool_of() as pool:
        old = [scan_soon(pool, b"hold " + os.fsencode(gate)) for _ in range(2)]
        await until(lambda: pool.busy == 2, "the old crew is at work")
        waiting = scan_soon(pool, b"good")
        crew = odd_crew(pool)
        await asyncio.wait_for(crew.start(), DEADLINE)
        crew.generation = 8
        pool.use(crew)
        assert (await waiting).generation == 8
        assert (await scanned(pool, b"evil")).generation == 8
        gate.touch()
        assert {(await task).generation for task in old} == {7}
        await until(lambda: len(workers_below()) == 1, "the old crew is gone")


async def test_what_a_retired_worker_dies_of_goes_to_the_new_crew(tmp_path: Path) -> None:
    """A death during the switch costs no answer."""
    gate = tmp_path / "gate"
    async with pool_of() as pool:
        (worker,) = workers_below()
        old = scan_soon(pool, b"hold " + os.fsencode(gate))
        await until(lambda: pool.busy == 1, "the old crew is at work")
        crew = odd_crew(pool)
        await asyncio.wait_for(crew.start(), DEADLINE)
        crew.generation = 8
        pool.use(crew)
        os.kill(worker, signal.SIGKILL)
        gate.touch()
        assert await old == ScanResult((), None, 8)


async def test_closing_ends_every_scan() -> None:
    """Under scan or waiting: OVERLOADED, and the same for whoever comes after."""
    async with pool_of() as pool:
        tasks = [scan_soon(pool, b"hang") for _ in range(5)]
        await until(lambda: pool.queued == 3, "two are with the worker, three wait")
        await pool.close()
        assert {why(await task) for task in tasks} == {Unanswered.OVERLOADED}
        assert why(await scanned(pool, b"good")) is Unanswered.OVERLOADED


async def test_without_workers_contents_end_at_once() -> None:
    """When none can be started any more, what waits ends as ENGINE_ERROR with the reason."""
    async with pool_of() as pool:
        plan = pool.crew.plan
        runtime = replace(plan.launch.sandbox.runtime, command=("/no/such/program",))
        launch = replace(plan.launch, sandbox=replace(plan.launch.sandbox, runtime=runtime))
        pool.crew.plan = replace(plan, launch=launch)
        os.kill(next(iter(workers_below())), signal.SIGKILL)
        result = await scanned(pool, b"good")
        assert why(result) is Unanswered.ENGINE_ERROR
        assert result.no_answer is not None
        assert "no worker can be started" in result.no_answer.reason


async def test_beside_others_a_guest_leaves_a_worker(tmp_path: Path) -> None:
    """However many of its contents wait; who is alone has all of them; a tenant beside another likewise."""
    gate = tmp_path / "gate"
    async with pool_of(2) as pool:
        with content(b"hold " + os.fsencode(gate)) as (fd, label), content(b"good") as (other, small):
            for owner in (Owner(16, "loud"), Owner(16, "too"), Owner(17, "quiet")):
                pool.company.note(owner)
            held = [pool.scan(fd, label, Owner(16, "loud")) for _ in range(4)]
            assert [len(member.jobs) for member in pool.crew.members if member.jobs] in ([1], [2])
            same = pool.scan(other, small, Owner(16, "too"))  # of the same tenant, beside another's
            quiet = pool.scan(other, small, Owner(17, "quiet"))
            assert (await asyncio.wait_for(quiet, DEADLINE)).no_answer is None
            assert not same.done()
            gate.touch()
            await asyncio.gather(*held, same)
