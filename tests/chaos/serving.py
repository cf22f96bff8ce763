"""The SVM of a run: a process of its own, started, killed and started again on one directory."""

import asyncio
import gc
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import processes
from tests.chaos.book import Broken
from tests.support.apart import ROOT, environment
from tests.support.svm_process import write_config

WORKERS = 2
PATIENCE = 60.0  # seconds for anything to come about on a machine that is busy with other things

_SETTINGS = """
[cache]
map_mib = 64

[ksn]
enabled = true
type = "private"
endpoint = "{endpoint}"
per_minute = 0
per_day = 0

[ksn.submit]
documents = true
"""


@dataclass
class Serving:
    """directory: where all of it lies. endpoint: of the KSN that it asks."""

    directory: Path
    endpoint: str
    process: subprocess.Popen[bytes] | None = None
    usual: processes.Held | None = None

    @property
    def target(self) -> str:
        """What guests connect to."""
        return f"unix:{self.directory}/svm.sock"

    @property
    def admin(self) -> str:
        """What administrators connect to."""
        return f"{self.directory}/admin.sock"

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.directory / "state"

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        assert self.process is not None
        return self.process.pid

    def spawn(self) -> None:
        """Start it, without waiting for anything."""
        config = write_config(self.directory, _SETTINGS.format(endpoint=self.endpoint))
        text = config.read_text().replace("workers = 1", f"workers = {WORKERS}")
        config.write_text(text)
        command = [sys.executable, "-m", "appliance", "serve", "--config", str(config)]
        with (self.directory / "log").open("ab") as log:
            log.truncate(0)
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), cwd=ROOT)

    async def start(self) -> None:
        """Start it, and return when guests can attach. Raises Broken where it cannot, or lost a file."""
        self.spawn()
        await self._until(lambda: '"serving"' in self.log, "it serves")
        for word in ("set aside", "begin anew", "damaged"):
            if word in self.log:
                raise Broken(f"a file was not what was written: {self.log}")
        await self._until(lambda: len(processes.workers(self.pid)) == WORKERS, "its workers are there")
        if self.usual is None:
            self.usual = processes.held(self.pid)

    @property
    def log(self) -> str:
        """What it has said since its last start."""
        return (self.directory / "log").read_text()

    async def kill(self) -> None:
        """Kill it, and see that nothing of it is left over."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)

    async def rests(self) -> None:
        """Return when it holds no more than at its first start, all its workers among it."""
        assert self.usual is not None
        end = time.monotonic() + PATIENCE
        gc.collect()  # a channel of the harness is closed when the last call on it is forgotten
        while True:
            now, there = processes.held(self.pid), processes.workers(self.pid)
            if now.fits(self.usual) and len(there) == WORKERS:
                return
            if time.monotonic() > end:
                raise Broken(
                    f"the SVM at rest holds {now} and {len(there)} workers; at first it was {self.usual}"
                )
            await asyncio.sleep(0.02)

    async def _until(self, condition: "processes.Condition", what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > end:
                raise Broken(f"it did not come to be that {what}:\n{self.log}")
            await asyncio.sleep(0.01)
