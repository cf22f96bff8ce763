"""Room for LMDB's file of readers. That a start on a full disk ends with a sentence: test_svm_faults.py."""

import os
from pathlib import Path

import lmdb
import pytest

from appliance.lmdb_lock import BYTES, take_room


def test_what_lmdb_makes_has_its_room_before(tmp_path: Path) -> None:
    """No byte of it is a hole, and LMDB takes it as it is."""
    path = tmp_path / "x.lmdb"
    take_room(path)
    lock = (tmp_path / "x.lmdb-lock").stat()
    assert (lock.st_size, lock.st_mode & 0o777) == (BYTES, 0o600)
    assert lock.st_blocks * 512 >= BYTES
    with lmdb.open(os.fspath(path), subdir=False) as environment:
        with environment.begin(write=True) as txn:
            txn.put(b"key", b"value")
        assert environment.info()["max_readers"] == 126
    assert (tmp_path / "x.lmdb-lock").stat().st_size == BYTES


def test_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    """Readers may be using it."""
    (tmp_path / "x.lmdb-lock").write_bytes(b"x" * BYTES)
    take_room(tmp_path / "x.lmdb")
    assert (tmp_path / "x.lmdb-lock").read_bytes() == b"x" * BYTES


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """An OSError, as for any other file."""
    with pytest.raises(FileNotFoundError):
        take_room(tmp_path / "none" / "x.lmdb")
