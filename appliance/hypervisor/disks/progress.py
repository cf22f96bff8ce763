"""The bar on a terminal: how far a scan of disks is. How many files there are nobody knows before the end."""

import shutil
from collections.abc import Callable
from typing import Final, TextIO

from appliance.hypervisor.disks.report import Report

_REDRAW_SECONDS: Final = 0.25
_CELLS: Final = 20


class Progress:
    """Draws a line again and again, on a terminal alone."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], wanted: bool = True) -> None:
        """clock: monotonic seconds. wanted: whether to draw at all."""
        self._stream = stream
        self._clock = clock
        self._draws = wanted and stream.isatty()
        self._began = self._drawn = clock()
        self.whole = 0  # bytes of all volumes that are read

    def show(self, report: Report, read: int) -> None:
        """Draw how far it is, where some time has passed. read: bytes of files so far."""
        now = self._clock()
        if not self._draws or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        width = shutil.get_terminal_size().columns
        self._stream.write("\r\x1b[K" + self.line(report, read, now)[: max(0, width - 1)])
        self._stream.flush()

    def line(self, report: Report, read: int, now: float) -> str:
        """The line. now: of the clock."""
        span = max(now - self._began, 1e-3)
        cells = _CELLS * min(read, self.whole) // self.whole if self.whole else 0
        found = report.malicious + report.suspicious
        parts = [
            f"[{'#' * cells}{'-' * (_CELLS - cells)}] {report.files:,} files",
            f"{read / 1e6:,.0f} MB of at most {self.whole / 1e6:,.0f}",
            f"{read / span / 1e6:,.1f} MB/s",
            f"{report.sent:,} sent" if report.sent else "",
            f"{found:,} found" if found else "",
        ]
        return " · ".join(part for part in parts if part)

    def clear(self) -> None:
        """Take the line away."""
        if self._draws:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
