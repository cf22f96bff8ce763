"""Tests of the list of files to be looked for."""

import os
from pathlib import Path

import pytest

from guest_stub import sought as module
from guest_stub.decision import FileId
from guest_stub.records import Seen, identify
from guest_stub.sought import ENTRY_BYTES, FILE, Sought


def file(number: int, size: int = 10) -> Seen:
    """A file, by its inode."""
    key, stamp = identify(FileId(65024, number, size, 10**18, 10**18))
    return Seen(key, stamp, number.to_bytes(32, "big"))


def test_what_was_noted_is_taken_until_it_is_done(tmp_path: Path) -> None:
    """By whichever stub comes next; what is left of it is for the next time, and nothing else."""
    assert Sought(tmp_path).take() == []
    assert not Sought(tmp_path).waiting
    Sought(tmp_path).note([file(1), file(2)])
    for _ in range(2):  # the first one was killed
        sought = Sought(tmp_path)
        assert sought.waiting
        assert sought.take() == [file(1), file(2)]
    sought.done([file(2)])
    assert sought.take() == [file(2)]
    sought.done([])
    assert not sought.waiting
    assert sought.lost == 0


def test_what_comes_while_others_are_looked_for_is_for_the_next_time(tmp_path: Path) -> None:
    """It is not done with them."""
    sought = Sought(tmp_path)
    sought.note([file(1)])
    sought.take()
    sought.note([file(2)])
    assert sought.take() == [file(1)]
    sought.done([])
    assert sought.take() == [file(2)]


def test_a_file_is_looked_for_once_as_it_was_seen_last(tmp_path: Path) -> None:
    """However often it was noted."""
    sought = Sought(tmp_path)
    sought.note([file(1, 10), file(2)])
    sought.note([file(1, 11)])
    assert sought.take() == [file(1, 11), file(2)]


def test_what_is_more_than_the_bound_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the list does not grow."""
    monkeypatch.setattr(module, "_MOST_BYTES", 3 * ENTRY_BYTES)
    sought = Sought(tmp_path)
    sought.note([file(1), file(2)])
    sought.note([file(3), file(4), file(5)])
    sought.note([file(6)])
    assert sought.lost == 3
    assert sought.take() == [file(1), file(2), file(3)]


def test_what_a_killed_stub_left_in_half_is_no_entry(tmp_path: Path) -> None:
    """The one after it is whole; a damaged one is passed over."""
    sought = Sought(tmp_path)
    sought.note([file(1), file(2)])
    os.truncate(tmp_path / FILE, 2 * ENTRY_BYTES - 5)
    sought.note([file(3)])
    with (tmp_path / FILE).open("r+b") as damaged:
        damaged.write(b"\xff")
    assert sought.take() == [file(3)]


def test_where_nothing_can_be_written_it_is_counted(tmp_path: Path) -> None:
    """Nothing is raised."""
    sought = Sought(tmp_path / "gone")
    sought.note([file(1)])
    assert sought.lost == 1
    full = Sought(tmp_path)
    (tmp_path / FILE).symlink_to("/dev/full")
    full.note([file(1)])
    assert full.lost == 1


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """As all of the stub's state."""
    Sought(tmp_path).note([file(1)])
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
