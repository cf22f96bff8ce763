"""Our side as a user runs it: `svm serve` with a configuration file, and `guest-stub scan`."""

import json
import os
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.data import write_digests
from tests.benchmarks.harness import Bench, BenchError
from tests.benchmarks.processes import Driver, Service, python, run

MAP_MIB = 1024
TREE_MAY_MOVE = 0.001  # of the files of a live tree; none of a small one


@dataclass(frozen=True, slots=True)
class Engines:
    """What an SVM scans with. rules_dirs: YARA rules besides, or instead of, the shipped ones."""

    shipped: bool = True
    rules_dirs: tuple[Path, ...] = ()
    clamd_socket: Path | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Verdicts that were written into an SVM's store before it started.

    state: its state directory. digests: the file that names them all. value, prefix: a record and
    what stands before a digest in its key, hexadecimal.
    """

    state: Path
    digests: Path
    count: int
    value: str
    prefix: str


class Svm:
    """A running `svm serve`."""

    def __init__(
        self,
        scratch: Path,
        state: Path | None = None,
        engines: Engines = Engines(),
        more: str = "",
        port: int = 0,
    ) -> None:
        """Start it and wait until guests can attach.

        state: its state directory, or a new one. more: TOML of tables that are not set here. port: on which
        guests come in by TLS, 0 for a unix socket; `svm init` was run then.
        """
        self._port = port
        self._socket = scratch / "svm.sock"
        self._admin = scratch / "admin.sock"
        self.target = f"tcp:127.0.0.1:{port}" if port else f"unix:{self._socket}"
        self.state = state or scratch / "svm-state"
        configuration = scratch / "svm.toml"
        configuration.write_text(self._settings(engines) + more)
        self._service = Service(
            python("-m", "appliance", "serve", "--config", str(configuration)), scratch / "svm.log"
        )
        self.admin = str(self._admin)
        self.pid = self._service.pid
        self._service.wait_ready(self._accepts)

    def _settings(self, engines: Engines) -> str:
        """Return the configuration: the embedded defaults but for paths and engines."""
        shipped = json.dumps(engines.shipped)
        only_clamd = engines.clamd_socket is not None
        lines = [
            "[server]",
            f'listen = "{self.target}"',
            f'admin = "{self._admin}"',
            f'state_dir = "{self.state}"',
            "[cache]",
            f"map_mib = {MAP_MIB}",
            "[engines.yara]",
            f"enabled = {json.dumps(not only_clamd)}",
            f"shipped = {shipped}",
            f"rules_dirs = {json.dumps([str(path) for path in engines.rules_dirs])}",
            "[engines.hashlist]",
            f"enabled = {json.dumps(not only_clamd)}",
            f"shipped = {shipped}",
            "[engines.clamd]",
            f"enabled = {json.dumps(only_clamd)}",
        ]
        if engines.clamd_socket is not None:
            lines.append(f'socket = "{engines.clamd_socket}"')
        return "\n".join(lines) + "\n"

    def _accepts(self) -> bool:
        """Whether guests can connect."""
        try:
            family = socket.AF_INET if self._port else socket.AF_UNIX
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(5)
                connection.connect(("127.0.0.1", self._port) if self._port else str(self._socket))
        except OSError:
            return False
        return True

    def figures(self) -> dict[str, float]:
        """Return its figures, as `svm status` shows them."""
        figures: dict[str, float] = self._status()["figures"]
        return figures

    def generation(self) -> int:
        """Return the generation that is in force."""
        return int(self._status()["generation"], 16)

    def accept_statement(self) -> None:
        """Have the tenant of all guests take part in KSN, under the Statement in force."""
        asking = python("-m", "appliance", "ksn", "status", "--json", "--socket", str(self._admin))
        # 1: KSN is off, which is why this is done.
        version = json.loads(run(asking, good=(0, 1)).output)["participation"]["statement_in_force"]
        deciding = ("policy", "create", "default", "--ksn", "accept", "--statement", str(version))
        run(python("-m", "appliance", *deciding, "--socket", str(self._admin)))

    def _status(self) -> dict[str, Any]:
        asking = python("-m", "appliance", "status", "--json", "--socket", str(self._admin))
        status: dict[str, Any] = json.loads(run(asking).output)
        return status

    def __enter__(self) -> Self:
        """Nothing to do: it is ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._service.stop()


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest: its stub's state directory, and the SVM that it asks."""

    target: str
    state: Path
    options: tuple[str, ...] = field(default=())

    def argv(self, top: Path) -> list[str]:
        """Return the command that scans a tree."""
        fixed = ("-m", "guest_stub", "scan", "--json", "--svm", self.target, "--state", str(self.state))
        return python(*fixed, *self.options, "--", str(top))

    def scan(self, top: Path, files: int, watch_memory: bool = False) -> "Scan":
        """Scan a tree as a whole command. BenchError when the stub did not count some `files` files.

        Exit code 1 is a detection, 2 a file that could not be judged: both may be in a real tree.
        """
        ended = run(self.argv(top), good=(0, 1, 2), watch_memory=watch_memory)
        try:
            counts: dict[str, Any] = json.loads(ended.output.strip().rpartition("\n")[2])
        except json.JSONDecodeError as error:
            raise BenchError(
                f"guest-stub scan ended with {ended.code}, no summary: {ended.errors}"
            ) from error
        if abs(counts.get("files", 0) - files) > files * TREE_MAY_MOVE:
            raise BenchError(f"the stub counted {counts.get('files')} of {files} files: {counts}")
        return Scan(ended.seconds, ended.peak_mib, counts)


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan that ended: seconds of the whole command, its peak memory if watched, its summary."""

    seconds: float
    peak_mib: float
    counts: dict[str, Any]


def fresh(path: Path) -> Path:
    """Return the path with nothing there."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def known_verdicts(bench: Bench, count: int) -> Knowledge:
    """Return a state directory whose store holds `count` verdicts of the generation in force.

    Made once in a run: an SVM is started to learn its generation, stopped, and its store filled.
    """
    place = bench.shared / f"known-{count}"
    told = place / "told.json"
    digests = place / "digests.bin"
    if not told.exists():
        bench.say(f"  writing {count:,} verdicts")
        os.makedirs(place, exist_ok=True)
        write_digests(digests, count)
        with Svm(place) as svm:
            generation = svm.generation()
        filling = Driver(
            "fill_cache",
            place / "fill.log",
            directory=str(svm.state),
            map_bytes=MAP_MIB << 20,
            digests=str(digests),
            generation=generation,
        )
        with filling:
            told.write_text(json.dumps(filling.ready))
    answer = json.loads(told.read_text())
    return Knowledge(place / "svm-state", digests, count, answer["value"], answer["prefix"])
