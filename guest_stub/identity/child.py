"""What the daemon has a program of its own do, so that it never loads what that takes: `guest-stub renew`.

It is begun in a thread, and by fork(2): the kernel asks this daemon whether the program may be opened, so its
loop has to go on until that has happened, which vfork(2) would not let it.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_MOST_SAID = 2048


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, and in which environment."""

    words: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


async def run(command: Command, seconds: float) -> str:
    """Run it to its end: why it failed, "" when it did not. It is killed after so many seconds."""
    loop = asyncio.get_running_loop()
    try:
        process = await loop.run_in_executor(None, _start, command)
    except OSError as problem:
        return f"{command.words[0]}: {problem.strerror}"
    try:
        code = await loop.run_in_executor(None, process.wait, seconds)
        return _said(process) if code else ""
    except subprocess.TimeoutExpired:
        return f"it took more than {seconds:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            loop.run_in_executor(None, process.wait)  # its end may wait for an answer of this loop's
        assert process.stderr is not None
        process.stderr.close()


def _start(command: Command) -> "subprocess.Popen[bytes]":
    """Begin it; for a thread. Raises OSError."""
    before, subprocess._USE_VFORK = subprocess._USE_VFORK, False  # type: ignore[misc] # see the module
    try:
        return subprocess.Popen(
            command.words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(command.environ),
        )
    finally:
        subprocess._USE_VFORK = before  # type: ignore[misc]


def _said(process: "subprocess.Popen[bytes]") -> str:
    """The last line that an ended program has said."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    lines = (process.stderr.read(_MOST_SAID) or b"").decode(errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("guest-stub: ") if lines else ""
    return said or f"it ended with {process.returncode}"
