"""Tests of appliance/scanning/scanner.py: real builds, real workers in real sandboxes."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from appliance.config import ClamdSettings, EngineSettings, HashlistSettings, ScanningSettings, YaraSettings
from appliance.domain.outcome import Disposition, Unanswered
from appliance.scanning.result import ScanResult
from appliance.scanning.scanner import ReloadFailed, Scanner, ScannerError
from tests.support.contents import EICAR
from tests.support.descriptors import open_descriptors
from tests.support.scanning import (
    DEADLINE,
    EICAR_ONLY,
    descendants,
    kill,
    scanned,
    until,
    walls_below,
    workers_below,
)

ONE = ScanningSettings(workers=1)
TWO = ScanningSettings(workers=2)
ROOT = Path(__file__).parents[4]


def with_list(directory: Path) -> EngineSettings:
    """EICAR, and hash lists of one's own."""
    return replace(EICAR_ONLY, hashlist=HashlistSettings(shipped=False, dirs=(directory,)))


def put_on_list(directory: Path, *contents: bytes) -> None:
    """Write a list that detects these contents."""
    lines = (f"{hashlib.sha256(data).hexdigest()}:{len(data)}:Listed.{data.decode()}" for data in contents)
    (directory / "own.hsb").write_text("\n".join(lines) + "\n")


@asynccontextmanager
async def scanning(
    settings: ScanningSettings = ONE, engines: EngineSettings = EICAR_ONLY
) -> AsyncIterator[Scanner]:
    """A scanner that is ready; afterwards no process of it is left."""
    scanner = await asyncio.wait_for(Scanner.start(settings, engines), DEADLINE)
    try:
        yield scanner
    finally:
        await asyncio.wait_for(scanner.close(), DEADLINE)
        assert not descendants()


def scan_soon(scanner: Scanner, data: bytes) -> asyncio.Task[ScanResult]:
    """A scan in a task of its own."""
    return asyncio.get_running_loop().create_task(scanned(scanner, data))


@pytest.mark.parametrize("sandbox", ["bubblewrap", "none-i-accept-the-risk"])
async def test_contents_are_scanned_in_a_worker(sandbox: str) -> None:
    """The test file is detected, another content is not, and both say with which generation."""
    async with scanning(replace(TWO, sandbox=sandbox)) as scanner:
        evil, good = await scanned(scanner, EICAR), await scanned(scanner, b"good")
        assert evil.detections[0].disposition is Disposition.MALICIOUS
        assert evil.detections[0].engine == "eicar"
        assert good == ScanResult((), None, scanner.generation)
        figures = scanner.figures()
    assert (figures["scans"], figures["engine_bytes"], figures["workers_ready"]) == (2, len(EICAR) + 4, 2)


def _set(future: asyncio.Future[None]) -> None:
    """Mark the future as done, unless it is."""
    if not future.done():
        future.set_result(None)


def _moved_on(tasks: list[asyncio.Task[ScanResult]], done: int) -> bool:
    """Whether more tasks than `done` have ended, or all."""
    return sum(task.done() for task in tasks) > done or all(task.done() for task in tasks)


async def test_nothing_is_left_of_a_scanner() -> None:
    """Neither processes nor descriptors, after a reload too."""
    async with scanning():
        pass  # what the first one imports and keeps is not counted
    before = open_descriptors()
    async with scanning() as scanner:
        await scanner.reload()
        await scanned(scanner, EICAR)
    await until(lambda: open_descriptors() <= before, "all descriptors are closed")
    assert not descendants()


async def test_the_generation_is_that_of_the_signatures(tmp_path: Path) -> None:
    """The same for the same signatures at the next start, another for others."""
    put_on_list(tmp_path, b"a")
    generations = []
    for engines in (with_list(tmp_path), with_list(tmp_path), EICAR_ONLY):
        async with scanning(engines=engines) as scanner:
            generations.append(scanner.generation)
    assert generations[0] == generations[1] != generations[2]


async def test_sources_and_states_are_told(tmp_path: Path) -> None:
    """Each engine that is enabled with its version and count, each file with its problems."""
    put_on_list(tmp_path, b"a", b"b")
    (tmp_path / "bad.hsb").write_text("no digest here\n")
    async with scanning(engines=with_list(tmp_path)) as scanner:
        states = {state.name: state for state in scanner.states()}
        sources = {Path(source.path).name: source for source in scanner.sources()}
    assert states.keys() == {"eicar", "hashlist"}
    assert all(state.ready and state.version and not state.problem for state in states.values())
    assert states["hashlist"].signatures == 2
    assert sources["own.hsb"].signatures == 2
    assert any("bad.hsb:1" in problem for problem in sources["bad.hsb"].problems)


