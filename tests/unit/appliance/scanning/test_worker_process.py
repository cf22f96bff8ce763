"""Tests of appliance/scanning/worker_process.py: real processes, killed for real."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from appliance.scanning.worker_process import _START_SECONDS, Launch, WorkerProcess, all_ended
from appliance.scanning.worker_wire import Misbehaved, encode_jobs
from tests.support.descriptors import open_descriptors
from tests.support.scanning import DEADLINE, content, descendants, odd_launch, until, workers_below

WALLS = pytest.mark.parametrize("walled", [False, True], ids=["bare", "walled"])


class Heard:
    """What a worker process has told."""

    def __init__(self) -> None:
        """Nothing yet. refuse: misbehave at the next message."""
        self.messages: list[bytes] = []
        self.lost: list[str] = []
        self.refuse = False

    def on_message(self, message: memoryview) -> None:
        """Keep a copy."""
        if self.refuse:
            raise Misbehaved("said something odd")
        self.messages.append(bytes(message))


@asynccontextmanager
async def running(launch: Launch, heard: Heard) -> AsyncIterator[WorkerProcess]:
    """A worker process that has answered its order; afterwards neither it nor a descriptor is left."""
    gc.collect()
    before = open_descriptors()
    process = WorkerProcess(launch, heard.on_message, heard.lost.append)
    try:
        await until(lambda: heard.messages or heard.lost, "the worker answers its order")
        yield process
    finally:
        process.kill()
        await all_ended([process], DEADLINE)
        os.close(launch.bundle)
        assert process.ended.done()
        assert not descendants() & {process.pid}
        assert open_descriptors() < before


def give(process: WorkerProcess, data: bytes) -> bool:
    """Send a content as job 1."""
    with content(data) as (fd, label):
        return process.send(encode_jobs([(1, label)]), fd)


@WALLS
async def test_messages_go_both_ways(walled: bool) -> None:
    """The order is answered, and so is a job."""
    heard = Heard()
    async with running(odd_launch(walled=walled), heard) as process:
        assert give(process, b"good")
        await until(lambda: len(heard.messages) == 2, "the job is answered")
    assert heard.lost == []


@WALLS
async def test_a_worker_that_dies_is_told_once_with_its_last_words(walled: bool) -> None:
    """What it wrote to stderr is the reason; the process is reaped without being asked."""
    heard = Heard()
    async with running(odd_launch(walled=walled), heard) as process:
        assert give(process, b"die")
        await asyncio.wait_for(process.ended, DEADLINE)
        await until(lambda: heard.lost, "the loss is told")
    assert heard.lost == ["this content is deadly"]


@WALLS
async def test_a_worker_that_is_killed_from_outside_is_told(walled: bool) -> None:
    """SIGKILL, as by the kernel that runs out of memory."""
    heard = Heard()
    async with running(odd_launch(walled=walled), heard) as process:
        (worker,) = workers_below()
        os.kill(worker, signal.SIGKILL)
        await asyncio.wait_for(process.ended, DEADLINE)
    assert heard.lost == ["it ended without a word"]


def _set(future: asyncio.Future[None]) -> None:
    """Mark the future as done, unless it is."""
    if not future.done():
        future.set_result(None)


async def test_a_sandbox_that_is_killed_takes_its_worker_along() -> None:
    """bubblewrap dies, the worker in it dies by the kernel's hand, and the loss is told."""
    heard = Heard()
    async with running(odd_launch(walled=True), heard) as process:
        (worker,) = workers_below()
        pidfd = os.pidfd_open(worker)
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait_for(process.ended, DEADLINE)
        gone = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pidfd, partial(_set, gone))
        await asyncio.wait_for(gone, DEADLINE)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
    assert len(heard.lost) == 1


@WALLS
async def test_what_was_answered_before_the_death_is_heard(walled: bool) -> None:
    """The answer to the first job arrives although the second killed the worker at once."""
    heard = Heard()
    async with running(odd_launch(walled=walled), heard) as process:
        (worker,) = workers_below()
        os.kill(worker, signal.SIGSTOP)
        assert give(process, b"good")
        assert give(process, b"die")
        os.kill(worker, signal.SIGCONT)
        await until(lambda: heard.lost, "the loss is told")
        assert len(heard.messages) == 2


@WALLS
async def test_a_stopped_worker_can_be_killed(walled: bool) -> None:
    """kill() ends what does not move any more, reaps it, and tells nothing."""
    heard = Heard()
    async with running(odd_launch(walled=walled), heard) as process:
        (worker,) = workers_below()
        os.kill(worker, signal.SIGSTOP)
        process.kill()
        process.kill()
        await asyncio.wait_for(process.ended, DEADLINE)
        assert worker not in descendants()
    assert heard.lost == []


