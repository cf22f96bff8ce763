"""Tests of taking a file away: the one that was judged, and never another."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.decision import FileId
from guest_stub.remediation import removal
from guest_stub.remediation.facts import Judged
from guest_stub.remediation.new_file import name_inode
from guest_stub.remediation.removal import Changed, Removed, beside, empty, leads_to, path_of, remove
from tests.support.quarantined import BAD, bad_file, judged, open_for_reading

ROOM = beside("0123456789ab")


def removed(path: Path, meanwhile: Callable[[], object] = lambda: None) -> Removed:
    """Judge the file, let something happen, remove it."""
    with open_for_reading(path) as fd:
        facts = judged(path)
        meanwhile()
        return remove(fd, facts, ROOM)


def before(patch: pytest.MonkeyPatch, name: str, action: Callable[[], object]) -> None:
    """Let something happen right before removal calls this function for the first time."""
    real, waiting = getattr(removal, name), [action]

    def call(*arguments: object) -> object:
        if waiting:
            waiting.pop()()
        return real(*arguments)

    patch.setattr(removal, name, call)


@pytest.mark.parametrize("name", [b"file", b"\xff\xfe\n", b"a (deleted)", b"-x", b"n" * 255])
def test_a_file_is_removed(tmp_path: Path, name: bytes) -> None:
    """Whatever it is called, and nothing else is left."""
    path = bad_file(tmp_path / os.fsdecode(name))
    assert removed(path) == Removed(unnamed=True, emptied=False, other_names=0)
    assert os.listdir(tmp_path) == []


def test_it_is_removed_from_where_it_is_by_now(tmp_path: Path) -> None:
    """A directory on its way that was renamed makes no difference."""
    (tmp_path / "a").mkdir()
    path = bad_file(tmp_path / "a" / "file")
    assert removed(path, lambda: (tmp_path / "a").rename(tmp_path / "b")).unnamed
    assert os.listdir(tmp_path / "b") == []


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        (lambda path: path.write_bytes(b"other"), "changed since"),
        (lambda path: path.write_bytes(bytes(len(BAD))), "changed since"),
        (lambda path: path.unlink(), "removed by somebody else"),
    ],
)
def test_a_file_that_changed_is_left(tmp_path: Path, meanwhile: Callable[[Path], object], why: str) -> None:
    """Written to or removed: it is to be judged anew."""
    path = bad_file(tmp_path / "file")
    with pytest.raises(Changed, match=why):
        removed(path, lambda: meanwhile(path))
    assert [name for name in os.listdir(tmp_path) if name != "file"] == []


@pytest.mark.parametrize(
    "meanwhile",
    [os.utime, lambda path: path.chmod(0o600), lambda path: path.rename(path.with_name("moved"))],
)
def test_who_moves_no_more_than_its_times_saves_no_file(
    tmp_path: Path, meanwhile: Callable[[Path], object]
) -> None:
    """It is read again, has the content that was judged, and goes."""
    path = bad_file(tmp_path / "file")
    assert removed(path, lambda: meanwhile(path)).unnamed
    assert os.listdir(tmp_path) == []


def test_nor_does_who_moves_them_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last look at it under its name."""
    path = bad_file(tmp_path / "file")
    before(monkeypatch, "rename_no_replace", lambda: os.utime(path, (1, 1)))
    assert removed(path).unnamed
    assert os.listdir(tmp_path) == []


def test_where_the_digest_is_not_known_no_time_may_have_moved(tmp_path: Path) -> None:
    """As when a removal that was interrupted is seen through: nothing could tell that it is the same."""
    path = bad_file(tmp_path / "file")
    with open_for_reading(path) as fd:
        facts = replace(judged(path), sha256=b"")
        os.utime(path)
        with pytest.raises(Changed):
            remove(fd, facts, ROOM)
    assert path.read_bytes() == BAD


