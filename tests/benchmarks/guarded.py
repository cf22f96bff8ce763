"""Machines to open files on: a mount namespace each, watched by `guest-stub run`, by clamonacc, or by nobody.

What is watched is a file system of the namespace's own, and nothing of the rest of this machine: an empty
one, and, where a whole build is to be watched, overlays over /usr and /etc, through which programs, libraries
and headers are opened.
"""

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.processes import Service, python, run
from tests.benchmarks.theirs import program

TOOLS = ("/usr", "/etc")  # what a build reads beside its sources


@dataclass(frozen=True, slots=True)
class Contents:
    """What there is when the watching begins.

    tree: copied to `watched`/tree. directories: made in `watched`. over: directories of this machine, each
    under an overlay that is watched, too.
    """

    tree: Path | None = None
    directories: tuple[str, ...] = ()
    over: tuple[str, ...] = ()


class Machine:
    """watched, free: its two file systems, for what is run inside. pid: of the program that watches."""

    def __init__(self, scratch: Path, argv: Sequence[str], contents: Contents = Contents()) -> None:
        """Start it; whoever watches is ready when the caller finds so. scratch: of its own."""
        self.watched, self.free = watched_of(scratch), scratch / "free"
        self.watched.mkdir(parents=True, exist_ok=True)
        self.free.mkdir(exist_ok=True)
        setting_up = [*_mounting(self.watched, self.free, contents), 'exec "$@"']
        apart = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(setting_up), "sh"]
        self.service = Service([*apart, *argv], scratch / "watching.log")
        self.pid = self.service.pid

    def inside(self, *argv: str) -> list[str]:
        """Return the command that runs another one there, in this directory if it is there."""
        return ["nsenter", f"--target={self.pid}", "--mount", f"--wd={os.getcwd()}", "--", *argv]

    def ask(self, driver: str, **settings: Any) -> Any:
        """Run a driver there to its end; what it printed."""
        argv = python("-m", f"tests.benchmarks.drivers.{driver}", json.dumps(settings))
        return json.loads(run(self.inside(*argv)).output)

    def run(self, argv: Sequence[str]) -> float:
        """Run a command there to its end; its seconds."""
        return run(self.inside(*argv)).seconds

    def __enter__(self) -> Self:
        """Nothing to do: it was started."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop who watches; the file systems go with him."""
        self.service.stop()


class Guarded(Machine):
    """Watched by `guest-stub run`."""

    def __init__(
        self, scratch: Path, target: str, mode: str = "block-open", contents: Contents = Contents()
    ) -> None:
        """Start the stub and wait until it has its SVM."""
        scratch.mkdir(exist_ok=True)
        config = scratch / "guest-stub.toml"
        config.touch()
        watch = [word for top in (watched_of(scratch), *contents.over) for word in ("--watch", str(top))]
        state = ("--state", str(scratch / "stub"), "--config", str(config))
        stub = python("-m", "guest_stub", "run", "--mode", mode, "--svm", target, *watch, *state)
        super().__init__(scratch, stub, contents)
        self.service.wait_ready(lambda: "the SVM answers" in self.service.tail())


class Unguarded(Machine):
    """Watched by nobody."""

    def __init__(self, scratch: Path, contents: Contents = Contents()) -> None:
        """Set the file systems up."""
        super().__init__(scratch, ["sh", "-c", "echo ready && exec sleep infinity"], contents)
        self.service.wait_ready(lambda: "ready" in self.service.tail())


class Clamonacc(Machine):
    """Watched by clamonacc, which keeps back whoever opens a file until clamd has looked at it."""

    def __init__(self, scratch: Path, clamd: Path, contents: Contents = Contents()) -> None:
        """Start it and wait until it watches. clamd: the configuration of a running one.

        It must be told to leave somebody's files alone, and by number: the name of a user it looks up in
        /etc, where it would wait for itself. So it is told of one whom nobody here is.
        """
        scratch.mkdir(exist_ok=True)
        tops = [str(watched_of(scratch)), *contents.over]
        config = scratch / "clamonacc.conf"
        settings = ["OnAccessPrevention yes", "OnAccessExcludeUID 65534"]
        settings += [f"OnAccessIncludePath {top}" for top in tops]
        config.write_text(clamd.read_text() + "\n".join(settings) + "\n")
        watching = [program("clamonacc"), "--foreground", "--fdpass", f"--config-file={config}"]
        super().__init__(scratch, watching, contents)
        self.service.wait_ready(lambda: self.service.tail().count("(and all sub-directories)") == len(tops))


def watched_of(scratch: Path) -> Path:
    """Where the watched file system of a machine is mounted."""
    return scratch / "watched"


def _mounting(watched: Path, free: Path, contents: Contents) -> list[str]:
    """The commands of a shell that set the file systems up. Overlays keep changes where nobody watches."""
    lines = [f"mount -t tmpfs none {shlex.quote(str(top))}" for top in (watched, free)]
    for number, top in enumerate(contents.over):
        upper, work = free / f"upper-{number}", free / f"work-{number}"
        lines.append(f"mkdir {shlex.quote(str(upper))} {shlex.quote(str(work))}")
        options = f"lowerdir={top},upperdir={upper},workdir={work}"
        lines.append(f"mount -t overlay none -o {shlex.quote(options)} {shlex.quote(top)}")
    lines += [f"mkdir {shlex.quote(str(watched / name))}" for name in contents.directories]
    if contents.tree is not None:
        lines.append(f"cp -a {shlex.quote(str(contents.tree))} {shlex.quote(str(watched / 'tree'))}")
    return lines
