"""Tests of the progress line."""

import pytest

from guest_stub.outcome import Outcome
from guest_stub.progress import Expected, Progress, clock_time
from guest_stub.tally import Totals


def totals(done: int, read: int = 0, found: int = 0) -> Totals:
    """Counts of a scan under way."""
    return Totals(
        seen=done + 10,
        ends={Outcome.NOT_DETECTED: done - found, Outcome.MALICIOUS: found},
        bytes_read=read,
    )


def line_after(expected: Expected, *seen: Totals, width: int = 200) -> str:
    """The last line of one that is drawn each second."""
    progress = Progress(expected)
    return [progress.line(float(now), each, width) for now, each in enumerate(seen)][-1]


def test_the_end_is_told_from_the_last_scan() -> None:
    """With a known total there are a bar, rates, and the time left."""
    line = line_after(Expected(1000, exact=True), totals(0), totals(250, read=50_000_000))
    assert line.split(" · ") == [
        "[######------------------] 250 of about 1,000 files",
        "250 files/s",
        "50.0 MB/s read",
        "about 0:03 left",
    ]


def test_an_upper_bound_is_called_one() -> None:
    """Inodes in use are more than files: the words say so."""
    line = line_after(Expected(1000), totals(0), totals(250))
    assert "250 of at most 1,000 files" in line
    assert line.endswith("at most 0:03 left")


def test_without_a_total_nothing_is_promised() -> None:
    """A first scan of a tree shows counts and rates alone."""
    assert line_after(Expected(), totals(0), totals(250)) == "250 files · 250 files/s · time left not known"


def test_more_files_than_expected_is_not_hidden() -> None:
    """When the tree has grown, no time is made up."""
    line = line_after(Expected(100, exact=True), totals(0), totals(250))
    assert line.startswith("[########################] 250 of about 250 files")
    assert line.endswith("time left not known")


def test_findings_are_shown() -> None:
    """What was found so far stands in the line."""
    assert "2 found" in line_after(Expected(), totals(0), totals(10, found=2))


def test_rates_are_of_the_last_seconds() -> None:
    """A slow begin is forgotten."""
    seen = [totals(0)] * 30 + [totals(100 * second) for second in range(1, 12)]
    assert "100 files/s" in line_after(Expected(), *seen)


@pytest.mark.parametrize("width", [0, 1, 20, 80])
def test_it_fits_the_terminal(width: int) -> None:
    """The line is cut to less than the width, so that it never wraps."""
    assert len(line_after(Expected(1000), totals(0), totals(250), width=width)) <= max(0, width - 1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3600, "1:00:00"), (3725, "1:02:05")]
)
def test_times_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    """Hours only where there are some."""
    assert clock_time(seconds) == text
