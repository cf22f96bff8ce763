"""The programs that are shown: `svm serve`, and `guest-stub scan` once for each guest."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

BIN = Path(sys.executable).parent
START_SECONDS = 120.0  # the first start compiles the rules
STOP_SECONDS = 60.0


class ProgramFailed(Exception):
    """A program did not do what it was started for; the message holds its own words."""


class Reputation(Protocol):
    """A Private KSN that an SVM can ask; `reputation.PrivateKsn` is it."""

    endpoint: str
    api_key_file: Path


class Svm:
    """`svm serve` with the embedded defaults and a Private KSN, its files and sockets under one directory."""

    def __init__(self, directory: Path, ksn: Reputation) -> None:
        """directory: exists, and has a short path, since it holds sockets. ksn: serves."""
        self.address = f"unix:{directory}/svm.sock"
        self.admin = f"{directory}/admin.sock"
        self.state = directory / "svm-state"
        self._directory = directory
        self._ksn = ksn
        self._log = directory / "svm.log"

    def __enter__(self) -> Self:
        """Start it, and return when guests can attach. Raises ProgramFailed."""
        config = self._directory / "svm.toml"
        config.write_text(
            "[server]\n"
            f'listen = "{self.address}"\n'
            f'admin = "{self.admin}"\n'
            f'state_dir = "{self.state}"\n'
            "[ksn]\n"
            "enabled = true\n"
            'type = "private"\n'
            f'endpoint = "{self._ksn.endpoint}"\n'
            f'api_key_file = "{self._ksn.api_key_file}"\n'
            "per_minute = 0\n"
            "per_day = 0\n"
            # All of five scans that begin at once, so that the file which KSN alone knows is asked about too.
            "open_questions = 65536\n"
            "longest_seconds = 60.0\n"
            "budget_share = 0.9\n"
        )
        notices = f"{self._directory}/notify.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self._log.open("wb") as log:
            ready.bind(notices)
            ready.settimeout(0.2)
            self._process = subprocess.Popen(
                [BIN / "svm", "serve", "--config", config],
                stderr=log,
                env=environment() | {"NOTIFY_SOCKET": notices},
            )
            try:
                self._wait_until_ready(ready)
            except BaseException:
                end(self._process)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, gracefully at first."""
        end(self._process)

    def accept_statement(self, version: int) -> None:
        """Have the tenant of all guests take part in KSN, as an administrator does. Raises ProgramFailed."""
        words = ["policy", "create", "default", "--ksn", "accept", "--statement", str(version)]
        done = subprocess.run(
            [BIN / "svm", *words, "--socket", self.admin],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        if done.returncode:
            raise ProgramFailed(f"svm policy create ended with exit code {done.returncode}:\n{done.stderr}")

    def check(self) -> None:
        """Raise ProgramFailed where it has ended by itself."""
        if self._process.poll() is not None:
            raise ProgramFailed(
                f"svm serve ended with exit code {self._process.returncode}:\n{last_lines(self._log)}"
            )

    def _wait_until_ready(self, ready: socket.socket) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with suppress(TimeoutError):
                if ready.recv(64) == b"READY=1":
                    return
        raise ProgramFailed(f"svm serve is not ready after {START_SECONDS:g} s:\n{last_lines(self._log)}")


class Guest:
    """One `guest-stub scan`: a process of its own, with a state of its own."""

    def __init__(self, name: str, svm: Svm, directory: Path, paths: Sequence[Path]) -> None:
        """Start it; it says what it finds into files under `directory`, which exists."""
        self.name = name
        self._said = directory / f"{name}.json"
        self._errors = directory / f"{name}.err"
        state = directory / f"{name}-state"
        command: list[str | Path] = [BIN / "guest-stub", "scan", "--json", "--svm", svm.address]
        with self._said.open("wb") as said, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, "--state", state, "--", *paths],
                stdout=said,
                stderr=errors,
                env=environment(),
            )

    @property
    def identity(self) -> str:
        """What the SVM calls it: by the credentials of its process."""
        return f"uid-{os.getuid()}.pid-{self._process.pid}"

    @property
    def exit_code(self) -> int | None:
        """None while it scans."""
        return self._process.poll()

    def report(self) -> list[dict[str, Any]]:
        """The objects that it said, the last of them the summary. Raises ProgramFailed where it has none."""
        try:
            objects = [json.loads(line) for line in self._said.read_text().splitlines()]
        except json.JSONDecodeError:
            objects = []
        if not objects or objects[-1].get("type") != "summary":
            said = last_lines(self._errors)
            raise ProgramFailed(f"{self.name} ended with exit code {self.exit_code}, unfinished:\n{said}")
        return objects

    def end(self) -> None:
        """Kill it where it still runs."""
        self._process.kill()
        self._process.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a program, gracefully at first."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    """Ours, without what would change the programs' settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KVMLA_")}


def last_lines(path: Path, count: int = 20) -> str:
    """The end of a text file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
