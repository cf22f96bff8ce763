"""Submitted files, within a budget."""

import hashlib
import json
from pathlib import Path

import pytest

from appliance.private_ksn.submissions import NoRoom, Submissions


def send(submissions: Submissions, content: bytes) -> str:
    """Submit a content."""
    submission = submissions.begin()
    try:
        submission.add(content)
        return submission.keep("a" * 999, "svm-1", 7)
    finally:
        submission.drop()


def test_a_file_is_kept_once_and_survives_a_restart(tmp_path: Path) -> None:
    """With who sent it and how it was called; the room that it takes is known after a restart too."""
    submissions = Submissions(tmp_path, 10_000)
    sha256 = send(submissions, b"abc")
    used = submissions.used
    assert send(submissions, b"abc") == sha256 == hashlib.sha256(b"abc").hexdigest()
    assert submissions.used == used == Submissions(tmp_path, 10_000).used
    told = json.loads((tmp_path / f"{sha256}.json").read_text())
    assert told == {"filename": "a" * 255, "size": 3, "by": "svm-1", "at": 7}


def test_over_the_budget_nothing_is_kept(tmp_path: Path) -> None:
    """The room is given back, for a file that is small enough."""
    submissions = Submissions(tmp_path, 1000)
    with pytest.raises(NoRoom):
        send(submissions, bytes(990))
    assert (submissions.used, list(tmp_path.iterdir())) == (0, [])
    assert submissions.has(send(submissions, bytes(10)))


def test_what_a_stopped_server_left_half_is_removed(tmp_path: Path) -> None:
    """It counts against nothing."""
    (tmp_path / "part-0").write_bytes(bytes(500))
    assert Submissions(tmp_path, 1000).used == 0
    assert list(tmp_path.iterdir()) == []
