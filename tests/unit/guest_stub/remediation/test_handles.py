"""Tests of finding a file again, whatever it is called."""

import os
from pathlib import Path

import pytest

from guest_stub.remediation.handles import handle_of, open_handle
from tests.support.quarantined import bad_file, open_for_reading

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root opens by a handle")


@as_root
def test_a_file_is_found_under_its_other_name(tmp_path: Path) -> None:
    """Once the one that it was known by is gone; and not once it is gone itself."""
    path = bad_file(tmp_path / "file")
    os.link(path, tmp_path / "other")
    with open_for_reading(path) as fd, open_for_reading(tmp_path) as directory:
        handle, inode = handle_of(fd), os.fstat(fd).st_ino
        path.unlink()
        again = open_handle(directory, handle, os.O_RDWR)
        assert os.fstat(again).st_ino == inode
        os.close(again)
    (tmp_path / "other").unlink()
    bad_file(tmp_path / "new")  # which may get the same number
    with open_for_reading(tmp_path) as directory, pytest.raises(OSError, match="Stale"):
        open_handle(directory, handle, os.O_RDWR)


@pytest.mark.parametrize("handle", [b"", b"x" * 8, b"\x08\0\0\0\x01\0\0\0" + b"\xff" * 8, b"x" * 200])
def test_what_is_no_handle_opens_nothing(tmp_path: Path, handle: bytes) -> None:
    """By an error, whatever the bytes."""
    with (
        open_for_reading(tmp_path) as directory,
        pytest.raises(OSError, match=r"no handle|Stale|not permitted"),
    ):
        open_handle(directory, handle, os.O_RDONLY)


def test_where_there_are_no_handles_there_is_none() -> None:
    """Some file systems have none."""
    with open_for_reading(Path("/proc/self/status")) as fd:
        assert handle_of(fd) == b""
