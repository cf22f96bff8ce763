"""What file systems have in common."""

import io

import pytest

from appliance.disk_reader.trees.tree import Wrong, by_runs, checked_runs


def test_what_no_run_is_for_is_zeros() -> None:
    """Up to whole blocks, since streams have no others."""
    assert checked_runs([(8, 4)], 9, 4) == ((8, 4), (None, 8))
    with pytest.raises(Wrong):
        checked_runs([(0, 0)], 4, 4)


def test_runs_make_a_stream() -> None:
    """In their order."""
    stream = by_runs(io.BytesIO(b"aaaabbbbcccc"), ((8, 4), (None, 4), (0, 4)), 10, 4)
    assert stream.read(100) == b"cccc\0\0\0\0aa"
