"""Workers, real and odd ones, and contents for them."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from appliance.config import (
    EicarSettings,
    EngineSettings,
    HashlistSettings,
    ScanningSettings,
    YaraSettings,
)
from appliance.domain.content import ContentLabel
from appliance.scanning.crew import Crew, CrewPlan, CrewPort
from appliance.scanning.runtime import WorkerRuntime, find_runtime
from appliance.scanning.sandbox import UNSANDBOXED, Sandbox
from appliance.scanning.worker_process import Launch

DEADLINE = 30.0  # seconds; generous, since machines are slow and a test that hangs helps nobody
ODD_WORKER = Path(__file__).with_name("odd_worker.py")
EICAR_ONLY = EngineSettings(
    yara=YaraSettings(enabled=False), hashlist=HashlistSettings(enabled=False), eicar=EicarSettings()
)
UNWALLED = ScanningSettings(workers=1, sandbox=UNSANDBOXED)


@lru_cache
def worker_runtime() -> WorkerRuntime:
    """The runtime of real workers."""
    return find_runtime()


def sandbox(walled: bool = True) -> Sandbox:
    """A sandbox for real workers."""
    return Sandbox.find("bubblewrap" if walled else UNSANDBOXED, worker_runtime())


def odd_sandbox(how: str = "well", walled: bool = False) -> Sandbox:
    """A sandbox in which odd workers run. how: as odd_worker.py says."""
    runtime = worker_runtime()
    odd = replace(
        runtime,
        command=(*runtime.command[: runtime.command.index("-m")], str(ODD_WORKER), how),
        paths=(*runtime.paths, ODD_WORKER),
    )
    return replace(sandbox(walled), runtime=odd)


@contextmanager
def empty_bundle() -> Iterator[int]:
    """A descriptor to hand to workers that do not care."""
    fd = os.memfd_create("bundle")
    try:
        yield fd
    finally:
        os.close(fd)


def odd_launch(how: str = "well", walled: bool = False) -> Launch:
    """How odd workers are started; the bundle's descriptor is the crew's to close."""
    return Launch(odd_sandbox(how, walled), (), b"{}", os.memfd_create("bundle"))


def odd_crew(port: CrewPort, count: int = 1, how: str = "well", walled: bool = False) -> Crew:
    """A crew of odd workers, not started."""
    return Crew(CrewPlan(odd_launch(how, walled), count, time.monotonic), port)


@contextmanager
def content(data: bytes, name: bytes = b"") -> Iterator[tuple[int, ContentLabel]]:
    """A content in memory, and its label."""
    fd = os.memfd_create("content")
    try:
        os.write(fd, data)
        yield fd, ContentLabel(hashlib.sha256(data).digest(), len(data), name)
    finally:
        os.close(fd)


async def scanned(scanner: Any, data: bytes) -> Any:
    """The result of one content. scanner: a Scanner or a Pool."""
    with content(data) as (fd, label):
        return await asyncio.wait_for(scanner.scan(fd, label), DEADLINE)


async def until(condition: Callable[[], object], what: str) -> None:
    """Return when the condition holds. what: the sentence to fail with when it never does."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        await asyncio.sleep(0.005)


def descendants(pid: int | None = None) -> set[int]:
    """Processes below this one (or `pid`), dead ones that nobody has reaped included."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found: set[int] = set()
    fresh = {pid or os.getpid()}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def workers_below(pid: int | None = None) -> set[int]:
    """The descendants that have none themselves: workers, and not bubblewrap around them."""
    return {each for each in descendants(pid) if not descendants(each) and name_of(each) != "bwrap"}


def walls_below(pid: int | None = None) -> set[int]:
    """The bubblewraps around workers that run."""
    return {each for each in descendants(pid) if name_of(each) == "bwrap" and workers_below(each)}


def name_of(pid: int) -> str:
    """What a process runs, "" where there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def kill(pids: Iterable[int]) -> None:
    """Kill processes, of which some may have gone already."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
