"""A machine that `guest-stub run` protects: a mount namespace with a file system of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.support.apart import ROOT, environment
from tests.support.stub_program import DEADLINE, Ended, ended

_LASTS = 'mount -t tmpfs none "$1" && echo && exec sleep infinity'
_MOUNTED = 'mount -t tmpfs none "$1" && eval "$2" && shift 2 && exec "$@"'


@dataclass
class Protected:
    """top: what is protected; seen by processes in the namespace only. said: the stub's lines so far."""

    top: Path
    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)

    async def run(self, *words: str | Path) -> Ended:
        """Run a program there to its end."""
        return await ended(await self.start(*words))

    async def start(self, *words: str | Path) -> asyncio.subprocess.Process:
        """Start a program there."""
        return await asyncio.create_subprocess_exec(
            "nsenter", f"--target={self.process.pid}", "--mount", "--", *map(str, words),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    def outside(self, name: str) -> Path:
        """A file of the namespace as this process can reach it."""
        return Path(f"/proc/{self.process.pid}/root{self.top}/{name}")

    async def write(self, name: str, content: bytes, age: float = 10) -> None:
        """Write a file there by a process that nobody watches: ours, by another way; so old as is said."""
        await asyncio.to_thread(self.outside(name).write_bytes, content)

    def libraries(self) -> set[str]:
        """The libraries that the stub has loaded."""
        lines = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        return {line.split(maxsplit=5)[5] for line in lines if ".so" in line}

    async def says(self, words: str) -> str:
        """Wait for a line with these words."""
        async with asyncio.timeout(DEADLINE):
            while not (found := [line for line in self.said if words in line]):
                await asyncio.sleep(0.01)
                assert self.process.returncode is None or found, "\n".join(self.said)
        return found[-1]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Have the stub end."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), DEADLINE)


@asynccontextmanager
async def lasting(directory: Path) -> AsyncIterator[int]:
    """A namespace with a file system as protected() makes, for several stubs one after another.

    The id of a process in it.
    """
    (directory / "top").mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", _LASTS, "sh", str(directory / "top"),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        yield process.pid
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def protected(
    directory: Path,
    target: str,
    *options: str,
    settings: str = "",
    prepare: str = ":",
    environ: Mapping[str, str] = MappingProxyType({}),
    within: int = 0,
    python: str = sys.executable,
) -> AsyncIterator[Protected]:
    """A protected file system; the stub is killed at the end.

    settings: of guest-stub.toml. prepare: what a shell does before, with the file system as $1. environ: the
    stub's, beside ours. within: of lasting(), in place of a namespace of its own. python: what runs the stub.
    """
    top, config = directory / "top", directory / "guest-stub.toml"
    top.mkdir(exist_ok=True)
    config.write_text(settings)
    mounted = ("sh", "-c", _MOUNTED, "sh", str(top), prepare)
    process = await asyncio.create_subprocess_exec(
        *(("nsenter", f"--target={within}", "--mount", "--", "env", f"--chdir={ROOT}") if within else
          ("unshare", "--mount", "--propagation", "private", *mounted)),
        python, "-m", "guest_stub", "run", "--svm", target, "--state", str(directory / "stub"),
        "--watch", str(top), "--config", str(config), *options,
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        env=environment() | dict(environ),
    )  # fmt: skip
    machine = Protected(top, process)
    listening = asyncio.get_running_loop().create_task(_listen(machine))
    try:
        await machine.says("protecting")
        yield machine
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await listening


async def _listen(machine: Protected) -> None:
    assert machine.process.stderr is not None
    async for line in machine.process.stderr:
        machine.said.append(line.decode().rstrip("\n"))
