"""Tests of appliance/scanning/crew.py: crews of odd workers."""

import asyncio
import os
import select
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.scanning.crew import BATCHES_IN_FLIGHT, Crew, CrewFailed, CrewPlan, Job, Member
from appliance.scanning.result import ScanResult
from appliance.scanning.worker_wire import JobAnswer
from tests.support.descriptors import open_descriptors
from tests.support.scanning import DEADLINE, content, descendants, odd_crew, odd_launch, until, workers_below


class Port:
    """Keeps what a crew says."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.answers: list[int] = []
        self.losses: list[tuple[list[int], str]] = []
        self.rooms = 0

    def answered(self, member: Member, answered: Sequence[tuple[Job, JobAnswer]]) -> None:
        """Keep the numbers; a member without work is done."""
        self.answers += [answer.number for _, answer in answered]
        assert [job.number for job, _ in answered] == [answer.number for _, answer in answered]
        if not member.jobs:
            member.crew.finished(member)

    def lost(self, member: Member, words: str) -> None:
        """Keep what it had, and why."""
        self.losses.append(([job.number for job in member.jobs], words))

    def room(self) -> None:
        """Count."""
        self.rooms += 1


@asynccontextmanager
async def started(crew: Crew) -> AsyncIterator[Crew]:
    """A crew that is ready; afterwards nothing of it is left."""
    await asyncio.wait_for(crew.start(), DEADLINE)
    try:
        yield crew
    finally:
        await crew.close()
        assert crew.gone
        assert not descendants()


def give(member: Member, number: int, data: bytes) -> bool:
    """Give a content as a job."""
    with content(data) as (fd, label):
        end: asyncio.Future[ScanResult] = asyncio.get_running_loop().create_future()
        return member.give([Job(number, fd, label, end)])


async def test_a_crew_is_started_when_all_are_ready() -> None:
    """start() returns with every member able to work, in processes of their own."""
    port = Port()
    async with started(odd_crew(port, count=3)) as crew:
        assert crew.ready_members == 3
        assert len(workers_below()) == 3
        assert port.rooms == 3
        assert crew.problem == ""


async def test_closing_gives_everything_back() -> None:
    """No process and no descriptor is left, the bundle's included."""
    before = open_descriptors()
    async with started(odd_crew(Port(), count=2)):
        pass
    assert open_descriptors() <= before


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("dies", "this worker dies of itself"),
        ("refuses", "it does not feel like it"),
        ("lies", "answered its order with a message of kind 255"),
    ],
)
async def test_a_crew_that_cannot_start_says_why(how: str, words: str) -> None:
    """What its first worker said is the error, and nothing is left of the attempt."""
    crew = odd_crew(Port(), count=2, how=how)
    with pytest.raises(CrewFailed, match=words):
        await asyncio.wait_for(crew.start(), DEADLINE)
    assert crew.gone
    assert not descendants()


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    """Workers that are not ready yet end with it."""
    crew = odd_crew(Port(), how="silent")
    start = asyncio.get_running_loop().create_task(crew.start())
    await until(workers_below, "a worker has been started")
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not descendants()


async def test_the_idlest_member_is_offered_until_all_have_enough() -> None:
    """Jobs spread over the members, and none gets more than it may have in flight."""
    async with started(odd_crew(Port(), count=2)) as crew:
        given: list[Member] = []
        for number in range(2 * BATCHES_IN_FLIGHT):
            member = crew.idlest()
            assert member is not None
            assert give(member, number, b"hang")
            given.append(member)
        assert crew.idlest() is None
        assert crew.busy == 2 * BATCHES_IN_FLIGHT
        assert {member: given.count(member) for member in given} == dict.fromkeys(given, BATCHES_IN_FLIGHT)
        assert len(set(given[:2])) == 2


async def test_a_member_that_dies_at_work_is_told_and_replaced_at_once(tmp_path: Path) -> None:
    """Its jobs come back with the last words, and a new process takes its place."""
    port = Port()
    async with started(odd_crew(port)) as crew:
        (member,) = crew.members
        assert give(member, 1, b"doom " + os.fsencode(tmp_path / "now"))
        assert give(member, 2, b"good")
        (tmp_path / "now").touch()
        await until(lambda: port.losses and crew.ready_members == 1, "another worker is ready")
        assert crew.members != [member]
    assert port.losses == [([1, 2], "this content is deadly")]


@pytest.mark.parametrize(
    ("said", "words"),
    [(b"lie", "kind 255"), (b"forge", "answered job 2, which is not its turn"), (b"flood", "not its turn")],
)
async def test_a_member_that_misbehaves_is_replaced(said: bytes, words: str) -> None:
    """Nonsense, an answer to a job it does not have, and answers without end cost it its life."""
    port = Port()
    async with started(odd_crew(port)) as crew:
        give(crew.members[0], 1, said)
        give(crew.members[0], 3, b"hang")
        await until(lambda: port.losses and crew.ready_members == 1, "another worker is ready")
    assert words in port.losses[0][1]


async def test_a_member_that_is_killed_while_idle_is_replaced_after_a_pause() -> None:
    """Before it has proven itself; nobody is told, since no job was lost."""
    port = Port()
    async with started(odd_crew(port)) as crew:
        (worker,) = workers_below()
        os.kill(worker, signal.SIGKILL)
        await until(lambda: workers_below() not in ({worker}, set()), "another worker runs")
        await until(lambda: crew.ready_members == 1, "another worker is ready")
    assert port.losses == []


async def test_a_gone_member_takes_no_job() -> None:
    """Between its death and the news of it a member refuses jobs, and is offered no more."""
    async with started(odd_crew(Port())) as crew:
        (member,) = crew.members
        (worker,) = workers_below()
        pidfd = os.pidfd_open(worker)
        os.kill(worker, signal.SIGKILL)
        assert select.select([pidfd], [], [], DEADLINE)[0]  # blocks: the loop is not to turn meanwhile
        os.close(pidfd)
        assert not give(member, 1, b"good")
        assert crew.idlest() is None


async def test_workers_that_cannot_be_started_any_more_are_a_problem() -> None:
    """After some tries in a row the crew says so, keeps trying, and recovers."""
    port = Port()
    launch = odd_launch()
    crew = Crew(CrewPlan(launch, 1, time.monotonic), port)
    async with started(crew):
        broken = replace(
            launch.sandbox, runtime=replace(launch.sandbox.runtime, command=("/no/such/program",))
        )
        crew.plan = replace(crew.plan, launch=replace(launch, sandbox=broken))
        os.kill(next(iter(workers_below())), signal.SIGKILL)
        await until(lambda: crew.problem, "the crew has a problem")
        assert "the machine starts no process: No such file or directory" in crew.problem
        assert port.rooms > 1
        crew.plan = replace(crew.plan, launch=launch)
        await until(lambda: not crew.problem and crew.ready_members, "the crew recovers")


async def test_a_retired_crew_finishes_what_it_has() -> None:
    """Idle members end at once, busy ones after their last answer; none is replaced."""
    port = Port()
    async with started(odd_crew(port, count=2)) as crew:
        busy = crew.members[0]
        (first, second) = workers_below()
        for worker in (first, second):
            os.kill(worker, signal.SIGSTOP)
        give(busy, 1, b"good")
        give(busy, 2, b"good")
        crew.retire()
        assert crew.members == [busy]
        for worker in workers_below() & {first, second}:
            os.kill(worker, signal.SIGCONT)
        await until(lambda: crew.gone, "the crew is gone")
    assert port.answers == [1, 2]
