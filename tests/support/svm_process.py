"""A real `svm serve` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.svm import DEADLINE

ROOT = Path(__file__).parents[2]


@dataclass
class SvmProcess:
    """The process, and where it keeps things. log: what it has said on stderr."""

    process: subprocess.Popen[str]
    directory: Path

    @property
    def target(self) -> str:
        """What guests connect to."""
        return f"unix:{self.directory}/svm.sock"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.directory / "log").read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the front process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status, once it has ended."""
        return self.process.wait(DEADLINE)


def write_config(
    directory: Path, extra: str = "", hashlists: Path | None = None, listen: str = "", doors: str = ""
) -> Path:
    """A configuration with everything under `directory`, and few engines.

    hashlists: a directory of hash lists to load. extra: more of the configuration's text. listen: where,
    instead of a unix socket in the directory. doors: more of its table [server].
    """
    config = directory / "svm.toml"
    config.write_text(
        f"""
[server]
listen = "{listen or f"unix:{directory}/svm.sock"}"
admin = "{directory}/admin.sock"
state_dir = "{directory}/state"
stop_grace_seconds = 10
{doors}

[scanning]
workers = 1

[engines.yara]
enabled = false

[engines.hashlist]
enabled = {"true" if hashlists else "false"}
shipped = false
{f'dirs = ["{hashlists}"]' if hashlists else ""}

{extra}
"""
    )
    return config


@contextmanager
def svm_process(
    directory: Path,
    extra: str = "",
    hashlists: Path | None = None,
    listen: str = "",
    within: Sequence[str] = (),
    program: Sequence[str] = ("appliance",),
    doors: str = "",
) -> Iterator[SvmProcess]:
    """A serving SVM; killed at the end if it still runs. See write_config for the rest.

    within: a command that prepares the place for it and then becomes the command that follows. program: the
    module that is run, and words before those of `svm`.
    """
    config = write_config(directory, extra, hashlists, listen, doors)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    command = [*within, sys.executable, "-m", *program, "serve", "--config", str(config)]
    with (directory / "log").open("a") as log:
        start = log.tell()
        process = subprocess.Popen(command, stderr=log, stdout=log, text=True, env=environ, cwd=ROOT)
    svm = SvmProcess(process, directory)
    try:
        _wait_for_line(svm, start, "serving")
        yield svm
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait_for_line(svm: SvmProcess, start: int, word: str) -> None:
    """Return when the log has a line with the event; raises with the log when the process ends before."""

    end = time.monotonic() + DEADLINE
    while f'"{word}"' not in svm.log[start:]:
        if svm.process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"svm serve did not come up:\n{svm.log[start:]}")
        time.sleep(0.02)
