"""Tests of the counts of a scan."""

import pytest

from guest_stub.ends import DirectoryLeft, Left
from guest_stub.outcome import Outcome
from guest_stub.tally import Tally, Uncounted


def test_counts_come_out() -> None:
    """What was counted stands in the totals."""
    tally = Tally()
    tally.seen(5, 100)
    tally.end(Outcome.NOT_DETECTED, 2)
    tally.end(Outcome.MALICIOUS)
    tally.end(Outcome.UNREADABLE)
    tally.end(Left.SYMLINK)
    tally.add("bytes_read", 40)
    tally.add("directories", 1)
    tally.directory_left(DirectoryLeft.TOO_DEEP)
    totals = tally.final()
    assert (totals.seen, totals.files, totals.ended) == (5, 4, 5)
    assert (totals.found, totals.failed) == (1, 2)
    assert (totals.bytes, totals.bytes_read, totals.directories) == (100, 40, 1)
    assert totals.directories_left == {DirectoryLeft.TOO_DEEP: 1}


@pytest.mark.parametrize("ends", [1, 3])
def test_a_sum_that_does_not_come_out_is_an_error(ends: int) -> None:
    """An entry without an end, or with two, is said instead of a summary."""
    tally = Tally()
    tally.seen(2)
    tally.end(Outcome.CLEAN, ends)
    with pytest.raises(Uncounted, match=f"2 files were seen and {ends} ended"):
        tally.final()


def test_an_interruption_ends_what_is_open() -> None:
    """What has no answer is counted as interrupted, which is a failure."""
    tally = Tally()
    tally.seen(5)
    tally.end(Outcome.CLEAN, 2)
    tally.interrupt()
    totals = tally.final()
    assert totals.ends == {Outcome.CLEAN: 2, Left.INTERRUPTED: 3}
    assert totals.failed == 3


def test_after_an_interruption_nothing_is_counted() -> None:
    """A thread that comes late does not spoil the sum."""
    tally = Tally()
    tally.seen(1)
    tally.interrupt()
    tally.seen(1)
    tally.end(Outcome.CLEAN)
    assert tally.final().ends == {Left.INTERRUPTED: 1}


def test_an_interruption_with_nothing_open_is_not_counted() -> None:
    """Zero of something is not in the totals."""
    tally = Tally()
    tally.interrupt()
    assert tally.final().ends == {}
