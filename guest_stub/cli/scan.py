"""`guest-stub scan PATH...`: wires a scan, shows its progress, ends it on a signal, says how it ended."""

import asyncio
import hashlib
import os
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from guest_stub.cli.setup import Setup
from guest_stub.console import Console, printable
from guest_stub.decisions import Decisions
from guest_stub.keeping import Keeper
from guest_stub.line import Line
from guest_stub.manners import idle
from guest_stub.on_demand import Equipment, Manner, Scan
from guest_stub.progress import Expected, Progress
from guest_stub.report import Ending, JsonReport, Report, TextReport
from guest_stub.walk import Selection

_REDRAW_SECONDS = 0.25
_LAST_LINES_SECONDS = 5.0  # for a reader of the output that reads no more, once the scan was ended
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a command writes: results, and everything else."""

    out: TextIO
    err: TextIO


async def scan(options: Namespace, setup: Setup, streams: Streams) -> int:
    """Scan as the options say; the exit code. Raises StateRefused, SvmUnreachable, Uncounted and OSError."""
    began = time.monotonic()
    impossible = idle() if options.idle else ""  # before there are threads, which take after this one
    ended = Ended()
    draws = streams.err.isatty() and not options.no_progress
    with ExitStack() as stack:
        console = Console(streams.out, streams.err, draws, ended.from_thread)
        stack.callback(lambda: console.close(_LAST_LINES_SECONDS if ended.why else None))
        if impossible:
            console.note(f"guest-stub: {impossible}")
        roots = tuple(absolute(path) for path in options.paths)
        _say_links(roots, console)
        decisions = stack.enter_context(closing(Decisions(setup.store)))
        keeper = Keeper(decisions)
        report: Report = (JsonReport if options.json else TextReport)(console, options.all)
        async with await Line.open(setup.svm, setup.labels, keeper) as line:
            await keeper.caught_up()  # with what the SVM has revoked since the last scan
            selection = _selection(options, setup, roots, line)
            running = Scan(selection, _manner(options, setup), Equipment(line, decisions, keeper, report))
            walk = _name_of(selection)
            progress = Progress(_expected(roots, decisions.files_of_last_walk(walk)))
            ended.stops(running)
            with stopped_by_signals(ended):
                await _run(running, console, progress, streams.err if draws else None)
            await keeper.close()
            generation = line.current.generation
        totals = running.tally.final()
        if not running.incomplete:
            decisions.remember_walk(walk, totals.seen)
        ending = Ending(totals, time.monotonic() - began, setup.svm, generation, running.incomplete)
        report.ending(ending)
        if running.incomplete:
            console.note(f"guest-stub: the scan is not complete: {printable(running.incomplete)}")
        if decisions.notice:
            console.note(f"guest-stub: {decisions.notice}")
    if console.why_broken and not running.incomplete:  # it was the summary that could not be written
        print(f"guest-stub: {console.why_broken}", file=streams.err)
        return ending.exit_code or 2
    return ending.exit_code


class Ended:
    """Whether and why a scan is to end before its time, whoever says so first. Serves the running loop.

    why: "" as long as nobody has.
    """

    def __init__(self) -> None:
        """Nobody has said so."""
        self.why = ""
        self._loop = asyncio.get_running_loop()
        self._scan: Scan | None = None

    def stops(self, scan: Scan) -> None:
        """This is the scan to stop."""
        self._scan = scan
        if self.why:
            scan.stop(self.why)

    def now(self, why: str) -> None:
        """End it; on the loop."""
        self.why = self.why or why
        if self._scan is not None:
            self._scan.stop(why)

    def from_thread(self, why: str) -> None:
        """End it; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.now, why)


@contextmanager
def stopped_by_signals(ended: Ended) -> Iterator[None]:
    """The first of SIGINT, SIGTERM and SIGHUP ends the scan in order; a second one ends the process.

    One that is ignored, as nohup does, stays ignored.
    """
    loop = asyncio.get_running_loop()
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

    def first(number: signal.Signals) -> None:
        ended.now(f"ended by {number.name}")
        for each in heard:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for number in heard:
        loop.add_signal_handler(number, first, number)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


async def _run(running: Scan, console: Console, progress: Progress, terminal: TextIO | None) -> None:
    """Run the scan to its end, with its progress on the terminal if there is one."""
    showing = None
    if terminal is not None:
        showing = asyncio.get_running_loop().create_task(_show(running, console, progress, terminal))
    try:
        await running.run()
    finally:
        if showing is not None:
            showing.cancel()


async def _show(running: Scan, console: Console, progress: Progress, terminal: TextIO) -> None:
    while True:
        width = os.get_terminal_size(terminal.fileno()).columns or 80  # 0: it does not know
        console.draw(progress.line(time.monotonic(), running.tally.totals(), width))
        await asyncio.sleep(_REDRAW_SECONDS)


def absolute(path: str) -> str:
    """An absolute path to the same, not resolving a symbolic link at its end; raises OSError."""
    if ".." in path.split("/"):  # what that means depends on the links before it
        parent, name = os.path.split(path.rstrip("/") or "/")
        return os.path.realpath(path) if name == ".." else os.path.join(os.path.realpath(parent), name)
    return os.path.abspath(path)


def _say_links(roots: tuple[str, ...], console: Console) -> None:
    for root in roots:
        if os.path.islink(root):
            goal = printable(os.path.realpath(root))
            console.note(f"guest-stub: {printable(root)} is a symbolic link: scanning {goal}")


def _selection(options: Namespace, setup: Setup, roots: tuple[str, ...], line: Line) -> Selection:
    return Selection(
        roots=roots,
        exclude=(*setup.settings.exclude, *options.exclude),
        one_file_system=options.one_file_system,
        max_size=options.max_size,
        sparse_limit=line.current.policy.max_file_bytes,
    )


def _manner(options: Namespace, setup: Setup) -> Manner:
    if options.idle:
        return Manner(1, options.rate or setup.settings.idle_rate_mb * 1e6)
    return Manner(setup.settings.hash_threads, options.rate)


def _name_of(selection: Selection) -> bytes:
    """What stands for this walk when its number of files is remembered."""
    words = (*selection.roots, "", *selection.exclude, str(selection.one_file_system))
    return hashlib.sha256(b"\0".join(map(os.fsencode, words))).digest()[:16]


def _expected(roots: tuple[str, ...], last: int) -> Expected:
    """The files of the last scan like this; else the inodes in use, where file systems are scanned whole."""
    if last:
        return Expected(last, exact=True)
    if not all(map(os.path.ismount, roots)):
        return Expected()
    numbers = [os.statvfs(root) for root in roots]
    return Expected(sum(number.f_files - number.f_ffree for number in numbers))