def test_another_file_under_the_name_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes there after the last look and is put back; the file that was judged is left where it is."""
    path, good = bad_file(tmp_path / "file"), bad_file(tmp_path / "good", b"good")

    def swap() -> None:
        path.rename(tmp_path / "away")
        good.rename(path)

    before(monkeypatch, "rename_no_replace", swap)
    with pytest.raises(Changed, match="another file came under its name"):
        removed(path)
    assert (path.read_bytes(), (tmp_path / "away").read_bytes()) == (b"good", BAD)
    assert sorted(os.listdir(tmp_path)) == ["away", "file"]


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_a_link_or_a_directory_under_the_name_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nor is what a link leads to."""
    path, target = bad_file(tmp_path / "file"), bad_file(tmp_path / "target", b"good")

    def swap() -> None:
        path.rename(tmp_path / "away")
        if kind == "link":
            path.symlink_to(target)
        else:
            path.mkdir()

    before(monkeypatch, "rename_no_replace", swap)
    with pytest.raises(Changed):
        removed(path)
    assert (target.read_bytes(), (tmp_path / "away").read_bytes()) == (b"good", BAD)
    assert path.is_symlink() if kind == "link" else path.is_dir()


def test_a_link_in_place_of_a_directory_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the same name behind it stays; the one that was judged is removed from where it went."""
    (tmp_path / "a").mkdir()
    (tmp_path / "etc").mkdir()
    path, good = bad_file(tmp_path / "a" / "file"), bad_file(tmp_path / "etc" / "file", b"good")

    def swap() -> None:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").symlink_to(tmp_path / "etc")

    before(monkeypatch, "unlinked_directory", swap)
    assert removed(path).unnamed
    assert (good.read_bytes(), os.listdir(tmp_path / "b")) == (b"good", [])


def test_a_name_that_was_taken_meanwhile_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came under the name, was moved and finds its name taken stays beside it, and that is said."""
    path, good = bad_file(tmp_path / "file"), bad_file(tmp_path / "good", b"good")

    def swap() -> None:
        path.rename(tmp_path / "away")
        good.rename(path)

    before(monkeypatch, "rename_no_replace", swap)
    before(monkeypatch, "_put_back", lambda: bad_file(path, b"newest"))
    with pytest.raises(Changed, match=r"lies beside it as \.kvm-light-agent-0123456789ab/file"):
        removed(path)
    assert (path.read_bytes(), (tmp_path / os.fsdecode(ROOM) / "file").read_bytes()) == (b"newest", b"good")


def test_a_write_at_the_last_moment_saves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is seen after the move, and the file gets its name back."""
    path = bad_file(tmp_path / "file")
    before(monkeypatch, "rename_no_replace", lambda: path.write_bytes(b"something else"))
    with pytest.raises(Changed):
        removed(path)
    assert path.read_bytes() == b"something else"


def test_other_names_lead_to_an_empty_file(tmp_path: Path) -> None:
    """What has hard links is emptied: it would do harm under them as well."""
    path = bad_file(tmp_path / "file")
    os.link(path, tmp_path / "other")
    assert removed(path) == Removed(unnamed=True, emptied=True, other_names=1)
    assert (os.listdir(tmp_path), (tmp_path / "other").read_bytes()) == (["other"], b"")


def test_a_program_that_runs_is_removed(tmp_path: Path) -> None:
    """It runs on; under another name its content is left, which is said."""
    path = bad_file(tmp_path / "sleep", Path("/bin/sleep").read_bytes())
    path.chmod(0o755)
    os.link(path, tmp_path / "other")
    with subprocess.Popen([path, "60"]) as running:
        found = removed(path)
        running.kill()
    assert (found.unnamed, found.emptied, found.other_names) == (True, False, 1)
    assert found.note == "its content is left under its other names: Text file busy"


def test_where_the_name_cannot_be_found_the_file_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a file of another mount namespace; by the descriptor, so that it is the right one."""
    path = bad_file(tmp_path / "file")
    monkeypatch.setattr(removal, "path_of", lambda _: b"/no/such/file")
    assert removed(path) == Removed(
        False, True, 1, "its name is left, on an empty file: No such file or directory"
    )
    assert path.read_bytes() == b""


