"""The bar."""

import io

from appliance.hypervisor.disks.progress import Progress
from appliance.hypervisor.disks.report import Report


class Terminal(io.StringIO):
    """One that says that it is."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_a_line_says_how_far_it_is() -> None:
    """By the bytes that are read, since nobody knows how many files there are."""
    now = [0.0]
    stream = Terminal()
    progress = Progress(stream, lambda: now[0])
    progress.whole = 200_000_000
    now[0] = 10.0
    report = Report("x", files=1234, sent=5)
    line = progress.line(report, 100_000_000, now[0])
    assert line == "[##########----------] 1,234 files · 100 MB of at most 200 · 10.0 MB/s · 5 sent"
    progress.show(report, 100_000_000)
    progress.clear()
    assert line[:20] in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_nothing_is_drawn_where_nobody_looks() -> None:
    """Into a file, say."""
    stream = io.StringIO()
    progress = Progress(stream, iter(range(100)).__next__)
    progress.show(Report("x"), 5)
    progress.clear()
    assert stream.getvalue() == ""
