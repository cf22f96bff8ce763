"""Dirty bitmaps that real QEMU tools have written to real images, and damaged ones."""

import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.qcow2_bitmaps import NoBitmap, bitmap_of
from tests.support.disk_images import tool

SIZE = 3 << 30
GRAIN = 64 << 10


def image(directory: Path, *options: str) -> Path:
    """An image with an empty bitmap `ours`, and another one."""
    made = directory / "disk.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", *options, made, str(SIZE))
    tool("qemu-img", "bitmap", "--add", made, "other")
    tool("qemu-img", "bitmap", "--add", "-g", str(GRAIN), made, "ours")
    return made


def written(made: Path, *places: tuple[int, int]) -> None:
    """Write to it as QEMU does. places: where, and how many bytes."""
    words = [word for at, length in places for word in ("-c", f"write -P 5 {at} {length}")]
    tool("qemu-io", "-f", "qcow2", *words, made)


def bitmap(made: Path, name: str = "ours", size: int = SIZE) -> list[tuple[int, int]]:
    """What it says."""
    with made.open("rb") as file:
        return list(bitmap_of(file, name, size, Patience()))


def test_what_qemu_wrote_to_is_told(tmp_path: Path) -> None:
    """Whole grains, beside each other or apart, and the last one of the disk."""
    made = image(tmp_path)
    assert bitmap(made) == []
    written(made, (0, 512), (GRAIN * 9 - 512, 1024), (SIZE - 512, 512), (GRAIN * 1000, GRAIN * 20))
    assert bitmap(made) == [
        (0, GRAIN),
        (GRAIN * 8, GRAIN * 10),
        (GRAIN * 1000, GRAIN * 1020),
        (SIZE - GRAIN, SIZE),
    ]


def test_another_image_has_not_the_bitmap(tmp_path: Path) -> None:
    """Nor one that was made anew, nor one of the old kind."""
    made = image(tmp_path)
    for name in ("none", "our"):
        with pytest.raises(NoBitmap, match="has not the dirty bitmap of the last scan"):
            bitmap(made, name)
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", tmp_path / "old.qcow2", "1M")
    with pytest.raises(NoBitmap, match="has not the dirty bitmap"):
        bitmap(tmp_path / "old.qcow2")


def test_who_writes_without_caring_for_bitmaps_makes_them_count_no_more(tmp_path: Path) -> None:
    """Such a program takes a bit of the header away."""
    made = image(tmp_path)
    with made.open("r+b") as file:
        file.seek(88)
        file.write(bytes(8))
    with pytest.raises(NoBitmap, match="has not the dirty bitmap"):
        bitmap(made)


def test_a_bitmap_that_was_in_use_when_its_program_was_killed_does_not_count(tmp_path: Path) -> None:
    """What was written meanwhile is not in it."""
    made = image(tmp_path)
    words = ["qemu-io", "-f", "qcow2", str(made)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writing:
        assert writing.stdin is not None
        assert writing.stdout is not None
        writing.stdin.write(b"write -P 5 1M 64k\n")
        writing.stdin.flush()
        while b"wrote" not in writing.stdout.readline():
            assert writing.poll() is None
        writing.kill()
    with pytest.raises(NoBitmap, match="was not written to its end"):
        bitmap(made)


def test_a_bitmap_that_follows_nothing_does_not_count(tmp_path: Path) -> None:
    """Somebody has disabled it."""
    made = image(tmp_path)
    tool("qemu-img", "bitmap", "--disable", made, "ours")
    with pytest.raises(NoBitmap, match="does not follow what is written"):
        bitmap(made)


def test_a_bitmap_of_a_smaller_disk_does_not_count(tmp_path: Path) -> None:
    """It says nothing of what lies behind its end."""
    with pytest.raises(NoBitmap, match="of another size"):
        bitmap(image(tmp_path), size=1 << 50)


def test_going_back_to_a_snapshot_is_refused_while_there_is_a_bitmap(tmp_path: Path) -> None:
    """By QEMU's own tools: what it brings back would be in no bitmap."""
    made = image(tmp_path)
    tool("qemu-img", "snapshot", "-c", "then", made)
    with pytest.raises(subprocess.CalledProcessError) as error:
        tool("qemu-img", "snapshot", "-a", "then", made)
    assert "active dirty bitmaps" in error.value.stderr


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a bitmap that says something."""
    made = image(tmp_path_factory.mktemp("some"))
    written(made, (0, 512), (GRAIN * 5, GRAIN))
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, (1 << 64) - 1)), min_size=1, max_size=4))
def test_a_damaged_image_is_a_bitmap_or_a_sentence(some: Path, changes: list[tuple[int, int]]) -> None:
    """Bounded, whatever stands in its header, its directory and its tables."""
    data = bytearray(some.read_bytes())
    directory = data.index(b"ours") // 8 * 8 - 64
    for at, value in changes:
        place = (at % 128 if at % 2 else directory + at % 128) // 4 * 4
        data[place : place + 8] = struct.pack(">Q", value)
    broken = some.with_name("broken.qcow2")
    broken.write_bytes(data)
    file: BinaryIO
    with broken.open("rb") as file, suppress(NoBitmap, struct.error, OSError, ValueError, OverflowError):
        for begin, end in bitmap_of(file, "ours", SIZE, Patience()):
            assert 0 <= begin < end
