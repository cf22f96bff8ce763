"""Directories that root has given to somebody else, as an SVM's state directory is."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOMEBODY = 54321  # his user and group, which have no name

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as somebody else")


@contextmanager
def somebodys_place() -> Iterator[Path]:
    """A directory that everybody can reach, which pytest's are not; it is somebody's."""
    place = Path(tempfile.mkdtemp())
    try:
        give(place)
        yield place
    finally:
        shutil.rmtree(place)


def give(directory: Path) -> None:
    """Make it somebody's, with all that is in it."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


def owners(directory: Path) -> set[tuple[int, int]]:
    """Users and groups of a directory and of all that is in it."""
    found = (path.lstat() for path in (directory, *directory.rglob("*")))
    return {(each.st_uid, each.st_gid) for each in found}


def as_it_is(file: Path) -> tuple[int, int, int, bytes]:
    """What must not change of a file that is not somebody's: its mode, owner, group and content."""
    found = file.stat()
    return found.st_mode, found.st_uid, found.st_gid, file.read_bytes()