def test_emptying_asks_once_more(tmp_path: Path) -> None:
    """A file that changed keeps its content."""
    path = bad_file(tmp_path / "file")
    with open_for_reading(path) as fd:
        facts = judged(path)
        path.write_bytes(b"other")
        with pytest.raises(Changed):
            empty(fd, facts)
    assert path.read_bytes() == b"other"


def test_what_is_no_file_is_left(tmp_path: Path) -> None:
    """A directory, a device."""
    with open_for_reading(tmp_path) as fd, pytest.raises(Changed, match="no regular file"):
        remove(fd, Judged(FileId.of(os.fstat(fd)), b""), ROOM)


def test_a_path_may_lead_elsewhere(tmp_path: Path) -> None:
    """To nothing, to another file, or through a link, and then it is not the file's."""
    path, other = bad_file(tmp_path / "file"), bad_file(tmp_path / "other")
    (tmp_path / "link").symlink_to(path)
    with open_for_reading(path) as fd:
        assert path_of(fd) == os.fsencode(path)
        assert leads_to(os.fsencode(path), fd)
        for wrong in (other, tmp_path / "link", tmp_path / "none", tmp_path / "none" / "file"):
            assert not leads_to(os.fsencode(wrong), fd)
        assert not leads_to(b"", fd)
    assert path_of(10**6) == b""


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root sets inode flags")
@pytest.mark.parametrize("flag", ["i", "a"])
def test_an_immutable_file_is_removed(tmp_path: Path, flag: str) -> None:
    """Malware makes itself so; and a file that is left after all is immutable again."""
    path = bad_file(tmp_path / "file")
    if subprocess.run(["chattr", f"+{flag}", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no inode flags")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(removal, "_unname", lambda *_: (_ for _ in ()).throw(Changed("as it happens")))
            with pytest.raises(Changed, match="as it happens"):
                removed(path)
        shown = subprocess.run(["lsattr", path], capture_output=True, text=True, check=True).stdout
        assert flag in shown.split()[0]
        assert removed(path).unnamed
    finally:
        subprocess.run(["chattr", f"-{flag}", path], capture_output=True, check=False)


def nameless(directory: Path, name: str) -> int:
    """A file that was made without a name and given one, as the kernel tells its path."""
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, BAD)
    there = os.open(directory, os.O_PATH)
    name_inode(fd, (there, os.fsencode(name)))
    os.close(there)
    assert os.readlink(f"/proc/self/fd/{fd}").endswith(" (deleted)")
    return fd


def test_a_file_that_got_its_name_later_is_removed_by_it(tmp_path: Path) -> None:
    """As one that a restore made, or a program that writes so: the kernel tells no name of it."""
    bad_file(tmp_path / "another")
    fd = nameless(tmp_path, "restored")
    assert path_of(fd) == os.fsencode(tmp_path / "restored")
    assert remove(fd, Judged(FileId.of(os.fstat(fd)), b""), ROOM) == Removed(
        unnamed=True, emptied=False, other_names=0
    )
    assert os.listdir(tmp_path) == ["another"]
    os.close(fd)


def test_a_name_that_is_not_found_is_left_on_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another directory, or among too many: the content is taken away."""
    (tmp_path / "made").mkdir()
    fd = nameless(tmp_path / "made", "file")
    monkeypatch.setattr(removal, "MOST_NAMES", 0)
    assert path_of(fd).endswith(b" (deleted)")
    monkeypatch.undo()
    (tmp_path / "made" / "file").rename(tmp_path / "moved")
    assert remove(fd, Judged(FileId.of(os.fstat(fd)), b""), ROOM).emptied
    assert (tmp_path / "moved").read_bytes() == b""
    os.close(fd)
