"""Tests of names that are reached without links and never replaced."""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_stub.remediation.directories import (
    given_place,
    inode_at,
    private_directory,
    rename_no_replace,
    split,
    sync_directory,
    unlinked_directory,
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    """The test's directory, open."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("path", [b"", b"name", b"/", b"/a/", b"/a/..", b"/.", b"./a", b"/a\0b"])
def test_what_is_no_whole_path_of_a_file(path: bytes) -> None:
    """It is refused before anything is opened."""
    with pytest.raises(OSError, match="no whole path"):
        split(path)


def test_a_directory_is_reached_step_by_step(tmp_path: Path) -> None:
    """Also one that is deeper than any path may be long."""
    deep, steps = tmp_path, 30
    name = "d" * 200
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(steps):
        os.mkdir(name, dir_fd=fd)
        there = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = there
        deep = deep / name
    assert len(str(deep)) > 4096
    with unlinked_directory(os.fsencode(deep)) as found:
        assert os.path.samestat(os.fstat(found), os.fstat(fd))
    os.close(fd)


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    """Neither as the last step nor before it; nor is a way up."""
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for path in ("link", "link/in", "real/../real"):
        with (
            pytest.raises(OSError, match=r"Not a directory|\.\."),
            unlinked_directory(os.fsencode(tmp_path / path)),
        ):
            pass
    with given_place(os.fsencode(tmp_path / "link" / "new")) as (parent, name):
        assert (os.path.samestat(os.fstat(parent), (tmp_path / "real").stat()), name) == (True, b"new")


def test_a_place_that_is_given_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To where the person stands."""
    monkeypatch.chdir(tmp_path)
    with given_place(b"new") as (parent, name):
        assert (os.path.samestat(os.fstat(parent), tmp_path.stat()), name) == (True, b"new")


def test_a_name_tells_what_itself_is(tmp_path: Path, here: int) -> None:
    """Of a link the link, and of nothing nothing."""
    (tmp_path / "link").symlink_to("/")
    found = inode_at(b"link", here)
    assert found is not None
    assert found.st_ino == (tmp_path / "link").lstat().st_ino
    assert inode_at(b"none", here) is None


@pytest.mark.parametrize("known", [True, False])
def test_a_rename_replaces_nothing(
    tmp_path: Path, here: int, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """By the kernel's word, or where the file system has none by a second name."""
    if not known:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        rename_no_replace((here, b"a"), (here, b"b"))
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("a", "b")
    rename_no_replace((here, b"a"), (here, b"c"))
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]
    with pytest.raises(FileNotFoundError):
        rename_no_replace((here, b"a"), (here, b"d"))


def test_a_private_directory_goes_when_it_is_empty(tmp_path: Path, here: int) -> None:
    """It is its user's alone, and stays with what is left in it."""
    with private_directory(b"room", here):
        assert (tmp_path / "room").stat().st_mode & 0o777 == 0o700
    assert os.listdir(tmp_path) == []
    with private_directory(b"room", here):
        (tmp_path / "room" / "file").touch()
    with private_directory(b"room", here) as again:
        assert os.listdir(again) == ["file"]


def test_a_directory_that_others_may_enter_is_not_private(tmp_path: Path, here: int) -> None:
    """Somebody may have put it there; a link neither is one."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room").chmod(0o755)
    with pytest.raises(FileExistsError), private_directory(b"room", here):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "room")
    with pytest.raises(NotADirectoryError), private_directory(b"link", here):
        pass


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_is_no_failure(
    here: int, monkeypatch: pytest.MonkeyPatch, number: int, raised: bool
) -> None:
    """A disk that fails is one."""

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fsync)
    if raised:
        with pytest.raises(OSError, match="Input/output"):
            sync_directory(here)
    else:
        sync_directory(here)