async def test_a_stopped_sandbox_can_be_killed() -> None:
    """Even when it is bubblewrap itself that does not move."""
    heard = Heard()
    async with running(odd_launch(walled=True), heard) as process:
        os.kill(process.pid, signal.SIGSTOP)
        process.kill()
        await asyncio.wait_for(process.ended, DEADLINE)
        assert process.pid not in descendants()
    assert heard.lost == []


@pytest.mark.parametrize("patience", [_START_SECONDS, 0.0], ids=["waited-for", "at-once"])
async def test_a_worker_is_killed_before_it_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    """At any moment of its start, and nothing of it is left, below this process or elsewhere."""
    monkeypatch.setattr("appliance.scanning.worker_process._START_SECONDS", patience)
    launch = replace(odd_launch(walled=True), readable=(tmp_path,))
    for round_ in range(40):
        heard = Heard()
        process = WorkerProcess(launch, heard.on_message, heard.lost.append)
        for _ in range(round_ % 20):
            await asyncio.sleep(0.0002)
        process.kill()
        await asyncio.wait_for(process.ended, DEADLINE)
        assert heard.lost == []
    os.close(launch.bundle)
    await until(lambda: not processes_that_name(tmp_path), "nothing is left")


def processes_that_name(path: Path) -> list[str]:
    """Living processes of the whole machine with the path among their arguments."""
    found = []
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(path) in arguments.read_bytes():
                found.append(arguments.parent.name)
    return found


async def test_a_worker_that_does_not_say_hello_is_ended() -> None:
    """What speaks first and says something else is no worker."""
    heard = Heard()
    async with running(odd_launch("rude"), heard) as process:
        await asyncio.wait_for(process.ended, DEADLINE)
    assert heard.lost == ["it did not say hello"]


async def test_misbehaviour_ends_a_worker() -> None:
    """What the hearer calls misbehaviour are its last words."""
    heard = Heard()
    async with running(odd_launch(), heard) as process:
        heard.refuse = True
        give(process, b"good")
        await asyncio.wait_for(process.ended, DEADLINE)
    assert heard.lost == ["said something odd"]


async def test_a_worker_that_hangs_up_is_ended() -> None:
    """One that closes its socket and lives on is killed."""
    heard = Heard()
    async with running(odd_launch(), heard) as process:
        give(process, b"shut")
        await asyncio.wait_for(process.ended, DEADLINE)
    assert len(heard.lost) == 1


async def test_a_flood_leaves_others_their_turn() -> None:
    """While a worker sends without end, the loop runs other things between its messages."""
    heard = Heard()
    async with running(odd_launch(), heard) as process:
        give(process, b"flood")
        await until(lambda: len(heard.messages) > 100, "the flood begins")
        most = 0
        for _ in range(100):
            before = len(heard.messages)
            await asyncio.sleep(0)
            most = max(most, len(heard.messages) - before)
        assert most <= 20


async def test_a_worker_is_the_first_to_die_when_memory_runs_out() -> None:
    """Its score for the kernel is the highest there is."""
    heard = Heard()
    async with running(odd_launch(walled=True), heard):
        (worker,) = workers_below()
        assert oom_score(worker) == "1000"


def oom_score(pid: int) -> str:
    """How readily the kernel kills a process when memory runs out, -1000 to 1000."""
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


async def test_a_failing_sandbox_is_quoted(tmp_path: Path) -> None:
    """What bubblewrap says when it cannot build the walls are the last words."""
    launch = odd_launch(walled=True)
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    launch = replace(launch, sandbox=replace(launch.sandbox, bubblewrap=str(fake)))
    heard = Heard()
    async with running(launch, heard) as process:
        await asyncio.wait_for(process.ended, DEADLINE)
    assert heard.lost == ["bwrap: No permissions to create new namespace"]


def fill_gaps() -> list[int]:
    """Descriptors that take every number below the highest one in use."""
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = [os.open("/dev/null", os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.dup(fillers[0]))
    return fillers


async def test_a_machine_without_descriptors_starts_no_worker() -> None:
    """OSError, and neither a process nor a descriptor is left of the attempt, however far it came."""
    launch = odd_launch()
    gc.collect()
    fillers = fill_gaps()  # the limit is on numbers, and earlier tests leave low ones free
    before, processes = open_descriptors(), descendants()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    attempts = 0
    for room in range(1, 100):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + room, limits[1]))
        try:
            process = WorkerProcess(launch, lambda message: None, lambda words: None)
            break
        except OSError:
            attempts += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert open_descriptors() <= before
        assert descendants() == processes
    process.kill()
    await asyncio.wait_for(process.ended, DEADLINE)
    for descriptor in (*fillers, launch.bundle):
        os.close(descriptor)
    assert attempts > 0
