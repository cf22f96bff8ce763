"""The program `guest-stub` as a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.apart import ROOT, environment

DEADLINE = 60.0


@dataclass(frozen=True)
class Ended:
    """How it ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What it said with --json."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last object."""
        return self.objects[-1]


async def start(
    *words: str | Path,
    command: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    out: int = asyncio.subprocess.PIPE,
) -> asyncio.subprocess.Process:
    """Start `guest-stub` with these words. command: what runs Python, if not Python itself."""
    return await asyncio.create_subprocess_exec(
        *(command or (sys.executable,)), "-m", "guest_stub", *map(str, words),
        stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT, env=environment() | dict(env or {}), limit=1 << 24,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for its end."""
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, (out or b"").decode(), err.decode())


async def guest_stub(
    *words: str | Path, command: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Ended:
    """Run it to its end."""
    return await ended(await start(*words, command=command, env=env))


async def on_terminal(*words: str | Path) -> Ended:
    """Run it with its standard error on a terminal; what it drew is in `err`."""
    leader, follower = os.openpty()
    os.set_blocking(leader, False)
    drawn = bytearray()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            drawn.extend(os.read(leader, 65536))
        except OSError:  # the other side is closed
            loop.remove_reader(leader)

    loop.add_reader(leader, read)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "guest_stub", *map(str, words),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=follower,
        cwd=ROOT, env=environment(),
    )  # fmt: skip
    os.close(follower)
    async with asyncio.timeout(DEADLINE):
        out, _ = await process.communicate()
    loop.remove_reader(leader)
    read()  # what came since
    os.close(leader)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), drawn.decode())
