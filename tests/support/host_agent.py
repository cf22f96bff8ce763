"""A real `svm-host serve` in a process of its own, and a real SVM over TLS that it tells."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.commands import Ran, svm, svm_program
from tests.support.relay import free_port
from tests.support.svm import DEADLINE
from tests.support.svm_process import ROOT, SvmProcess, svm_process, write_config
from tests.support.tls_guest import TlsGuest

PATIENCE = 60.0


@dataclass
class Site:
    """An SVM with all its doors. process: that serves now. extra: of its settings."""

    directory: Path
    guests: str
    enrolment: str
    admin: str
    extra: str
    process: SvmProcess | None = None

    @contextmanager
    def serving(self) -> Iterator[SvmProcess]:
        """It serves."""
        doors = f'enrolment = "{self.enrolment}"\nadmin_listen = "{self.admin}"'
        with svm_process(
            self.directory, self.extra, listen=f"tcp:{self.guests}", doors=doors
        ) as self.process:
            yield self.process

    async def svm(self, *arguments: object) -> Ran:
        """Run a command of it on its socket."""
        return await asyncio.to_thread(svm, *arguments, "--socket", self.directory / "admin.sock")

    async def listed(self) -> dict[str, dict[str, Any]]:
        """What `svm guests list` says of machines, by name."""
        ran = await self.svm("guests", "list", "--json")
        assert ran.err == ""
        return {each["machine"]["name"]: each for each in ran.json if each["machine"]}

    async def protections(self) -> dict[str, str]:
        """How each machine is protected."""
        return {name: each["machine"]["protection"] for name, each in (await self.listed()).items()}

    async def events(self, *kinds: str) -> list[tuple[str, str]]:
        """Kind and text of the events of these kinds."""
        words = [word for kind in kinds for word in ("--kind", kind)]
        return [(each["kind"], each["text"]) for each in (await self.svm("events", "--json", *words)).json]

    async def until(self, what: Any, wanted: object) -> None:
        """Return when what is asked for is what is wanted. what: an async function."""
        end = time.monotonic() + PATIENCE
        while (found := await what()) != wanted:
            assert time.monotonic() < end, f"is {found}, not {wanted}"
            await asyncio.sleep(0.1)

    async def enrolled(self, uuid: str, tenant: str = "acme") -> TlsGuest:
        """A guest of a machine, with its certificate."""
        ran = await self.svm("guests", "token", "--json", "--uuid", uuid, "--tenant", tenant)
        assert ran.code == 0, ran.err
        ca = (self.directory / "state/identity/ca.pem").read_bytes()
        return await TlsGuest.enrol(self.enrolment, ca, ran.json["token"])

    async def certificate(self, role: str, name: str) -> Path:
        """A directory with one of an administrator."""
        out = self.directory / f"{role}-{name}"
        ran = await self.svm("certificates", "issue", "--role", role, "--name", name, "--out", out)
        assert ran.code == 0, ran.err
        return out


@asynccontextmanager
async def site(directory: Path, extra: str = "") -> AsyncIterator[Site]:
    """One that is initialised and does not serve yet."""
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    guests, enrolment, admin = (f"127.0.0.1:{free_port()}" for _ in range(3))
    made = Site(directory, guests, enrolment, admin, extra)
    doors = f'enrolment = "{made.enrolment}"\nadmin_listen = "{made.admin}"'
    config = write_config(directory, extra, listen=f"tcp:{made.guests}", doors=doors)
    ran = await asyncio.to_thread(svm_program, "init", "--config", config, "--address", "127.0.0.1")
    assert ran.code == 0, ran.err
    yield made


@dataclass
class HostAgent:
    """A host agent in a directory, with its settings. process: that serves now."""

    directory: Path
    process: subprocess.Popen[str] | None = None

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.directory / "svm-host.toml"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.directory / "log").read_text()

    def run(self, *words: object) -> Ran:
        """Run a command of it."""
        ran = subprocess.run(
            self._words(*words),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=_environ(),
            cwd=ROOT,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It serves; it is killed at the end, if it still does."""
        with (self.directory / "log").open("a") as log:
            self.process = subprocess.Popen(
                self._words("serve"), stdout=log, stderr=log, text=True, env=_environ(), cwd=ROOT
            )
        try:
            yield
        finally:
            self.kill()

    def stop(self) -> int:
        """Have it stop; how it ended."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        """It is gone at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def until_it_says(self, *words: str) -> None:
        """Return when all of these stand in one line of its log."""
        end = time.monotonic() + PATIENCE
        while not any(all(word in line for word in words) for line in self.log.splitlines()):
            assert time.monotonic() < end, self.log
            await asyncio.sleep(0.05)

    def _words(self, *words: object) -> list[str]:
        command = [sys.executable, "-m", "appliance.hypervisor", str(words[0])]
        return [*command, "--config", str(self.config), *map(str, words[1:])]


def host_agent(
    directory: Path, uri: str | Sequence[str], svm: Site, identity: Path, extra: str = ""
) -> HostAgent:
    """One with settings. uri: of its host, or of each. identity: the directory of its certificate.

    extra: more tables.
    """
    uris = [uri] if isinstance(uri, str) else list(uri)
    directory.mkdir(exist_ok=True)
    agent = HostAgent(directory)
    agent.config.write_text(
        f'state_dir = "{directory}/state"\n[libvirt]\nuri = {json.dumps(uris)}\n'
        f'[svm]\nserver = "{svm.admin}"\nidentity = "{identity}"\n{extra}'
    )
    return agent


def _environ() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KVMLA_")}
    return {**inherited, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
