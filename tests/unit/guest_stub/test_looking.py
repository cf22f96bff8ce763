"""Tests of looking at files: long paths, changes, identities that may be kept."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest_stub import looking
from guest_stub.decision import FileId
from guest_stub.ends import Left
from guest_stub.found import FoundFile
from guest_stub.hashing import HashLimits, HashResult, HashTask, hash_batch
from guest_stub.looking import MAX_LOOKS, Chunk, Looked, look, open_file
from guest_stub.outcome import Outcome
from guest_stub.records import identify
from guest_stub.walk import Selection
from tests.support.stub_scans import later, walked

LIMITS = HashLimits(1 << 40)


def found(top: Path) -> list[FoundFile]:
    """The files of a tree, by name."""
    return sorted(walked(Selection((str(top),)))[0], key=lambda file: file.name)


def look_at(top: Path, clock: Callable[[], float] = later) -> dict[str, Looked]:
    """What is seen of the files of a tree, by name."""
    return {looked.file.name: looked for looked in look(Chunk(found(top)), LIMITS, clock)}


def test_a_file_is_hashed_under_its_identity(tmp_path: Path) -> None:
    """Digest, key, stamp and size are those of the file as it was read."""
    (tmp_path / "a").write_text("hello")
    looked = look_at(tmp_path)["a"]
    assert looked.sha256 == hashlib.sha256(b"hello").digest()
    assert (looked.key, looked.stamp) == identify(FileId.of((tmp_path / "a").stat()))
    assert (looked.size, looked.end, looked.tries) == (5, None, 0)


def test_a_file_that_was_just_written_is_not_to_be_kept(tmp_path: Path) -> None:
    """A further write within the same tick would not show, so there is no key."""
    (tmp_path / "a").write_text("hello")
    looked = look_at(tmp_path, time.time)["a"]
    assert looked.key == b""
    assert looked.sha256 == hashlib.sha256(b"hello").digest()


def test_a_file_on_a_file_system_that_is_not_relied_on_is_not_to_be_kept(tmp_path: Path) -> None:
    """Without a key in, there is none out."""
    (tmp_path / "a").write_text("hello")
    [file] = found(tmp_path)
    [looked] = look(Chunk([file._replace(key=b"")]), LIMITS, later)
    assert looked.key == b""


def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    """Such a file is hashed, and opened for its upload."""
    name, fd = "d" * 200, os.open(tmp_path, os.O_PATH)
    for _ in range(30):
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = deeper
    writing = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(writing, b"deep")
    os.close(writing)
    os.close(fd)
    [file] = found(tmp_path)
    assert len(file.directory) > 6000
    assert look_at(tmp_path)["file"].sha256 == hashlib.sha256(b"deep").digest()
    reading = open_file(file.directory, file.name)
    assert os.read(reading, 10) == b"deep"
    os.close(reading)
    with pytest.raises(FileNotFoundError):
        open_file(file.directory + "x", file.name)


def test_a_file_that_is_gone_has_vanished(tmp_path: Path) -> None:
    """What went away after the walk is not an error."""
    (tmp_path / "a").write_text("hello")
    files = found(tmp_path)
    (tmp_path / "a").unlink()
    [looked] = look(Chunk(files), LIMITS, later)
    assert looked.end is Left.VANISHED


def test_a_file_that_was_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    """It ends as changed, after all tries."""
    (tmp_path / "a").write_text("hello")
    files = found(tmp_path)
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("/etc/passwd")
    [looked] = look(Chunk(files), LIMITS, later)
    assert looked.end is Outcome.CHANGED
    assert looked.tries == MAX_LOOKS - 1


class ChangingFiles:
    """hash_batch, with somebody who writes to a file while it is read, for the first `times` times."""

    def __init__(self, path: Path, times: int) -> None:
        self.path = path
        self.times = times
        self.looks = 0

    def __call__(self, tasks: list[HashTask], limits: HashLimits) -> list[HashResult]:
        """Write once to the file after it was opened."""
        self.looks += 1

        def write(_: int) -> None:
            if self.looks <= self.times:
                with self.path.open("a") as file:
                    file.write("more")

        return hash_batch(tasks, HashLimits(limits.max_bytes, throttle=write))


def test_a_file_that_changes_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it keeps still, its digest is that of what it is then."""
    (tmp_path / "a").write_text("hello")
    changing = ChangingFiles(tmp_path / "a", times=MAX_LOOKS - 1)
    monkeypatch.setattr(looking, "hash_batch", changing)
    looked = look_at(tmp_path)["a"]
    assert changing.looks == MAX_LOOKS
    assert looked.end is None
    assert looked.sha256 == hashlib.sha256((tmp_path / "a").read_bytes()).digest()


def test_a_file_that_never_keeps_still_ends_as_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many tries it is given up, and named."""
    (tmp_path / "a").write_text("hello")
    changing = ChangingFiles(tmp_path / "a", times=1000)
    monkeypatch.setattr(looking, "hash_batch", changing)
    looked = look_at(tmp_path)["a"]
    assert changing.looks == MAX_LOOKS
    assert (looked.end, looked.sha256) == (Outcome.CHANGED, b"")


def test_tries_of_before_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed under its upload gets no more tries than another."""
    (tmp_path / "a").write_text("hello")
    changing = ChangingFiles(tmp_path / "a", times=1000)
    monkeypatch.setattr(looking, "hash_batch", changing)
    [looked] = look(Chunk(found(tmp_path), tries=MAX_LOOKS - 1), LIMITS, later)
    assert changing.looks == 1
    assert looked.end is Outcome.CHANGED


def test_stop_leaves_the_rest_out(tmp_path: Path) -> None:
    """What was not looked at when the scan ended is simply missing."""
    for name in "abc":
        (tmp_path / name).write_text(name)
    asked = iter([False, True, True])
    limits = HashLimits(1 << 40, stop=lambda: next(asked))
    assert len(look(Chunk(found(tmp_path)), limits, later)) == 1
