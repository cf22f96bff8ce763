"""The SVM of a run: a process of its own, started, killed and started again on one directory."""

import asyncio
import gc
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import processes
from tests.chaos.broken import Broken
from tests.support.apart import ROOT, environment
from tests.support.commands import svm_program
from tests.support.svm_process import write_config

WORKERS = 2
PATIENCE = 60.0  # seconds for anything to come about on a machine that is busy with other things

_SETTINGS = """
[state]
audit_entries = 1000000

[identity]
enrolments_per_minute = 10000

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
    """directory: where all of it lies. endpoint: of the KSN that it asks. ports: see ports()."""

    directory: Path
    endpoint: str
    ports: tuple[int, int, int]
    authority: bytes = b""  # PEM
    process: subprocess.Popen[bytes] | None = None
    usual: processes.Held | None = None

    @property
    def target(self) -> str:
        """What guests connect to, as the stub takes it."""
        return f"tcp:{self.address}"

    @property
    def address(self) -> str:
        """The same, as gRPC takes it."""
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def enrolment_address(self) -> str:
        """Where guests enrol."""
        return f"127.0.0.1:{self.ports[1]}"

    @property
    def administration_address(self) -> str:
        """Where administrators come in with certificates."""
        return f"127.0.0.1:{self.ports[2]}"

    @property
    def admin(self) -> str:
        """Where the others come in."""
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

    def initialise(self) -> None:
        """Make its certificates, as people do. Raises Broken."""
        ran = svm_program("init", "--config", self._config(), "--address", "127.0.0.1")
        if ran.code:
            raise Broken(ran.err)
        self.authority = (self.state / "identity" / "ca.pem").read_bytes()

    def _config(self) -> Path:
        doors = f'enrolment = "{self.enrolment_address}"\nadmin_listen = "{self.administration_address}"'
        extra = _SETTINGS.format(endpoint=self.endpoint)
        config = write_config(self.directory, extra, listen=self.target, doors=doors)
        config.write_text(config.read_text().replace("workers = 1", f"workers = {WORKERS}"))
        return config

    def spawn(self) -> None:
        """Start it, without waiting for anything."""
        command = [sys.executable, "-m", "appliance", "serve", "--config", str(self._config())]
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
            await asyncio.sleep(0.02)


def ports() -> tuple[int, int, int]:
    """For guests, for enrolment, for administrators: of those that the kernel gives to nobody by itself.

    Between two SVMs of a run nobody listens on them for a moment.
    """
    found = list[int]()
    for port in random.sample(range(12_000, 32_000), 1000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == 3:
            return found[0], found[1], found[2]
    raise Broken("this machine has no ports left to listen on")
