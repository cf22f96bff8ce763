"""A Private KSN of the demo's own: `private-ksn import` of a small feed, then `private-ksn serve`."""

import hashlib
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.private_ksn.keys import new_key
from tests.demo.programs import BIN, ProgramFailed, end, environment, last_lines

FEED = "incident"
THREAT = "Demo.KnownToKsnAlone"
OTHERS = 999  # digests of the feed that no file has
START_SECONDS = 60.0
_LOOK_SECONDS = 0.05


def plant(directory: Path) -> Path:
    """Make a harmless text that no engine minds and nobody has seen; it is returned."""
    path = directory / "known-to-ksn-alone.txt"
    path.write_text(f"Harmless. Nobody has seen this text before: {secrets.token_hex(32)}\n")
    return path


def write_feed(path: Path, known: Sequence[bytes]) -> None:
    """Write a plain list in which `known`, SHA-256, stand between others."""
    others = [hashlib.sha256(f"other {number}".encode()).digest() for number in range(OTHERS)]
    lines = [f"{digest.hex()} {THREAT}" for digest in sorted([*others, *known])]
    path.write_text("\n".join(["# SHA-256 and what it is called", *lines, ""]))


class PrivateKsn:
    """A Private KSN on a free port of this machine, its files under one directory.

    endpoint, api_key_file: what an SVM needs to ask it.
    """

    def __init__(self, directory: Path) -> None:
        """directory: is made."""
        directory.mkdir()
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}/api/v1/"
        self.api_key_file = directory / "api-key"
        self._config = directory / "private-ksn.toml"
        self._log = directory / "private-ksn.log"
        key, line = new_key("demo-svm")
        self.api_key_file.touch(mode=0o600)
        self.api_key_file.write_text(f"{key}\n")
        (directory / "keys").write_text(f"{line}\n")
        self._config.write_text(
            "[server]\n"
            f'listen = "127.0.0.1:{port}"\n'
            f'data_dir = "{directory}/data"\n'
            f'keys_file = "{directory}/keys"\n'
        )

    def take_in(self, feed: Path) -> str:
        """Import a plain list; what the program says of it. Raises ProgramFailed."""
        words: list[str | Path] = [
            "import",
            "plain",
            feed,
            "--zone",
            "red",
            "--feed",
            FEED,
            "--config",
            self._config,
        ]
        done = subprocess.run(
            [BIN / "private-ksn", *words], capture_output=True, text=True, env=environment(), check=False
        )
        if done.returncode:
            raise ProgramFailed(f"private-ksn import ended with exit code {done.returncode}:\n{done.stderr}")
        said: str = done.stdout
        return said.strip()

    def __enter__(self) -> Self:
        """Start it, and return when it answers. Raises ProgramFailed."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [BIN / "private-ksn", "serve", "--config", self._config], stderr=log, env=environment()
            )
        try:
            self._wait_until_ready()
        except BaseException:
            end(self._process)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, gracefully at first."""
        end(self._process)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if '"serving"' in self._log.read_text(errors="replace"):
                return
            time.sleep(_LOOK_SECONDS)
        raise ProgramFailed(f"private-ksn serve does not serve:\n{last_lines(self._log)}")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
