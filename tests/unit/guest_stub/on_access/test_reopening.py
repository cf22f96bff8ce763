"""Tests of opening files by their handles."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from guest_stub.journal import Entry
from guest_stub.on_access.reopening import reopened
from guest_stub.records import identify
from guest_stub.remediation.handles import handle_of
from tests.support.descriptors import open_descriptors
from tests.support.on_access_parts import identity

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files are opened by their handles by root only")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


def entry_of(path: Path) -> Entry:
    """What is noted of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return Entry(str(path), 0.0, "open", identify(identity(path))[0], handle_of(fd))
    finally:
        os.close(fd)


def content(entry: Entry, *roots: Path) -> str:
    """What stands in the file of an entry; "" where it is not found. Leaves no descriptor."""
    before = open_descriptors()
    fd = reopened(entry, map(str, roots))
    if fd < 0:
        assert open_descriptors() <= before
        return ""
    try:
        return os.pread(fd, 100, 0).decode()
    finally:
        os.close(fd)


def test_a_file_is_found_wherever_it_is_by_now(file: Path, tmp_path: Path) -> None:
    """Beside roots that are gone, and such of other file systems."""
    entry = entry_of(file)
    (tmp_path / "deep").mkdir()
    file.rename(tmp_path / "deep/other")
    file.write_text("another")
    assert content(entry, tmp_path / "gone", Path("/proc"), tmp_path) == "hello"


def test_a_file_that_is_renamed_without_a_pause_is_found(file: Path, tmp_path: Path) -> None:
    """No walk comes upon it."""
    entry, over = entry_of(file), threading.Event()

    def rename() -> None:
        name, number = file, 0
        while not over.is_set():
            number += 1
            name = name.rename(tmp_path / f"name{number}")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        assert [content(entry, tmp_path) for _ in range(20)] == ["hello"] * 20
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry._replace(handle=b""),
        lambda entry: entry._replace(key=b""),
        lambda entry: entry._replace(handle=b"x" * 40),
        lambda entry: entry._replace(key=entry.key[:-1] + bytes([entry.key[-1] ^ 1])),
    ],
)
def test_what_stands_for_no_file_is_not_found(
    file: Path, tmp_path: Path, change: Callable[[Entry], Entry]
) -> None:
    """Nor another file than the one that was noted."""
    assert content(change(entry_of(file)), tmp_path) == ""


def test_a_file_that_is_gone_is_not_found(file: Path, tmp_path: Path) -> None:
    """Nor one that has no name any more, though somebody has it open."""
    entry = entry_of(file)
    with file.open():
        file.unlink()
        assert content(entry, tmp_path) == ""
    assert content(entry, tmp_path) == ""
    assert content(entry) == ""
