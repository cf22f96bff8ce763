"""Tests of walking trees."""

import os
import socket
from pathlib import Path

import pytest

from guest_stub import walk
from guest_stub.decision import FileId
from guest_stub.ends import DirectoryLeft, Left
from guest_stub.outcome import Outcome
from guest_stub.records import identify
from guest_stub.walk import Places, Selection, Walk
from tests.support.descriptors import open_descriptors
from tests.support.stub_scans import Told, walked

NOT_UTF8 = os.fsdecode(b"caf\xe9")


def names(selection: Selection) -> list[str]:
    """Names of the files that come out, sorted."""
    return sorted(file.name for file in walked(selection)[0])


def test_every_regular_file_comes_out_with_its_identity(tmp_path: Path) -> None:
    """Key, stamp, path and size are those of lstat."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("hello")
    [found], told = walked(Selection((str(tmp_path),)))
    status = (tmp_path / "a" / "file").lstat()
    assert (found.key, found.stamp) == identify(FileId.of(status))
    assert (found.directory, found.name, found.size) == (str(tmp_path / "a"), "file", 5)
    assert told.files == []


def test_batches_are_bounded_and_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch is larger than its bound; each is sorted by inode."""
    monkeypatch.setattr(walk, "BATCH_FILES", 10)
    for number in range(25):
        (tmp_path / str(number)).touch()
    batches = list(Walk(Selection((str(tmp_path),)), Told()).batches())
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert all(batch == sorted(batch) for batch in batches)


def test_special_files_are_named_and_never_opened(tmp_path: Path) -> None:
    """A pipe, a socket and a device end by their kind; links are not followed."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        files, told = walked(Selection((str(tmp_path), "/dev/null")))
    assert files == []
    assert {Path(path).name: end for path, end in told.ends.items()} == {
        "fifo": Left.FIFO,
        "sock": Left.SOCKET,
        "link": Left.SYMLINK,
        "dangling": Left.SYMLINK,
        "null": Left.DEVICE,
    }


def test_each_name_of_a_file_comes_out(tmp_path: Path) -> None:
    """With the number of names that it has, and one identity."""
    (tmp_path / "a").write_text("x")
    for name in "bcd":
        os.link(tmp_path / "a", tmp_path / name)
    files, told = walked(Selection((str(tmp_path),)))
    assert [(file.name, file.names) for file in files] == [("a", 4), ("b", 4), ("c", 4), ("d", 4)]
    assert len({file.key for file in files}) == 1
    assert told.ends == {}


def test_a_root_may_be_a_file_or_a_link(tmp_path: Path) -> None:
    """A file alone comes out; a link that was named is followed, to a file as to a directory."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "in").touch()
    (tmp_path / "to-dir").symlink_to("dir")
    (tmp_path / "to-file").symlink_to("dir/in")
    assert names(Selection((str(tmp_path / "dir" / "in"),))) == ["in"]
    assert names(Selection((str(tmp_path / "to-file"),))) == ["to-file"]
    [found], _ = walked(Selection((str(tmp_path / "to-dir"),)))
    assert found.directory == str(tmp_path / "to-dir")


def test_a_root_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    """A PATH that does not exist is an entry that could not be looked at."""
    files, told = walked(Selection((str(tmp_path / "no"),)))
    assert files == []
    assert told.ends == {str(tmp_path / "no"): Outcome.UNREADABLE}
    assert told.files[0].reason == "No such file or directory"


def test_the_root_of_the_system_has_sound_paths() -> None:
    """Below "/" no path begins with two slashes."""
    told = Told()
    walker = Walk(Selection(("/",), exclude=("/*",)), told)
    assert list(walker.batches()) == []
    assert "/etc" in told.directories
    assert not [path for path in (*told.directories, *told.ends) if path.startswith("//")]


