"""Tests of files that the kernel need not ask about again."""

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_stub.decision import FileId
from guest_stub.on_access import passing
from guest_stub.on_access.passing import Passing, has_writer, is_settled
from tests.support.descriptors import open_descriptors
from tests.support.on_access_parts import Marks, identity


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


@pytest.fixture
def fd(file: Path) -> Iterator[int]:
    """It, open for reading as the kernel opens it for an event."""
    number = os.open(file, os.O_RDONLY)
    yield number
    os.close(number)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr(passing, "SAME_TICK_NS", -(10**12))


def test_who_has_a_file_open_for_writing_is_noticed(file: Path, fd: int) -> None:
    """As long as he has."""
    assert not has_writer(fd)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND):
        writing = os.open(file, flags)
        assert has_writer(fd)
        os.close(writing)
        assert not has_writer(fd)


def test_who_has_mapped_a_file_for_writing_is_noticed(file: Path, fd: int) -> None:
    """Though he has closed its descriptor."""
    writing = os.open(file, os.O_RDWR)
    mapping = mmap.mmap(writing, 0)
    os.close(writing)
    assert has_writer(fd)
    mapping.close()
    assert not has_writer(fd)


def test_who_only_reads_a_file_is_no_writer(file: Path, fd: int) -> None:
    """However he maps it."""
    reading = os.open(file, os.O_RDONLY)
    mapping = mmap.mmap(reading, 0, prot=mmap.PROT_READ)
    assert not has_writer(fd)
    mapping.close()
    os.close(reading)


def test_no_lease_is_left(file: Path, fd: int) -> None:
    """It would hold up the next writer."""
    assert not has_writer(fd)
    assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK


def test_where_it_cannot_be_told_there_may_be_a_writer(tmp_path: Path) -> None:
    """A directory has no leases, and a closed descriptor tells nothing."""
    directory = os.open(tmp_path, os.O_RDONLY)
    assert has_writer(directory)
    os.close(directory)
    assert has_writer(1_000_000)


def test_a_file_is_settled_some_seconds_after_its_last_change(file: Path) -> None:
    """A further change within a tick of the clock would not show."""
    now = time.time_ns()
    some = identity(file)
    assert not is_settled(some)
    assert is_settled(some._replace(ctime_ns=now - 10**10))
    assert not is_settled(some._replace(ctime_ns=now + 10**10))
    assert not is_settled(some._replace(ctime_ns=now, mtime_ns=0))  # anybody can set that one


@pytest.mark.usefixtures("settled")
def test_a_file_that_keeps_still_is_passed_over(file: Path, fd: int) -> None:
    """And counted."""
    marks = Marks()
    over = Passing(marks)
    assert over.pass_over(fd, identity(file))
    assert (over.passed, over.notice) == (1, "")
    assert marks.marked == [file.stat().st_ino]
    assert marks.again == []


def test_a_file_that_was_just_written_is_not_passed_over(file: Path, fd: int) -> None:
    """Nothing is asked of the kernel."""
    marks = Marks()
    assert not Passing(marks).pass_over(fd, identity(file))
    assert marks.tried == 0


@pytest.mark.usefixtures("settled")
def test_a_file_with_a_writer_is_not_passed_over(file: Path, fd: int) -> None:
    """His writes through a mapping would lift no mark."""
    marks = Marks()
    over = Passing(marks)
    writing = os.open(file, os.O_RDWR)
    assert not over.pass_over(fd, identity(file))
    assert (over.passed, marks.tried) == (0, 0)
    os.close(writing)
    assert over.pass_over(fd, identity(file))


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("when", ["judged", "marked"])
def test_a_change_since_it_was_judged_lifts_the_mark(file: Path, fd: int, when: str) -> None:
    """Between judging and marking nothing else would."""
    judged = identity(file)
    marks = Marks()
    if when == "judged":
        file.write_text("changed")
    else:
        marks.during = lambda: str(file.write_text("changed"))
    over = Passing(marks)
    assert not over.pass_over(fd, judged)
    assert over.passed == 0
    assert marks.marked == marks.again == [file.stat().st_ino]


@pytest.mark.usefixtures("settled")
def test_an_old_kernel_is_asked_once_and_said_once(file: Path, fd: int) -> None:
    """EINVAL: it knows no marks that it may forget."""
    marks = Marks()
    marks.error = OSError(errno.EINVAL, "Invalid argument")
    over = Passing(marks)
    for _ in range(3):
        assert not over.pass_over(fd, identity(file))
    assert marks.tried == 1
    assert "before Linux 5.19" in over.notice


@pytest.mark.usefixtures("settled")
def test_a_mark_that_is_refused_otherwise_is_no_notice(file: Path, fd: int) -> None:
    """The next file may get one."""
    marks = Marks()
    marks.error = OSError(errno.ENOMEM, "Cannot allocate memory")
    over = Passing(marks)
    assert not over.pass_over(fd, identity(file))
    assert over.notice == ""
    marks.error = None
    assert over.pass_over(fd, identity(file))


def test_where_one_mark_cannot_be_lifted_all_are(fd: int) -> None:
    """A file must not stay trusted since the kernel was short of something."""
    marks = Marks()
    marks.error_again = OSError(errno.ENOMEM, "Cannot allocate memory")
    Passing(marks).watch_again(fd)
    assert marks.all_again == 1


@pytest.mark.usefixtures("settled")
def test_it_leaves_no_descriptor(file: Path, fd: int) -> None:
    """Whatever becomes of it."""
    before = open_descriptors()
    over = Passing(Marks())
    over.pass_over(fd, identity(file))
    over.pass_over(fd, FileId(0, 0, 0, 0, 0))
    over.watch_again(fd)
    over.watch_all_again()
    assert open_descriptors() <= before
