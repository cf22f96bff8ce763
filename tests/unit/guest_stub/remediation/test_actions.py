"""Tests of what a policy may say."""

import os
from pathlib import Path

import pytest

from guest_stub.remediation.actions import carry_out
from guest_stub.remediation.done import Action, Result
from tests.support.quarantined import bad_file, judged, open_for_reading, quarantine


@pytest.mark.parametrize(
    ("word", "result", "stays", "entries"),
    [
        ("block", Result.LEFT, True, 0),
        ("report", Result.LEFT, True, 0),
        ("quarantine", Result.QUARANTINED, False, 1),
        ("delete", Result.DELETED, False, 0),
    ],
)
def test_each_action(tmp_path: Path, word: str, result: Result, stays: bool, entries: int) -> None:
    """By its word; the place is told in any case."""
    path = bad_file(tmp_path / "file")
    with quarantine(tmp_path) as opened, open_for_reading(path) as fd:
        done = carry_out(Action(word), fd, judged(path), opened)
        assert (done.result, done.path) == (result, os.fsencode(path))
        assert (path.exists(), len(list(opened.entries()))) == (stays, entries)