def test_what_is_excluded_is_counted(tmp_path: Path) -> None:
    """Files and whole directories that match a glob are left out, by name or by path."""
    for path in ("a.iso", "b.txt", "cache/x", "sub/cache/y", "sub/z"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    selection = Selection((str(tmp_path),), exclude=("*.iso", "cache", f"{tmp_path}/sub/z"))
    files, told = walked(selection)
    assert [file.name for file in files] == ["b.txt"]
    assert told.ends == {
        str(tmp_path / "a.iso"): Left.EXCLUDED,
        str(tmp_path / "sub" / "z"): Left.EXCLUDED,
    }
    assert told.directories == {
        str(tmp_path / "cache"): DirectoryLeft.EXCLUDED,
        str(tmp_path / "sub" / "cache"): DirectoryLeft.EXCLUDED,
    }


def test_larger_files_are_left_out(tmp_path: Path) -> None:
    """Over the size that the user set a file ends as such; at it, it comes out."""
    (tmp_path / "at").write_bytes(bytes(100))
    (tmp_path / "over").write_bytes(bytes(101))
    files, told = walked(Selection((str(tmp_path),), max_size=100))
    assert [file.name for file in files] == ["at"]
    assert told.ends == {str(tmp_path / "over"): Left.OVER_SIZE}


def test_a_huge_sparse_file_is_too_large_unread(tmp_path: Path) -> None:
    """A file that claims a size which it has not on the disk is not read for ever."""
    for name, size in (("huge", 1 << 40), ("small", 1 << 20)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    (tmp_path / "dense").write_bytes(os.urandom(3 << 20))
    files, told = walked(Selection((str(tmp_path),), sparse_limit=2 << 20))
    assert sorted(file.name for file in files) == ["dense", "small"]
    assert told.ends == {str(tmp_path / "huge"): Outcome.TOO_LARGE}
    assert "sparse" in told.files[0].reason


def test_names_that_are_not_utf8_come_out(tmp_path: Path) -> None:
    """Bytes come through as surrogates, from which they can be had again."""
    os.mkdir(os.fsencode(tmp_path) + b"/dir\xff")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/dir\xff"), NOT_UTF8).touch()
    [found], _ = walked(Selection((str(tmp_path),)))
    assert os.fsencode(f"{found.directory}/{found.name}").endswith(b"/dir\xff/caf\xe9")


def test_a_directory_of_very_many_directories_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are entered before the rest is read, and none is missed."""
    monkeypatch.setattr(walk, "MAX_WAITING", 3)
    for number in range(20):
        (tmp_path / f"d{number}" / "deeper").mkdir(parents=True)
        (tmp_path / f"d{number}" / "deeper" / f"f{number}").touch()
        (tmp_path / f"g{number}").touch()
    assert len(names(Selection((str(tmp_path),)))) == 40


def test_stop_ends_the_walk(tmp_path: Path) -> None:
    """When told so it enters no further directory, and holds none open."""
    for number in range(20):
        (tmp_path / f"d{number}").mkdir()
    before = open_descriptors()
    told = Told()
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    assert list(Walk(Selection((str(tmp_path),)), told, stop).batches()) == []
    assert told.entered < 10
    assert open_descriptors() <= before


def test_access_times_stay(tmp_path: Path) -> None:
    """The walk does not touch the access time of a directory that is ours."""
    (tmp_path / "d").mkdir()
    os.utime(tmp_path / "d", ns=(10**18, 10**18))
    walked(Selection((str(tmp_path),)))
    assert (tmp_path / "d").stat().st_atime_ns == 10**18


def test_places_that_are_excluded_are_not_walked(tmp_path: Path) -> None:
    """Also where one is itself a root."""
    for name in ("top/samples/f", "top/g", "samples/deep/h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    roots = [f"{tmp_path}/top", f"{tmp_path}/samples/deep"]
    places = Places(lambda: roots, ("*/samples",))
    assert names(places.selection(places.roots())) == ["g"]
