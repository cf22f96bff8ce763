"""Tests of how entries can end."""

import pytest

from guest_stub.ends import ASKED, FAILED, FOUND, PLAIN, DirectoryLeft, Left, directory_words, words
from guest_stub.outcome import VERDICTS, Outcome


def test_a_failure_is_neither_plain_nor_found() -> None:
    """Each end has one weight: nothing, a finding, or a failure."""
    assert PLAIN.isdisjoint(FOUND | FAILED)
    assert FOUND.isdisjoint(FAILED)


def test_whatever_was_asked_and_has_no_verdict_is_a_failure() -> None:
    """No unanswered end passes for clean."""
    assert ASKED - FAILED == VERDICTS


@pytest.mark.parametrize("end", [*Outcome, *Left])
def test_numbers_are_not_used_twice(end: Outcome | Left) -> None:
    """Outcomes and left-out ends can share a dictionary."""
    assert [int(other) for other in (*Outcome, *Left)].count(int(end)) == 1


def test_words_are_for_people() -> None:
    """Names become lower-case words."""
    assert words(Outcome.NOT_DETECTED) == "not detected"
    assert words(Left.HARD_LINK) == "hard link"
    assert directory_words(DirectoryLeft.OTHER_FILE_SYSTEM) == "other file system"
