"""Programs that a row starts: run to their end, kept as services, or asked for JSON over a pipe.

CPU time is that of everything below this process: living descendants by /proc/PID/stat, ended ones
by what wait4 handed up. This process is made the reaper of orphans, so that a worker whose parent
died before it is counted too.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.harness import BenchError

REPOSITORY = Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
COMMAND_DEADLINE = 1800.0  # seconds; a command that runs longer is stuck
START_DEADLINE = 120.0
STOP_DEADLINE = 60.0
LOG_TAIL = 2000

_started: set[int] = set()  # processes that somebody here waits for by id


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter with `arguments`."""
    return [sys.executable, *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which our modules are found, installed or not."""
    paths = [str(REPOSITORY), str(REPOSITORY / "protos"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise BenchError(f"cannot become a reaper of orphans: {os.strerror(ctypes.get_errno())}")


def cpu_seconds() -> float:
    """Return the CPU seconds that everything below this process has used so far, living or ended."""
    children, ticks = _process_table()
    for pid in children.get(os.getpid(), []):
        if pid not in _started:
            _reap(pid)
    children, ticks = _process_table()
    ended = getrusage(RUSAGE_CHILDREN)
    below, alive = list(children.get(os.getpid(), [])), 0
    while below:
        pid = below.pop()
        alive += ticks[pid]
        below.extend(children.get(pid, []))
    return ended.ru_utime + ended.ru_stime + alive / TICKS


def _process_table() -> tuple[dict[int, list[int]], dict[int, int]]:
    """Return the children of each process, and each one's ticks with those of the children it reaped."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        children.setdefault(int(fields[1]), []).append(int(entry))
        ticks[int(entry)] = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return children, ticks


def _reap(pid: int) -> None:
    """Take the end of an adopted orphan, if it has ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ran to its end. seconds: wall clock. peak_mib: VmHWM of the process itself."""

    code: int
    seconds: float
    output: str
    errors: str
    peak_mib: float


def run(argv: Sequence[str], good: Sequence[int] = (0,), watch_memory: bool = False) -> Ended:
    """Run a command to its end; BenchError with the end of its stderr when its exit code is not a good one.

    watch_memory: look at its peak memory every 20 ms; off where time is measured.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        argv,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.add(process.pid)
    peak = _PeakWatch(process.pid) if watch_memory else None
    try:
        output, errors = process.communicate(timeout=COMMAND_DEADLINE)
    except BaseException as error:
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchError(f"{' '.join(argv)}: no end within {COMMAND_DEADLINE:.0f} s") from error
        raise
    finally:
        _started.discard(process.pid)
    seconds = time.perf_counter() - began
    if process.returncode not in good:
        raise BenchError(
            f"{' '.join(argv)}: exit code {process.returncode}: {(errors or output)[-LOG_TAIL:]}"
        )
    return Ended(process.returncode, seconds, output, errors[-LOG_TAIL:], peak.stop() if peak else 0.0)


class _PeakWatch:
    """Reads VmHWM of a process until it ends: wait4's maximum would count the parent's before exec."""

    def __init__(self, pid: int) -> None:
        """Start to watch."""
        self._pid, self._peak, self._done = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        """Keep the last value; it only ever rises, but for the exec at the start."""
        while not self._done.wait(0.02):
            self._peak = status_mib(self._pid, "VmHWM") or self._peak

    def stop(self) -> float:
        """Return MiB at the peak."""
        self._done.set()
        self._thread.join()
        return self._peak


class Service:
    """A program that serves until it is stopped; its output goes to a log that errors quote."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        """Start it."""
        self.argv, self.log = list(argv), log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                self.argv,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        self.pid = self._process.pid
        _started.add(self.pid)

    def wait_ready(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready` says so; BenchError when it ends before, or takes too long."""
        deadline = time.monotonic() + START_DEADLINE
        while not ready():
            if self._process.poll() is not None:
                raise BenchError(f"{self.argv}: ended with {self._process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise BenchError(f"{self.argv}: not ready after {START_DEADLINE:.0f} s: {self.tail()}")
            time.sleep(0.02)

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def stop(self) -> None:
        """Ask it to stop, and kill it when it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _started.discard(self.pid)

    def __enter__(self) -> Self:
        """Nothing to do: it has been started."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class Driver:
    """A program of `drivers` that answers each line of JSON with one line of JSON."""

    def __init__(self, module: str, log: Path, **settings: Any) -> None:
        """Start it with `settings`, and wait for its first line: it is ready."""
        self._name = module
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            python("-m", f"tests.benchmarks.drivers.{module}", json.dumps(settings)),
            env=environment(),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.pid = self._process.pid
        _started.add(self.pid)
        self.ready = self._read()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send one question and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        """Return the next line, or raise BenchError when the driver has ended."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], COMMAND_DEADLINE)[0]:
            raise BenchError(f"driver {self._name}: no answer within {COMMAND_DEADLINE:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            tail = Path(self._log.name).read_text(errors="replace")[-LOG_TAIL:]
            raise BenchError(f"driver {self._name} ended with {self._process.returncode}: {tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        """Nothing to do: it is ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: a driver stops when its input ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
        _started.discard(self.pid)


def status_mib(pid: int, field: str) -> float:
    """Return a field of /proc/PID/status in MiB; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")), 0.0)


def thread_seconds(pid: int) -> float:
    """Return the CPU seconds of a process's living threads: not in ticks, as /proc/PID/stat has them."""
    running = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in running) / 1e9


def resident_without(pid: int, left_out: str) -> float:
    """Return MiB that are resident in all mappings of a process but those of files named *left_out."""
    total, counted = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        head = line.split(maxsplit=5)
        if not head[0].endswith(":"):
            counted = len(head) < 6 or not head[5].endswith(left_out)
        elif counted and head[0] == "Rss:":
            total += int(head[1])
    return total / 1024
