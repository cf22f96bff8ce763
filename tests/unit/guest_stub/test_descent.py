"""Tests of the way down a tree and back."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from guest_stub import descent
from guest_stub.descent import Descent
from guest_stub.ends import DirectoryLeft
from tests.support.apart import walk_apart
from tests.support.descriptors import open_descriptors
from tests.support.stub_scans import Told


def deep(top: Path, depth: int, name: str = "d" * 40) -> None:
    """Make a chain of directories, however long its path."""
    fd = os.open(top, os.O_PATH | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)


def visit(descent: Descent, at: Callable[[str], None] = lambda path: None) -> list[str]:
    """Go everywhere; the paths in the order in which they were entered. `at` is called in each."""
    paths = []
    while (top := descent.top) is not None:
        if top.entries is not None:
            paths.append(descent.path)
            top.waiting = sorted(entry.name for entry in top.entries if entry.is_dir(follow_symlinks=False))
            top.entries = None
            at(descent.path)
        elif top.waiting:
            descent.enter(top.waiting.pop())
        else:
            descent.leave()
    return paths


def test_every_directory_is_entered_once(tmp_path: Path) -> None:
    """The tree is walked whole, links to directories are not followed, nothing stays open."""
    for path in ("a/b/c", "a/d", "e"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "e" / "up").symlink_to(tmp_path)
    told = Told()
    before = open_descriptors()
    descent = Descent(False, told)
    descent.enter_root(str(tmp_path))
    paths = visit(descent)
    assert sorted(paths) == sorted(str(tmp_path / path) for path in ("", "a", "a/b", "a/b/c", "a/d", "e"))
    assert told.entered == 6
    assert told.directories == {}
    assert open_descriptors() <= before


def test_a_tree_deeper_than_a_path_may_be(tmp_path: Path) -> None:
    """Beyond PATH_MAX, and with more levels than descriptors are held, the way leads down and back."""
    deep(tmp_path, 250)
    told = Told()
    descent = Descent(False, told)
    before = open_descriptors()
    most = 0

    def count(_: str) -> None:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")) - before)  # no collection at each of 251 steps

    descent.enter_root(str(tmp_path))
    paths = visit(descent, count)
    assert len(paths) == 251
    assert len(paths[-1]) > 10_000
    assert most <= descent_bound()
    assert told.directories == {}
    shutil.rmtree(tmp_path / ("d" * 40))


def descent_bound() -> int:
    """Descriptors that a descent may hold: those of the way, the root's, and a scan's copy of the top's."""
    return descent.MAX_OPEN + 4


def test_siblings_are_found_again_after_a_deep_branch(tmp_path: Path) -> None:
    """A directory that was closed on the way down is read on where it was left."""
    deep(tmp_path, 100, "z")
    for depth in range(0, 100, 7):
        (tmp_path / Path(*["z"] * depth) / "a").mkdir()
    descent = Descent(False, told := Told())
    descent.enter_root(str(tmp_path))
    assert len(visit(descent)) == 101 + 15
    assert told.directories == {}


