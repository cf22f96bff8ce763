"""Tests of what stands in place of a store that cannot be opened."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from guest_stub.decisions import StateRefused
from guest_stub.forgetful import Forgetful, decisions_or_none
from guest_stub.found import FoundFile
from tests.support.stub_scans import store_settings

FILE = FoundFile(b"k" * 12, b"s" * 28, "/d", "name", 10)


def test_where_there_is_no_room_nothing_is_kept(tmp_path: Path) -> None:
    """Everything is fresh, and the reason is said."""
    (tmp_path / "file").write_text("")
    with closing(decisions_or_none(store_settings(tmp_path / "file"))) as store:
        assert isinstance(store, Forgetful)
        assert "cannot keep decisions in" in store.notice
        assert store.keep([(FILE.key, FILE.stamp)]) == 0
        store.keep_loose([(FILE.key, FILE.stamp)])
        store.remember_walk(b"walk", 5)
        assert store.sort_out([FILE], 7).fresh == [FILE]
        assert store.look_up(FILE.key, FILE.stamp) is None
        assert (store.revoke([bytes(32)]), store.files_of_last_walk(b"walk"), store.count()) == (0, 0, 0)


def test_where_there_is_room_it_is_the_store(tmp_path: Path) -> None:
    """With no word."""
    with closing(decisions_or_none(store_settings(tmp_path))) as store:
        assert not isinstance(store, Forgetful)
        assert store.notice == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_of_somebody_else_is_refused_still(tmp_path: Path) -> None:
    """That is no fault of the disk."""
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StateRefused, match="belongs to another user"):
        decisions_or_none(store_settings(tmp_path))
