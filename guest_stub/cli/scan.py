"""`guest-stub scan PATH...`: wires a scan, shows its progress, ends it on a signal, says how it ended."""

import asyncio
import os
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TextIO

from guest_stub.cli.patience import Patience
from guest_stub.cli.setup import Setup
from guest_stub.console import Console, printable
from guest_stub.decisions import Decisions
from guest_stub.excludes import Excludes
from guest_stub.expecting import expected, name_of
from guest_stub.keeping import Keeper
from guest_stub.line import Line
from guest_stub.manners import idle
from guest_stub.on_demand import Equipment, Manner, Scan
from guest_stub.progress import Progress
from guest_stub.report import Ending, JsonReport, Report, TextReport
from guest_stub.secret import secret_globs
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.values import SCAN_BYTES, ScanState
from guest_stub.turn import ScanListener, Turn, kept
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
        turn = Turn(os.urandom(SCAN_BYTES))
        async with await Line.open(setup.target, setup.labels, ScanListener(turn, keeper)) as line:
            async with kept(turn, line) as keeping:
                await keeper.caught_up()  # with what the SVM has revoked since the last scan
                selection = _selection(options, setup, roots, line)
                equipment = Equipment(turn, decisions, keeper, report, turn.pause)
                running = Scan(selection, _manner(options, setup), equipment)
                walk = name_of(selection)
                size = expected(roots, decisions.files_of_last_walk(walk))
                turn.totals, turn.expected_files = running.tally.totals, size.files
                ended.stops(running)
                keeping.add_done_callback(partial(_unkept, running))
                note = partial(_note, None if draws else console)
                shown = Shown(console, Progress(size), Patience(turn, options.patience, note))
                with stopped_by_signals(ended):
                    await _run(running, shown, streams.err if draws else None)
            await turn.end(turn.status(ended.state(running), running.incomplete))
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


@dataclass(frozen=True, slots=True)
class Shown:
    """What is seen of a scan while it runs."""

    console: Console
    progress: Progress
    patience: Patience


class Ended:
    """Whether and why a scan is to end before its time, whoever says so first. Serves the running loop.

    why: "" as long as nobody has. by_signal: a person has, or whoever stops programs.
    """

    def __init__(self) -> None:
        """Nobody has said so."""
        self.why = ""
        self.by_signal = False
        self._loop = asyncio.get_running_loop()
        self._scan: Scan | None = None

    def state(self, scan: Scan) -> ScanState:
        """How it ended, in the SVM's words."""
        if not scan.incomplete:
            return ScanState.DONE
        return ScanState.CANCELLED if self.by_signal else ScanState.INCOMPLETE

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
        ended.by_signal = True
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


async def _run(running: Scan, shown: Shown, terminal: TextIO | None) -> None:
    """Run the scan to its end, with its progress on the terminal if there is one."""
    loop = asyncio.get_running_loop()
    patience = loop.create_task(shown.patience.run_out())
    patience.add_done_callback(lambda done: None if done.cancelled() else running.stop(done.result()))
    tasks = [patience]
    if terminal is not None:
        tasks.append(loop.create_task(_show(running, shown, terminal)))
    try:
        await running.run()
    finally:
        for task in tasks:
            task.cancel()


async def _show(running: Scan, shown: Shown, terminal: TextIO) -> str:
    while True:
        width = os.get_terminal_size(terminal.fileno()).columns or 80  # 0: it does not know
        line = shown.progress.line(time.monotonic(), running.tally.totals(), width)
        shown.console.draw(shown.patience.shown[: width - 1] or line)
        await asyncio.sleep(_REDRAW_SECONDS)


def _note(console: Console | None, text: str) -> None:
    if console is not None:  # else the progress line says it
        console.note(f"guest-stub: {text}")


def _unkept(running: Scan, keeping: "asyncio.Task[None]") -> None:
    """No link is to be had any more, nor a slot."""
    if not keeping.cancelled() and (problem := keeping.exception()) is not None:
        running.svm_gone(str(problem) if isinstance(problem, SvmUnreachable) else repr(problem))


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
    keys = secret_globs(setup.store.directory)
    secret = Excludes(keys)
    return Selection(
        roots=tuple(root for root in roots if not secret.covers(os.path.realpath(root))),
        exclude=(*setup.settings.exclude, *options.exclude, *keys),
        one_file_system=options.one_file_system,
        max_size=options.max_size,
        sparse_limit=line.current.policy.max_file_bytes,
    )


def _manner(options: Namespace, setup: Setup) -> Manner:
    if options.idle:
        return Manner(1, options.rate or setup.settings.idle_rate_mb * 1e6)
    return Manner(setup.settings.hash_threads, options.rate)