def test_a_path_without_an_end_is_left_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper than the scan follows is named, not entered, and not passed over in silence."""
    monkeypatch.setattr(descent, "MAX_PATH_CHARS", len(str(tmp_path)) + 100)
    deep(tmp_path, 5)
    down = Descent(False, told := Told())
    down.enter_root(str(tmp_path))
    assert len(visit(down)) == 3
    assert list(told.directories.values()) == [DirectoryLeft.TOO_DEEP]


def test_a_tree_that_is_moved_away_is_said(tmp_path: Path) -> None:
    """When the way back leads elsewhere, what could not be reached is named; the rest is walked."""
    top = tmp_path / "top"
    (top / "m").mkdir(parents=True)
    deep(top / "m", 100, "z")
    (top / "m" / "z" / "a").mkdir()
    (top / "b").mkdir()
    descent = Descent(False, told := Told())

    def move(path: str) -> None:
        if path.count("/z") == 100:
            (top / "m" / "z" / "z").rename(tmp_path / "elsewhere")

    descent.enter_root(str(top))
    paths = visit(descent, move)
    assert str(top / "b") in paths
    assert told.directories == {str(top / "m" / "z"): DirectoryLeft.UNREADABLE}
    assert "moved" in told.reasons[str(top / "m" / "z")]


def test_directories_that_vanish_or_become_links_are_not_followed(tmp_path: Path) -> None:
    """What is no directory any more when its turn comes is counted as gone."""
    for name in ("gone", "link", "stays"):
        (tmp_path / name).mkdir()
    descent = Descent(False, told := Told())

    def change(path: str) -> None:
        if path == str(tmp_path):
            (tmp_path / "gone").rmdir()
            (tmp_path / "link").rmdir()
            (tmp_path / "link").symlink_to("/etc")

    descent.enter_root(str(tmp_path))
    assert visit(descent, change) == [str(tmp_path), str(tmp_path / "stays")]
    assert set(told.directories.values()) == {DirectoryLeft.VANISHED}


def test_a_root_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """A root that is not there is an unreadable directory with the reason."""
    descent = Descent(False, told := Told())
    descent.enter_root(str(tmp_path / "no"))
    assert descent.top is None
    assert told.directories == {str(tmp_path / "no"): DirectoryLeft.UNREADABLE}
    assert told.reasons[str(tmp_path / "no")] == "No such file or directory"


def test_the_same_tree_under_two_roots_is_entered_once(tmp_path: Path) -> None:
    """A second PATH inside of the first is seen already."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    descent = Descent(False, told := Told())
    descent.enter_root(str(tmp_path))
    assert len(visit(descent)) == 3
    descent.enter_root(str(tmp_path / "a"))
    assert visit(descent) == []
    assert told.directories == {str(tmp_path / "a"): DirectoryLeft.SEEN}


def test_pseudo_file_systems_are_not_entered() -> None:
    """proc is named with its kind, also as a root."""
    descent = Descent(False, told := Told())
    descent.enter_root("/proc")
    assert descent.top is None
    assert told.directories == {"/proc": DirectoryLeft.PSEUDO}
    assert told.reasons == {"/proc": "proc"}


def test_a_loop_of_mounts_ends(tmp_path: Path) -> None:
    """A tree that is mounted within itself is scanned once, and the loop is named."""
    (tmp_path / "a" / "loop").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    top = str(tmp_path)
    assert walk_apart(["--bind", top, f"{top}/a/loop"], tmp_path) == (["file"], {f"{top}/a/loop": "LOOP"})


def test_a_second_mount_of_a_tree_is_not_walked_again(tmp_path: Path) -> None:
    """Files that are reached twice through mounts are scanned under one of their paths."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    names, left = walk_apart(["--bind", str(tmp_path / "a"), str(tmp_path / "b")], tmp_path)
    assert names == ["file"]
    assert list(left.values()) == ["SEEN"]


def test_one_file_system_stays_on_it(tmp_path: Path) -> None:
    """With the option another file system below is named and not entered; without, it is."""
    (tmp_path / "m").mkdir()
    (tmp_path / "file").write_text("x")
    mounts = ["--tmpfs", str(tmp_path / "m"), "--dir", str(tmp_path / "m" / "in")]
    assert walk_apart(mounts, tmp_path, one_file_system=True) == (
        ["file"],
        {str(tmp_path / "m"): "OTHER_FILE_SYSTEM"},
    )
    assert walk_apart(mounts, tmp_path) == (["file"], {})


def test_a_directory_without_right_is_said(tmp_path: Path) -> None:
    """What may not be read is unreadable; the rest of the tree is walked."""
    (tmp_path / "closed").mkdir(mode=0o000)
    (tmp_path / "file").write_text("x")
    closed = {str(tmp_path / "closed"): "UNREADABLE"}
    assert walk_apart(["--cap-drop", "ALL"], tmp_path) == (["file"], closed)
