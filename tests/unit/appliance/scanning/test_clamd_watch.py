"""Tests of appliance/scanning/clamd_watch.py, with a socket that answers as clamd does.

tests/integration/test_clamd_followed.py has a real clamd.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.config import ClamdSettings
from appliance.scanning.clamd_watch import ClamdSeen, ClamdWatch, directory_identity
from tests.support.clamd import VersionDaemon
from tests.support.scanning import DEADLINE, until


@asynccontextmanager
async def watched(daemon: VersionDaemon, seen: list[ClamdSeen]) -> AsyncIterator[ClamdWatch]:
    """A watch on the daemon, polling as fast as it can."""
    settings = ClamdSettings(enabled=True, socket=daemon.path, poll_seconds=0.05)
    watch = ClamdWatch(settings, seen.append)
    await asyncio.wait_for(watch.start(), DEADLINE)
    try:
        yield watch
    finally:
        await watch.close()


async def test_the_version_is_known_from_the_start(tmp_path: Path) -> None:
    """And a new one after the next poll."""
    daemon, seen = VersionDaemon(tmp_path / "clamd.ctl"), list[ClamdSeen]()
    await daemon.start()
    async with watched(daemon, seen) as watch:
        assert watch.seen == ClamdSeen(daemon.version.decode(), "", directory_identity(tmp_path))
        daemon.version = b"ClamAV 1.4.3/27701/Tue Jul 15 08:35:11 2025"
        await until(lambda: seen and "27701" in seen[-1].version, "the new version is seen")
        assert "27701" in watch.seen.version
    await daemon.stop()


async def test_a_clamd_that_is_gone_is_a_problem_and_keeps_its_version(tmp_path: Path) -> None:
    """Its signatures are the same until it says otherwise; it is seen when it is back."""
    daemon, seen = VersionDaemon(tmp_path / "clamd.ctl"), list[ClamdSeen]()
    await daemon.start()
    async with watched(daemon, seen) as watch:
        await daemon.stop()
        await until(lambda: watch.seen.problem, "the absence is seen")
        assert str(daemon.path) in watch.seen.problem
        assert watch.seen.version == daemon.version.decode()
        await daemon.start()
        await until(lambda: not watch.seen.problem, "the return is seen")
    await daemon.stop()


async def test_a_clamd_that_was_never_there_has_no_version(tmp_path: Path) -> None:
    """The watch starts all the same; not even the directory has to exist."""
    async with watched(VersionDaemon(tmp_path / "run" / "clamd.ctl"), []) as watch:
        assert watch.seen.version == ""
        assert watch.seen.directory is None
        assert "clamd.ctl" in watch.seen.problem


async def test_a_silent_clamd_holds_nothing_up(tmp_path: Path) -> None:
    """A poll gives up after its time, and the loop goes on meanwhile."""
    daemon = VersionDaemon(tmp_path / "clamd.ctl")
    daemon.version = b""
    await daemon.start()
    async with watched(daemon, []) as watch:
        assert "did not answer in time" in watch.seen.problem
    await daemon.stop()


async def test_a_directory_that_is_made_anew_is_another_one(tmp_path: Path) -> None:
    """That is how a socket moves out of a worker's sight."""
    run = tmp_path / "run"
    run.mkdir()
    before = directory_identity(run)
    (tmp_path / "keeps the inode taken").mkdir()
    run.rename(tmp_path / "old")
    run.mkdir()
    assert before != directory_identity(run)
