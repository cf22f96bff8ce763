"""Tests of a removal that is seen through after an end in the middle."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.decision import FileId
from guest_stub.remediation.intention import MAX_BYTES, BadIntention, Intention, decode, see_through, write
from guest_stub.remediation.removal import beside
from tests.support.properties import patient
from tests.support.quarantined import BAD, bad_file

ID = "0123456789ab"
numbers = st.integers(-(2**63), 2**64 - 1)


def intention(path: Path, file: FileId | None = None) -> Intention:
    """To remove the file as it is now."""
    return Intention(ID, os.fsencode(path), file or FileId.of(os.lstat(path)), sealed=True)


def moved(path: Path) -> Path:
    """As a removal leaves it that ends after the move."""
    room = path.parent / os.fsdecode(beside(ID))
    room.mkdir(mode=0o700)
    path.rename(room / "file")
    return room / "file"


@patient
@given(st.binary(max_size=4095).filter(lambda path: b"\0" not in path), numbers, st.booleans())
def test_it_comes_back_as_it_was_written(path: bytes, number: int, sealed: bool) -> None:
    """Whatever bytes the path is made of, and within its bound."""
    whole = Intention(ID, path, FileId(1, 2, number, 4, 5), sealed)
    assert decode(ID, whole.encode()) == whole
    assert len(whole.encode()) <= MAX_BYTES


@patient
@given(st.binary(max_size=200))
def test_other_bytes_are_none(data: bytes) -> None:
    """Also what was cut off when the program ended."""
    with pytest.raises(BadIntention):
        decode(ID, data)
    whole = intention(Path("/")).encode()
    with pytest.raises(BadIntention):
        decode(ID, whole[: len(data) % len(whole)])


def test_it_is_written_whole(tmp_path: Path) -> None:
    """And read again."""
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    write(fd, intention(tmp_path / "x"))
    assert decode(ID, os.pread(fd, MAX_BYTES, 0)).path == os.fsencode(tmp_path / "x")
    os.close(fd)


def test_a_file_in_its_place_is_removed(tmp_path: Path) -> None:
    """The removal had not begun, or no more than made its directory."""
    path = bad_file(tmp_path / "file")
    (tmp_path / os.fsdecode(beside(ID))).mkdir(mode=0o700)
    assert see_through(intention(path)) == "is removed now"
    assert os.listdir(tmp_path) == []


def test_a_file_that_was_moved_is_removed(tmp_path: Path) -> None:
    """Emptied already or not, and with its other names emptied."""
    path = bad_file(tmp_path / "file")
    os.link(path, tmp_path / "other")
    wanted = intention(path)
    moved(path)
    assert see_through(wanted) == "is removed now"
    assert (os.listdir(tmp_path), (tmp_path / "other").read_bytes()) == (["other"], b"")
    path = bad_file(tmp_path / "file")
    wanted = intention(path)
    moved(path).write_bytes(b"")
    assert see_through(wanted) == "is removed now"
    assert os.listdir(tmp_path) == ["other"]


def test_a_file_that_changed_is_left(tmp_path: Path) -> None:
    """In its place, or back in its place."""
    path = bad_file(tmp_path / "file")
    wanted = intention(path)
    path.write_bytes(b"other")
    assert see_through(wanted) == ""
    assert path.read_bytes() == b"other"
    os.utime(path, ns=(0, 0))
    wanted = intention(path)
    moved(path).write_bytes(b"another")
    assert see_through(wanted) == "was changed meanwhile and is in its place"
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"another", ["file"])


def test_another_file_in_the_private_directory_is_put_back(tmp_path: Path) -> None:
    """The removal ended right after it had moved the wrong one."""
    path = bad_file(tmp_path / "file")
    wanted = intention(path)
    path.rename(tmp_path / "away")
    moved(bad_file(path, b"good"))
    assert see_through(wanted) == "was changed meanwhile and is in its place"
    assert (path.read_bytes(), (tmp_path / "away").read_bytes()) == (b"good", BAD)


def test_a_name_that_was_taken_since_is_not_replaced(tmp_path: Path) -> None:
    """Nothing is lost: what was moved stays where it is."""
    path = bad_file(tmp_path / "file")
    wanted = intention(path)
    there = moved(path)
    there.write_bytes(b"changed")
    bad_file(path, b"newest")
    with pytest.raises(FileExistsError):
        see_through(wanted)
    assert (path.read_bytes(), there.read_bytes()) == (b"newest", b"changed")


@pytest.mark.parametrize("path", [b"", b"/no/such/directory/file", b"/etc/passwd/file"])
def test_a_place_that_is_not_there_any_more(path: bytes) -> None:
    """Whatever was there went with it."""
    assert see_through(Intention(ID, path, FileId(1, 2, 3, 4, 5), sealed=True)) == ""