async def test_a_reload_brings_new_signatures_and_their_generation(tmp_path: Path) -> None:
    """Who listens is told the new number; taking the change back brings the old number back."""
    put_on_list(tmp_path, b"a")
    async with scanning(engines=with_list(tmp_path)) as scanner:
        told: list[int] = []
        scanner.on_generation.append(told.append)
        first = scanner.generation
        assert not (await scanned(scanner, b"b")).detections
        put_on_list(tmp_path, b"a", b"b")
        await scanner.reload()
        found = await scanned(scanner, b"b")
        assert found.detections[0].threat == "Listed.b"
        assert told == [found.generation] == [scanner.generation] != [first]
        put_on_list(tmp_path, b"a")
        await scanner.reload()
        assert scanner.generation == first
        await scanner.reload()
        assert told == [found.generation, first]
        assert scanner.figures()["reloads"] == 3


async def test_scans_go_on_during_a_reload() -> None:
    """Contents are answered before, while and after the crews change; none fails, none waits for it."""
    async with scanning(TWO) as scanner:
        reload = asyncio.get_running_loop().create_task(scanner.reload())
        results: list[ScanResult] = []
        while not reload.done() or len(results) < 100:
            results.append(await scanned(scanner, b"good %d" % len(results)))
        await reload
        assert {result.no_answer for result in results} == {None}
        assert len(results) >= 100
        await until(lambda: len(workers_below()) == 2, "the old crew is gone")


async def test_reloads_follow_one_another() -> None:
    """Three at once are three, one after the other, and end with one crew."""
    async with scanning() as scanner:
        await asyncio.gather(*(scanner.reload() for _ in range(3)))
        assert scanner.figures()["reloads"] == 3
        await until(lambda: len(workers_below()) == 1, "the old crews are gone")


async def test_a_failed_reload_changes_nothing(tmp_path: Path) -> None:
    """Its new processes are killed as they come; the old signatures scan on, and the next reload works."""
    put_on_list(tmp_path, b"a")
    async with scanning(engines=with_list(tmp_path)) as scanner:
        before, old = scanner.generation, descendants()
        put_on_list(tmp_path, b"a", b"b")
        reload = asyncio.get_running_loop().create_task(scanner.reload())
        while not reload.done():
            kill(workers_below() - old)
            await asyncio.sleep(0)
        with pytest.raises(ReloadFailed, match="the signatures stay as they are"):
            await reload
        assert scanner.generation == before
        assert (await scanned(scanner, b"a")).detections
        assert descendants() == old
        await scanner.reload()
        assert (await scanned(scanner, b"b")).detections


async def test_a_reload_outlives_who_asked_for_it() -> None:
    """A caller that goes away does not leave half a change behind."""
    async with scanning() as scanner:
        reload = asyncio.get_running_loop().create_task(scanner.reload())
        await asyncio.sleep(0)
        reload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reload
        await until(lambda: scanner.figures()["reloads"] == 1, "the reload ends")


async def test_closing_during_a_reload_ends_it() -> None:
    """The reload fails with a sentence and leaves no process."""
    async with scanning() as scanner:
        reload = asyncio.get_running_loop().create_task(scanner.reload())
        old = descendants()
        await until(lambda: descendants() - old, "the reload has begun")
        await scanner.close()
        with pytest.raises(ReloadFailed, match="the SVM stops"):
            await reload


async def test_workers_killed_at_any_moment_cost_no_answer() -> None:
    """SIGKILL to every process, sandboxes too: every content ends, nearly all with an answer."""
    async with scanning(TWO) as scanner:
        tasks = [scan_soon(scanner, b"good %d" % number) for number in range(300)]
        for victims in (workers_below, walls_below, workers_below, walls_below):
            await until(lambda: scanner.figures()["workers_ready"] == 2, "both workers are at work")
            before = workers_below()
            kill(victims())
            done = sum(task.done() for task in tasks)
            await until(
                partial(_moved_on, tasks, done),
                "one ends",
            )
        ends = [(await task).no_answer for task in tasks]
        assert {end.why for end in ends if end is not None} <= {Unanswered.ENGINE_ERROR}
        assert ends.count(None) >= 290
        await until(lambda: not before & workers_below(), "those that were killed last are gone")
        assert (await scanned(scanner, EICAR)).detections


