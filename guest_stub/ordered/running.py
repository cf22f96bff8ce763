"""One ordered scan: waits for its slot, walks, asks, and says how it ended."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from guest_stub.decisions import Decisions
from guest_stub.ends import DIRECTORY_FAILED
from guest_stub.expecting import expected, name_of
from guest_stub.manners import reads_beside_others, walks_beside_others
from guest_stub.on_demand import Equipment, Keeping, Manner, Scan
from guest_stub.ordered.place import Place, selection_of
from guest_stub.progress import Expected
from guest_stub.remediation.handles import handle_of
from guest_stub.report import Report
from guest_stub.room import Room
from guest_stub.svm_link.values import MAX_SCAN_PATHS, ScanState, ScanStatus, ScanTask
from guest_stub.tally import Totals
from guest_stub.turn import Links, Turn, kept
from guest_stub.walk import Selection

# What is on its way: little, since it may end after the slot was taken back, and the daemon is to stay small.
MOST_FILES = 1024
MOST_BYTES = 64 << 20
LOOK_SECONDS = 60.0  # that it may take to find out what there is to walk
_COUNTED = "files"  # of a walk like this; another number than that of `guest-stub scan`, which counts entries
CALLED_OFF = "it was called off"


@dataclass(frozen=True, slots=True)
class Tools:
    """What ordered scans use and the daemon owns. place: asked anew for each scan."""

    line: Links
    decisions: Decisions
    keeper: Keeping
    report: Report
    place: Callable[[], Place]


class OrderedScan:
    """Serves one event loop. scan: what it is called by. turn: told of its slots."""

    def __init__(self, task: ScanTask, tools: Tools) -> None:
        """Nothing happens before run()."""
        self.scan = task.scan
        self.turn = Turn(task.scan)
        self._task = task
        self._tools = tools
        self._scan: Scan | None = None
        self._ending = asyncio.Event()
        self._why = ""  # it ends before its time

    def call_off(self) -> None:
        """End it soon."""
        self._end(CALLED_OFF)

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._ending.set()
        if self._scan is not None:
            self._scan.stop(why)

    def _unkept(self, keeping: "asyncio.Task[None]") -> None:
        """A fault of this stub's: no slot will be heard of."""
        if not keeping.cancelled() and (bug := keeping.exception()) is not None:
            self._end(f"the stub failed: {bug!r}")

    async def run(self) -> ScanStatus:
        """Scan when there is a slot; how it ended, of which the SVM is still to be told."""
        turn = self.turn
        if not self._task.sound:
            why = f"the order is not one: at most {MAX_SCAN_PATHS} paths, all absolute"
            return turn.status(ScanState.INCOMPLETE, why)
        async with kept(turn, self._tools.line) as keeping:
            keeping.add_done_callback(self._unkept)
            try:
                state, text = await self._run()
            except TimeoutError:
                state, text = ScanState.INCOMPLETE, f"a path does not answer within {LOOK_SECONDS:g} s"
            except OSError as problem:
                state, text = ScanState.INCOMPLETE, str(problem)
        return turn.status(state, text)

    async def _run(self) -> tuple[ScanState, str]:
        if not await self._granted():
            return self._ended_early()
        async with asyncio.timeout(LOOK_SECONDS):
            selection, refused, expects = await self._look()
        tools, turn = self._tools, self.turn
        manner = Manner(
            1,
            room=lambda: Room(MOST_FILES, MOST_BYTES),
            begin_reading=reads_beside_others,
            begin_walking=walks_beside_others,
            handle_of=handle_of,
        )
        self._scan = Scan(
            selection, manner, Equipment(turn, tools.decisions, tools.keeper, tools.report, turn.pause)
        )
        turn.totals, turn.expected_files = self._scan.tally.totals, expects.files
        if self._ending.is_set():
            self._scan.stop(self._why)
        await self._scan.run()
        totals = self._scan.tally.final()
        if self._ending.is_set():
            return self._ended_early()
        if self._scan.incomplete:
            return ScanState.INCOMPLETE, self._scan.incomplete
        if not refused:
            tools.decisions.remember_walk(name_of(selection, _COUNTED), totals.files)
        return _ended(selection, refused, totals)

    async def _granted(self) -> bool:
        """Wait for a slot; False when the scan is called off before."""
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(event.wait()) for event in (self.turn.granted, self._ending)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        return not self._ending.is_set()

    def _ended_early(self) -> tuple[ScanState, str]:
        return (ScanState.CANCELLED if self._why == CALLED_OFF else ScanState.INCOMPLETE), self._why

    async def _look(self) -> tuple[Selection, list[str], Expected]:
        """What to walk, why what is not, and how many files that may be; raises OSError."""
        paths = [os.fsdecode(path) for path in self._task.paths]
        place, limit = self._tools.place(), self.turn.current.policy.max_file_bytes

        def look() -> tuple[Selection, list[str], Expected]:
            selection, refused = selection_of(paths, place, limit)
            last = self._tools.decisions.files_of_last_walk(name_of(selection, _COUNTED))
            return selection, refused, expected(selection.roots, last)

        return await asyncio.to_thread(look)  # a path may lead to a file system that does not answer


def _ended(selection: Selection, refused: list[str], totals: Totals) -> tuple[ScanState, str]:
    """How a scan ended that went through."""
    if refused:
        more = f"; and {len(refused) - 1} more paths were not scanned" if len(refused) > 1 else ""
        return ScanState.INCOMPLETE, f"{refused[0]}{more}"
    if not selection.roots:
        return ScanState.INCOMPLETE, "nothing is protected here: see guest-stub doctor"
    left = sum(totals.directories_left.get(why, 0) for why in DIRECTORY_FAILED)
    return ScanState.DONE, f"{left} directories could not be read" if left else ""
