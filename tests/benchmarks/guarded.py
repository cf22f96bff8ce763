"""A machine that `guest-stub run` protects: a mount namespace, two file systems, and one of them watched."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.processes import Service, python, run

_MOUNTED = 'mount -t tmpfs none "$1" && mount -t tmpfs none "$2" && shift 2 && exec "$@"'


class Guarded:
    """watched, free: the two, for what is run inside. pid: of the stub."""

    def __init__(self, scratch: Path, target: str, mode: str = "block-open") -> None:
        """Start the stub and wait until it has its SVM."""
        self.watched, self.free = scratch / "watched", scratch / "free"
        self.watched.mkdir(exist_ok=True)
        self.free.mkdir(exist_ok=True)
        config = scratch / "guest-stub.toml"
        config.touch()
        stub = python(
            *("-m", "guest_stub", "run", "--mode", mode, "--svm", target, "--watch", str(self.watched)),
            *("--state", str(scratch / f"stub-{mode}"), "--config", str(config)),
        )
        apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNTED, "sh"]
        argv = [*apart, str(self.watched), str(self.free), *stub]
        self._service = Service(argv, scratch / "stub.log")
        self.pid = self._service.pid
        self._service.wait_ready(lambda: "the SVM answers" in self._service.tail())

    def inside(self, *argv: str) -> list[str]:
        """Return the command that runs another one there."""
        return ["nsenter", f"--target={self.pid}", "--mount", f"--wd={os.getcwd()}", "--", *argv]

    def ask(self, driver: str, **settings: Any) -> Any:
        """Run a driver there to its end; what it printed."""
        argv = python("-m", f"tests.benchmarks.drivers.{driver}", json.dumps(settings))
        return json.loads(run(self.inside(*argv)).output)

    def run(self, argv: Sequence[str]) -> float:
        """Run a command there to its end; its seconds."""
        return run(self.inside(*argv)).seconds

    def __enter__(self) -> Self:
        """Nothing to do: it protects."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the stub; the file systems go with it."""
        self._service.stop()
