"""Tests of looking for files by their inodes."""

import os
from pathlib import Path

from guest_stub.on_access.moved import moved_to
from guest_stub.records import identify
from guest_stub.walk import Places
from tests.support.on_access_parts import identity


async def test_files_are_found_wherever_they_are(tmp_path: Path) -> None:
    """By what stands for them, whatever they are called; what is excluded, and what is gone, is not."""
    names = ("a/b/c", "a (deleted)", "left/x", "other")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    places = Places(lambda: [str(tmp_path)], ("left",))
    keys = [identify(identity(tmp_path / name))[0] for name in names[:3]]
    found = await moved_to(places, [*keys, b"\xff" * 12])
    assert found == {keys[0]: str(tmp_path / names[0]), keys[1]: str(tmp_path / names[1])}
    os.unlink(tmp_path / names[1])
    assert await moved_to(places, keys[:2]) == {keys[0]: str(tmp_path / names[0])}


async def test_a_device_may_have_another_number_by_now(tmp_path: Path) -> None:
    """After a restart: the file is found, by the key that it has then."""
    (tmp_path / "file").write_text("hello")
    file = identity(tmp_path / "file")
    earlier = identify(file._replace(dev=file.dev + 1))[0]
    assert await moved_to(Places(lambda: [str(tmp_path)]), [earlier]) == {
        identify(file)[0]: str(tmp_path / "file")
    }