async def test_a_worker_that_stands_still_is_replaced() -> None:
    """Its content ends as TIMED_OUT, the next is answered."""
    async with scanning(replace(ONE, scan_timeout_seconds=0.3)) as scanner:
        (worker,) = workers_below()
        os.kill(worker, signal.SIGSTOP)
        stuck = await scanned(scanner, b"good")
        assert stuck.no_answer is not None
        assert stuck.no_answer.why is Unanswered.TIMED_OUT
        assert (await scanned(scanner, EICAR)).detections
        assert scanner.figures()["worker_timeouts"] == 1


async def test_closing_ends_open_scans() -> None:
    """They end as OVERLOADED, and so does what comes after."""
    async with scanning() as scanner:
        os.kill(next(iter(workers_below())), signal.SIGSTOP)
        task = scan_soon(scanner, b"good")
        await until(lambda: scanner.figures()["busy"] == 1, "the worker has it")
        await scanner.close()
        for result in (await task, await scanned(scanner, b"good")):
            assert result.no_answer is not None
            assert result.no_answer.why is Unanswered.OVERLOADED


async def test_without_bubblewrap_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is a sentence that names both ways out."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ScannerError, match=r'install bubblewrap, or set scanning.sandbox = "none-i-accept'):
        await Scanner.start(ONE, EICAR_ONLY)


async def test_with_a_bubblewrap_that_fails_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine that forbids namespaces is named as the reason."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ScannerError, match=r"No permissions to create new namespace.*install bubblewrap"):
        await asyncio.wait_for(Scanner.start(ONE, EICAR_ONLY), DEADLINE)
    assert not descendants()


async def test_without_clamd_it_starts_and_says_so(tmp_path: Path) -> None:
    """The engine is not ready, contents end as ENGINE_ERROR, and detections of others count all the same."""
    clamd = ClamdSettings(enabled=True, socket=tmp_path / "clamd.ctl")
    async with scanning(engines=replace(EICAR_ONLY, clamd=clamd)) as scanner:
        states = {state.name: state for state in scanner.states()}
        assert states["eicar"].ready
        assert not states["clamd"].ready
        assert "clamd.ctl" in states["clamd"].problem
        missed = await scanned(scanner, b"good")
        assert missed.no_answer is not None
        assert missed.no_answer.why is Unanswered.ENGINE_ERROR
        assert (await scanned(scanner, EICAR)).detections


async def test_yara_runs_within_the_bounds_of_a_worker(tmp_path: Path) -> None:
    """Modules, threads and reserved memory of the engine fit into the sandbox."""
    (tmp_path / "own.yar").write_text(
        'import "pe"\nrule needle { strings: $a = "needle" condition: $a and not pe.is_pe }'
    )
    engines = EngineSettings(yara=YaraSettings(rules_dirs=(tmp_path,)))
    async with scanning(engines=engines) as scanner:
        found = await scanned(scanner, bytes(4 << 20) + b"needle")
        assert [each.engine for each in found.detections] == ["yara"]


SERVE = """
import asyncio, sys
from appliance.scanning.scanner import Scanner
from tests.support.scanning import EICAR_ONLY
from tests.support.descriptors import open_descriptors
from appliance.config import ScanningSettings

async def main():
    scanner = await Scanner.start(ScanningSettings(workers=2, sandbox=sys.argv[1]), EICAR_ONLY)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("sandbox", ["bubblewrap", "none-i-accept-the-risk"])
async def test_kill_9_of_the_svm_leaves_no_worker(sandbox: str) -> None:
    """All of its processes die with it, also those that stand still and would notice nothing."""
    loop = asyncio.get_running_loop()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", SERVE, sandbox]
    svm = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
    assert svm.stdout is not None
    assert await asyncio.wait_for(svm.stdout.readline(), DEADLINE) == b"ready\n"
    workers = workers_below(svm.pid)
    assert len(workers) == 2
    ends = []
    for pid in descendants(svm.pid):
        end, pidfd = loop.create_future(), os.pidfd_open(pid)
        loop.add_reader(pidfd, partial(_set, end))
        ends.append((end, pidfd))
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    svm.kill()
    await asyncio.wait_for(asyncio.gather(*(end for end, _ in ends)), DEADLINE)
    await svm.wait()
    for _, pidfd in ends:
        loop.remove_reader(pidfd)
        os.close(pidfd)
