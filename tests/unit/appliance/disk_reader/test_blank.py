"""What is called empty is empty from end to end."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from appliance.disk_reader.blank import Blanks
from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.files import FileStream, window
from appliance.disk_reader.images import open_disk
from appliance.disk_reader.volume import UNKNOWN, Volume
from appliance.disk_reader.volumes import volumes_of
from tests.support.disk_images import converted, empty, ext4, overlay, patch, tool, write_tree

EMPTY = ("it is empty", True)
_NOTHING = "no partitions and no file system that are known here are on it"


def said(*layers: Path) -> list[tuple[str, bool]]:
    """What is said of a disk, and whether it is no gap. layers: the lowest first."""
    told = [{"format": each.suffix[1:], "fds": [os.open(each, os.O_RDONLY)]} for each in layers]
    return [(each.note, each.harmless) for each in volumes_of([open_disk(told)], Patience())]


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A disk that begins with zeros and has a file system behind them."""
    write_tree(tmp_path / "tree")
    ext4(tmp_path / "tree", tmp_path / "disk.raw", "-E", f"offset={1 << 20}")
    with (tmp_path / "disk.raw").open("r+b") as file:
        file.truncate(64 << 20)
    return tmp_path / "disk.raw"


def test_a_file_system_behind_zeros_is_no_empty_disk(tmp_path: Path, hidden: Path) -> None:
    """A guest mounts it by where it begins; in a qcow2, under one and in a part of a disk as well."""
    assert said(hidden) == [(_NOTHING, False)]
    packed = converted(hidden, tmp_path / "packed.qcow2", "-c")
    assert said(packed) == [(_NOTHING, False)]
    assert said(hidden, overlay(hidden, tmp_path / "top.qcow2", "raw")) == [(_NOTHING, False)]
    part = window(FileStream(os.open(hidden, os.O_RDONLY)), 4096, 32 << 20)  # type: ignore[arg-type]
    looked = Blanks(Patience()).settled(Volume("part", 32 << 20, part, note=UNKNOWN))
    assert (looked.note, looked.harmless, looked.stream) == (UNKNOWN, False, None)


def test_the_last_byte_counts(tmp_path: Path) -> None:
    """As does one between two holes."""
    for at in (1_500_000, (64 << 20) - 1):
        image = empty(tmp_path / f"{at}.raw", 64)
        patch(image, at, b"x")
        assert said(image) == [(_NOTHING, False)]


def test_a_disk_that_nobody_has_written_to_is_empty_whatever_its_size(tmp_path: Path) -> None:
    """It is not read: of what is allocated nowhere it is known."""
    raw = empty(tmp_path / "large.raw", 4 << 20)
    assert said(raw) == [EMPTY]
    tool("qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "large.qcow2", "4T")
    assert said(tmp_path / "large.qcow2") == [EMPTY]
    assert said(raw, overlay(raw, tmp_path / "top.qcow2", "raw")) == [EMPTY]
    small = empty(tmp_path / "small.raw", 1)
    top = overlay(small, tmp_path / "longer.qcow2", "raw")
    tool("qemu-img", "resize", "-q", top, "4T")
    tool("qemu-io", "-f", "qcow2", "-c", "write -z 512M 4M", top)
    assert said(small, top) == [EMPTY]
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 0 1T 64k", top)  # these are read
    assert said(small, top) == [EMPTY]
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 1 3T 64k", top)
    assert said(small, top) == [(_NOTHING, False)]


@pytest.mark.parametrize("seconds", [lambda: count(0, 100).__next__, lambda: iter([0, 1, 2, 99]).__next__])
def test_what_takes_too_long_is_not_called_empty(
    tmp_path: Path, seconds: Callable[[], Callable[[], float]]
) -> None:
    """The sentence says how far it was looked at."""
    image = tmp_path / "zeros"
    image.write_bytes(bytes(4 << 20))
    stream = FileStream(os.open(image, os.O_RDONLY))
    stream.next_data = lambda at: at  # type: ignore[method-assign]  # as of a device
    volume = Volume("disk", stream.size, stream, note=UNKNOWN)  # type: ignore[arg-type]
    looked = Blanks(Patience(), seconds()).settled(volume)
    assert not looked.harmless
    assert looked.note.endswith("MiB are zeros; the rest is not looked at, as it takes too long")


def test_what_cannot_be_read_is_not_called_empty(tmp_path: Path) -> None:
    """Nobody knows what would be there."""
    fd = os.open(empty(tmp_path / "disk", 1), os.O_RDONLY)
    stream: Any = FileStream(fd)
    assert (
        Blanks(Patience()).settled(Volume("disk", 2 << 20, stream, note="n")).note
        == "n, and it ends too early"
    )
    os.close(fd)
    looked = Blanks(Patience()).settled(Volume("disk", 1 << 20, stream, note="n"))
    assert (looked.note.partition(" (")[0], looked.harmless) == ("n, and it cannot be read to its end", False)
