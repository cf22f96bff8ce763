"""Tests of a file that is visible whole or not at all."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_stub.remediation.new_file import new_file


@pytest.fixture(params=["nameless", "named"])
def here(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The test's directory, open, on a file system that knows nameless files and on one that does not."""
    real = os.open

    def refusing(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such thing here")
        return real(path, flags, *rest, **more)

    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    if request.param == "named":
        monkeypatch.setattr("os.open", refusing)
    yield fd
    os.close(fd)


def test_it_is_there_once_it_is_shown(here: int, tmp_path: Path) -> None:
    """Under its name alone, and readable by its owner alone."""
    with new_file(here, b"\xffname") as new:
        os.write(new.fd, b"content")
        assert b"\xffname" not in os.listdir(os.fsencode(tmp_path))
        new.show()
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xffname"]
    path = tmp_path / os.fsdecode(b"\xffname")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"content", 0o600)


def test_what_is_not_shown_is_not_there(here: int, tmp_path: Path) -> None:
    """Nothing of it is left."""
    with new_file(here, b"name") as new:
        os.write(new.fd, b"half")
    assert os.listdir(tmp_path) == []


def test_it_replaces_nothing(here: int, tmp_path: Path) -> None:
    """Neither a file nor a link that leads nowhere."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("nowhere")
    for name in (b"file", b"link"):
        with new_file(here, name) as new, pytest.raises(FileExistsError):
            new.show()
    assert ((tmp_path / "file").read_text(), sorted(os.listdir(tmp_path))) == ("old", ["file", "link"])
