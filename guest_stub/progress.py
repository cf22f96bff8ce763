"""The progress line: how far a scan is, how fast, and how long it may still take. No I/O."""

from collections import deque
from dataclasses import dataclass

from guest_stub.tally import Totals

_WINDOW_SECONDS = 10.0
_BAR_CELLS = 24


@dataclass(frozen=True, slots=True)
class Expected:
    """How many files there may be. exact: counted by an earlier scan of the same paths; else a file
    system's own number of inodes in use, which is more than the files. 0: not known.
    """

    files: int = 0
    exact: bool = False


class Progress:
    """Makes the line from totals that it is shown every now and then."""

    def __init__(self, expected: Expected) -> None:
        """expected: the whole, as far as it is known."""
        self._expected = expected
        self._seen: deque[tuple[float, int, int]] = deque()

    def line(self, now: float, totals: Totals, width: int) -> str:
        """One line of less than `width` characters. now: seconds of a clock that never goes back."""
        done = totals.ended
        self._seen.append((now, done, totals.bytes_read))
        while now - self._seen[0][0] > _WINDOW_SECONDS:
            self._seen.popleft()
        then, done_then, read_then = self._seen[0]
        span = max(now - then, 1e-3)
        files_a_second, bytes_a_second = (done - done_then) / span, (totals.bytes_read - read_then) / span
        parts = [self._files(done), f"{files_a_second:,.0f} files/s"]
        if bytes_a_second >= 1e5:
            parts.append(f"{bytes_a_second / 1e6:,.1f} MB/s read")
        if totals.found:
            parts.append(f"{totals.found:,} found")
        parts.append(self._left(done, files_a_second))
        return " · ".join(part for part in parts if part)[: max(0, width - 1)]

    def _files(self, done: int) -> str:
        expected = max(self._expected.files, done)
        if not self._expected.files:
            return f"{done:,} files"
        cells = _BAR_CELLS * done // max(expected, 1)
        about = "about" if self._expected.exact else "at most"
        return f"[{'#' * cells}{'-' * (_BAR_CELLS - cells)}] {done:,} of {about} {expected:,} files"

    def _left(self, done: int, files_a_second: float) -> str:
        if not self._expected.files or files_a_second < 1 or done > self._expected.files:
            return "time left not known"
        about = "about" if self._expected.exact else "at most"
        return f"{about} {clock_time((self._expected.files - done) / files_a_second)} left"


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds: "1:02:03", "2:03"."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
