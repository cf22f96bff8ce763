"""Tests of `guest-stub run`: its settings, its life, and what systemd and people see of it.

It watches nothing here: nothing is mounted at a directory which is not there.
"""

import asyncio
import signal
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.cli.arguments import parse
from guest_stub.cli.run import settings_of
from guest_stub.cli.setup import prepare
from guest_stub.on_access.policy import FailMode, Mode
from guest_stub.on_access.settings import AccessSettings
from tests.support.on_access_apart import watching
from tests.support.stub_program import DEADLINE, ended, start

CONFIGURED = """
[on_access]
mode = "notify"
open_on_failure = "deny"
watch = ["/configured"]
"""


def settings(directory: Path, *words: str) -> AccessSettings:
    """What is in force."""
    (directory / "stub.toml").write_text(CONFIGURED)
    options: Namespace = parse(["run", "--config", str(directory / "stub.toml"), *words])
    return settings_of(options, prepare(options, {}))


def test_what_is_configured_is_in_force(tmp_path: Path) -> None:
    """Unless the command line names it."""
    configured = AccessSettings(Mode.NOTIFY, open_on_failure=FailMode.DENY, watch=("/configured",))
    assert settings(tmp_path) == configured
    assert settings(tmp_path, "--mode", "block-exec") == replace(configured, mode=Mode.BLOCK_EXEC)
    both = settings(tmp_path, "--watch", "/a", "--watch", "/b")
    assert both == replace(configured, watch=("/a", "/b"))


def test_a_mode_that_is_none_is_refused(tmp_path: Path) -> None:
    """By the command line."""
    with pytest.raises(SystemExit):
        settings(tmp_path, "--mode", "some")


class Daemon:
    """It as a process. said: its lines so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def says(self, words: str) -> None:
        """Read until a line has these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if words in line:
                    return
        raise AssertionError("".join(self.said))


@asynccontextmanager
async def daemon(
    directory: Path, *words: str, command: Sequence[str] = (), **environ: str
) -> AsyncIterator[Daemon]:
    """One that watches nothing; it is killed at the end."""
    (directory / "stub.toml").write_text('[on_access]\nwatch = ["/nonexistent"]\n')
    process = await start(
        "run", "--svm", f"unix:{directory}/none", "--state", directory / "state",
        "--config", directory / "stub.toml", *words, command=command, env=environ,
    )  # fmt: skip
    try:
        yield Daemon(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@watching
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_runs_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """Then it says what it did, and its code is 0."""
    async with daemon(tmp_path, "--mode", "block-exec") as running:
        await running.says("protecting: block-exec")
        running.process.send_signal(number)
        await running.says("asked 0, known 0")
        assert await asyncio.wait_for(running.process.wait(), DEADLINE) == 0


@watching
async def test_systemd_hears_of_its_life(tmp_path: Path) -> None:
    """That it lives, that it is ready, that it ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        async def heard(wanted: bytes) -> None:
            async with asyncio.timeout(DEADLINE):
                while await asyncio.get_running_loop().sock_recv(manager, 4096) != wanted:
                    pass

        async with daemon(
            tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000"
        ) as running:
            await heard(b"READY=1")
            await heard(b"WATCHDOG=1")
            await heard(b"WATCHDOG=1")
            running.process.send_signal(signal.SIGTERM)
            await heard(b"STOPPING=1")
            assert await asyncio.wait_for(running.process.wait(), DEADLINE) == 0


@watching
async def test_a_mount_point_that_is_none_is_said(tmp_path: Path) -> None:
    """Nobody is to believe that it is protected."""
    async with daemon(tmp_path) as running:
        await running.says("protecting")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.stderr is not None
        rest = (await running.process.stderr.read()).decode()
    assert any("/nonexistent" in line for line in [*running.said, rest])


async def test_who_asks_for_a_mount_point_that_is_none_is_refused(tmp_path: Path) -> None:
    """One line, and code 2; a path is taken however it is written."""
    async with daemon(tmp_path, "--watch", "/nonexistent/") as running:
        told = await ended(running.process)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "--watch /nonexistent: nothing is mounted there" in told.err
    async with daemon(tmp_path, "--watch", "nonexistent") as running:
        told = await ended(running.process)
    assert told.code == 2
    assert "--watch names absolute paths, and 'nonexistent' is none" in told.err


@watching
async def test_without_the_right_to_watch_it_says_so(tmp_path: Path) -> None:
    """One line, and code 2."""
    command = ("setpriv", "--bounding-set=-sys_admin", sys.executable)
    async with daemon(tmp_path, command=command) as running:
        told = await ended(running.process)
    assert told.code == 2
    assert told.err.count("\n") == 1
    assert "files can be watched by root only (CAP_SYS_ADMIN)" in told.err


@watching
async def test_a_state_that_cannot_be_kept_ends_no_protection(tmp_path: Path) -> None:
    """It is said: else whoever fills the disk would turn protection off with the next start."""
    (tmp_path / "file").write_text("")
    async with daemon(tmp_path, "--state", str(tmp_path / "file" / "state")) as running:
        await running.says("cannot keep decisions in")
        await running.says("what is let through cannot be noted for later")
        await running.says("protecting: block-open")
        running.process.send_signal(signal.SIGTERM)
        await running.says("asked 0, known 0")
        assert await asyncio.wait_for(running.process.wait(), DEADLINE) == 0
    assert not [line for line in running.said if "Traceback" in line]
