"""One round of each kind: load, a kill at a random moment, and what is looked for afterwards."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.chaos import disk, processes, stubs
from tests.chaos.book import Book
from tests.chaos.load import Load, told_after
from tests.chaos.people import People
from tests.chaos.serving import PATIENCE, Serving


@dataclass
class Run:
    """What the rounds of one run share."""

    people: People
    book: Book

    @property
    def serving(self) -> Serving:
        """The SVM."""
        return self.people.serving


async def kill_svm(run: Run, source: random.Random) -> str:
    """The SVM dies under load: what it had acknowledged is on the disk, and a new one knows it."""
    load, after = Load(run.people, run.book, source), source.uniform(0, 0.4)
    async with load.working():
        await asyncio.sleep(after)
        load.dead = True
        await run.serving.kill()
    await _begin_again(run, source)
    return f"the SVM after {after:.3f} s"


async def kill_start(run: Run, source: random.Random) -> str:
    """It dies, and another one dies as it starts."""
    await run.serving.kill()
    after = source.uniform(0, 1.0)
    run.serving.spawn()
    await asyncio.sleep(after)
    await run.serving.kill()
    await _begin_again(run, source)
    return f"an SVM that starts, after {after:.3f} s"


async def kill_worker(run: Run, source: random.Random) -> str:
    """A worker dies under load: everybody is answered, another takes its place, nothing is left over."""
    load, after = Load(run.people, run.book, source), source.uniform(0, 0.3)
    async with load.working():
        await asyncio.sleep(after)
        for worker in source.sample(processes.workers(run.serving.pid), 1):
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        await asyncio.sleep(source.uniform(0, 0.2))
    await _look(run)
    return f"a worker after {after:.3f} s"


async def kill_scan(run: Run, source: random.Random) -> str:
    """A stub that scans dies."""
    done = await stubs.killed_scan(run.people, run.book, source)
    await _look(run)
    return done


async def kill_daemon(run: Run, source: random.Random) -> str:
    """A stub that protects dies."""
    done = await stubs.killed_daemon(run.people, run.book, source)
    await _look(run)
    return done


async def _begin_again(run: Run, source: random.Random) -> None:
    """What a dead SVM left, on the disk and of processes; then a new one, and what it says."""
    await processes.nothing_left_of(PATIENCE)
    disk.compare(run.serving.state, run.book)
    await run.serving.start()
    await told_after(run.people, run.book, source)
    await asyncio.gather(*(officer.look(source) for officer in run.people.officers))


async def _look(run: Run) -> None:
    """The same of an SVM that lives on."""
    await run.serving.rests()
    await processes.nothing_left_of(PATIENCE, run.serving.pid)
    disk.compare(run.serving.state, run.book)


Round = Callable[[Run, random.Random], Awaitable[str]]

KINDS: dict[str, tuple[Round, int]] = {
    "svm": (kill_svm, 9),
    "start": (kill_start, 2),
    "worker": (kill_worker, 6),
    "scan": (kill_scan, 2),
    "daemon": (kill_daemon, 1),
}
