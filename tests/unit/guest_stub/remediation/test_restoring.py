"""Tests of putting a file back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_stub.remediation import restoring
from guest_stub.remediation.attributes import attributes_of
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.remediation.restoring import NotRestored
from guest_stub.remediation.sealed import PIECE_BYTES, Damaged
from tests.support.quarantined import BAD, bad_file, open_for_reading, quarantine, take

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root finds a file again by its handle")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Quarantine]:
    """An open quarantine."""
    with quarantine(tmp_path) as found:
        yield found


def test_it_comes_back_as_it_was(opened: Quarantine, tmp_path: Path) -> None:
    """Content, holes, mode, times and attributes; the entry is gone."""
    content = b"x" * 10 + bytes(3 * PIECE_BYTES) + b"y" + bytes(2 * PIECE_BYTES)
    path = bad_file(tmp_path / os.fsdecode(b"\xff\n"), content)
    path.chmod(0o4711)
    os.setxattr(path, "user.note", b"kept")
    os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321))
    with open_for_reading(path) as fd:
        before = attributes_of(fd)
    restored = opened.restore(take(opened, path).entry)
    with open_for_reading(path) as fd:
        after = attributes_of(fd)
    assert (after, restored.left, list(opened.entries())) == (before, (), [])
    assert path.stat().st_blocks * 512 < 4 * PIECE_BYTES
    assert path.read_bytes() == content


def test_it_replaces_nothing(opened: Quarantine, tmp_path: Path) -> None:
    """Whatever has its name by now, and it stays in the quarantine."""
    path = bad_file(tmp_path / "file")
    id = take(opened, path).entry
    bad_file(path, b"newer")
    with pytest.raises(
        NotRestored, match="there is a file of this name: move it away, or name another place"
    ):
        opened.restore(id)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotRestored):
        opened.restore(id)
    assert not (tmp_path / "elsewhere").exists()
    path.unlink()
    opened.restore(id)
    assert path.read_bytes() == BAD


def test_it_follows_no_link_that_came_into_its_way(opened: Quarantine, tmp_path: Path) -> None:
    """Or root would write where somebody else wants; a directory that is gone is not made."""
    (tmp_path / "home").mkdir()
    (tmp_path / "etc").mkdir()
    id = take(opened, bad_file(tmp_path / "home" / "file")).entry
    (tmp_path / "home").rmdir()
    with pytest.raises(NotRestored, match="its directory is not there any more"):
        opened.restore(id)
    (tmp_path / "home").symlink_to(tmp_path / "etc")
    with pytest.raises(NotRestored, match="or a symbolic link is in its place"):
        opened.restore(id)
    assert os.listdir(tmp_path / "etc") == []
    opened.restore(id, os.fsencode(tmp_path / "home" / "given"))
    assert (tmp_path / "etc" / "given").read_bytes() == BAD


def test_a_directory_that_was_named_and_is_not_there_is_said(opened: Quarantine, tmp_path: Path) -> None:
    """It never was; and the file stays in the quarantine."""
    id = take(opened, bad_file(tmp_path / "file")).entry
    with pytest.raises(NotRestored, match="there is no directory of this name: make the directory"):
        opened.restore(id, os.fsencode(tmp_path / "none" / "file"))
    opened.restore(id)


def test_elsewhere(opened: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below where the person stands; never in place of something, nor where a directory alone is named."""
    monkeypatch.chdir(tmp_path)
    path = bad_file(tmp_path / "file")
    id = take(opened, path).entry
    bad_file(tmp_path / "there")
    for wrong in (b"there", b".."):
        with pytest.raises((NotRestored, OSError)):
            opened.restore(id, wrong)
    opened.restore(id, b"here")
    assert ((tmp_path / "here").read_bytes(), path.exists()) == (BAD, False)


def test_where_its_place_is_not_known_a_person_names_one(opened: Quarantine, tmp_path: Path) -> None:
    """As for a file of a container."""
    path = bad_file(tmp_path / "file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guest_stub.remediation.sealing.path_of", lambda _: b"/app/file")
        id = take(opened, path).entry
    with pytest.raises(NotRestored, match="cannot be reached from here: name a place by --to"):
        opened.restore(id)
    opened.restore(id, os.fsencode(path))


@as_root
def test_its_other_names_get_their_content_back(opened: Quarantine, tmp_path: Path) -> None:
    """It is one file with two names again, as it was; a false positive on it costs nothing."""
    path, other = bad_file(tmp_path / "file"), tmp_path / "other"
    path.chmod(0o755)
    os.link(path, other)
    before = path.stat()
    id = take(opened, path).entry
    assert other.read_bytes() == b""
    restored = opened.restore(id)
    assert (restored.left, path.read_bytes(), other.read_bytes()) == ((), BAD, BAD)
    assert (path.stat().st_ino, path.stat().st_nlink, path.stat().st_mode) == (
        before.st_ino,
        2,
        before.st_mode,
    )
    assert os.listxattr(path) == []


@as_root
def test_other_names_that_were_written_to_since_are_left(opened: Quarantine, tmp_path: Path) -> None:
    """They are somebody's new content; the file comes back as one of its own, and that is said."""
    path, other = bad_file(tmp_path / "file"), tmp_path / "other"
    os.link(path, other)
    id = take(opened, path).entry
    other.write_bytes(b"new")
    restored = opened.restore(id)
    assert (path.read_bytes(), other.read_bytes()) == (BAD, b"new")
    assert restored.left == ("other names that it had stay as they are (1), empty or not",)


@as_root
def test_a_file_that_was_emptied_in_its_place_is_filled_there(opened: Quarantine, tmp_path: Path) -> None:
    """Its name could not be moved, as that of a mount point cannot."""
    path = bad_file(tmp_path / "file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guest_stub.remediation.removal.path_of", lambda _: b"")
        done = take(opened, path)
    assert (done.emptied, path.read_bytes()) == (True, b"")
    opened.restore(done.entry)
    assert path.read_bytes() == BAD


@as_root
@pytest.mark.parametrize("linked", [False, True])
def test_a_damaged_one_is_never_restored(opened: Quarantine, tmp_path: Path, linked: bool) -> None:
    """Not even the part before the damage; the file with other names is empty again."""
    path, other = bad_file(tmp_path / "file", os.urandom(3 * PIECE_BYTES)), tmp_path / "other"
    if linked:
        os.link(path, other)
    id = take(opened, path).entry
    sealed = tmp_path / "quarantine" / f"{id}.sealed"
    os.truncate(sealed, sealed.stat().st_size - 1)
    with pytest.raises(Damaged):
        opened.restore(id)
    assert not path.exists()
    assert not linked or other.read_bytes() == b""
    assert sorted(os.listdir(tmp_path)) == (["other", "quarantine"] if linked else ["quarantine"])


def test_an_immutable_file_is_immutable_again(
    opened: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its flags come last, since it gets no name with them; what is refused is said."""
    given: list[int] = []

    def set_flags(fd: int, flags: int) -> None:
        assert os.fstat(fd).st_nlink == 1
        given.append(flags)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("guest_stub.remediation.attributes.flags_of", lambda _: 0x10)
    monkeypatch.setattr(restoring, "set_flags", set_flags)
    restored = opened.restore(take(opened, bad_file(tmp_path / "file")).entry)
    assert given == [0x10]
    assert restored.left == ("the inode flags 0x10 could not be given back: Operation not permitted",)
