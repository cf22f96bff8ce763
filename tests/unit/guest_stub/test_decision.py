"""Tests of a file's identity."""

import os
from pathlib import Path

from guest_stub.decision import FileId


def test_identity_stays_while_nobody_writes(tmp_path: Path) -> None:
    """Reading a file leaves its identity as it is."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    before = FileId.of(file.stat())
    file.read_bytes()
    assert FileId.of(file.stat()) == before


def test_identity_moves_when_times_are_set_back(tmp_path: Path) -> None:
    """An owner who restores size and modification time after a write still gives the file a new identity."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    os.utime(file, ns=(1_000, 1_000))
    before = FileId.of(file.stat())
    while FileId.of(file.stat()).ctime_ns == before.ctime_ns:  # the clock of the file system ticks in ms
        file.write_bytes(b"two")
        os.utime(file, ns=(1_000, 1_000))
    after = FileId.of(file.stat())
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after != before


def test_two_files_are_told_apart(tmp_path: Path) -> None:
    """Two files of the same content and times have two identities."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
        os.utime(tmp_path / name, ns=(0, 0))
    assert FileId.of((tmp_path / "a").stat()) != FileId.of((tmp_path / "b").stat())
