"""Tests of looking for files by their inodes."""

import os
from pathlib import Path

import pytest

from guest_stub.found import FoundFile
from guest_stub.on_access import moved as module
from guest_stub.on_access.moved import come_upon, moved_to
from guest_stub.records import identify
from guest_stub.remediation.handles import handle_of
from guest_stub.walk import Places
from tests.support.on_access_parts import identity


async def found(places: Places, keys: list[bytes]) -> dict[bytes, str]:
    """Where they are, by their keys."""
    entries = await moved_to(places, keys)
    assert all(entry.key == key for key, entry in entries.items())
    return {key: entry.path for key, entry in entries.items()}


async def test_files_are_found_wherever_they_are(tmp_path: Path) -> None:
    """By what stands for them, whatever they are called; what is excluded, and what is gone, is not."""
    names = ("a/b/c", "a (deleted)", "left/x", "other")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    places = Places(lambda: [str(tmp_path)], ("left",))
    keys = [identify(identity(tmp_path / name))[0] for name in names[:3]]
    assert await found(places, [*keys, b"\xff" * 12]) == {
        keys[0]: str(tmp_path / names[0]),
        keys[1]: str(tmp_path / names[1]),
    }
    os.unlink(tmp_path / names[1])
    assert await found(places, keys[:2]) == {keys[0]: str(tmp_path / names[0])}


async def test_a_device_may_have_another_number_by_now(tmp_path: Path) -> None:
    """After a restart: the file is found, by the key that it has then."""
    (tmp_path / "file").write_text("hello")
    file = identity(tmp_path / "file")
    earlier = identify(file._replace(dev=file.dev + 1))[0]
    assert await found(Places(lambda: [str(tmp_path)]), [earlier]) == {
        identify(file)[0]: str(tmp_path / "file")
    }


def met(path: Path) -> FoundFile:
    """What a walk makes of a file."""
    file = identity(path)
    return FoundFile(*identify(file), str(path.parent), path.name, file.size)


def test_what_is_renamed_after_it_was_met_is_taken_hold_of(tmp_path: Path) -> None:
    """Under the name that it has then, and by a handle, which leads to it under any other."""
    for name in ("before", "other"):
        (tmp_path / name).write_text(name)
    file = met(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    entry = come_upon(file)
    assert (entry.path, entry.key) == (f"{tmp_path}/after", file.key)
    fd = os.open(tmp_path / "after", os.O_RDONLY)
    assert entry.handle == handle_of(fd)
    os.close(fd)


def test_what_is_gone_when_it_is_come_upon_is_soon_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the path that it had; so is what has no handle, as on some file systems."""
    monkeypatch.setattr(module, "CATCH_SECONDS", 0.01)
    (tmp_path / "file").write_text("hello")
    file = met(tmp_path / "file")
    monkeypatch.setattr(module, "handle_of", lambda _fd: b"")
    assert (come_upon(file).path, come_upon(file).handle) == (f"{tmp_path}/file", b"")
    (tmp_path / "file").unlink()
    assert (come_upon(file).path, come_upon(file).handle) == (f"{tmp_path}/file", b"")
    assert come_upon(file._replace(directory=f"{tmp_path}/gone")).handle == b""
