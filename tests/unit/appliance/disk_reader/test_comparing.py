"""What is told of an earlier scan, put together."""

import os
from pathlib import Path
from typing import Any

import pytest

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.comparing import compared
from appliance.disk_reader.images import open_disk
from appliance.disk_reader.trees.tree import Content
from tests.unit.appliance.disk_reader.test_qcow2_bitmaps import GRAIN, SIZE, image, written


@pytest.fixture
def head(tmp_path: Path) -> dict[str, Any]:
    """A question about one disk, with records of what lies at its beginning and 1 GiB behind it."""
    made = image(tmp_path)
    fd, records = os.open(made, os.O_RDONLY), tmp_path / "records"
    track = {"number": 3, "bitmap": "ours", "fd": fd}
    layers = [{"format": "qcow2", "fds": [fd], "extents": []}]
    unchanged, _ = compared([open_disk(layers)], {"disks": [layers], "tracks": [track]}, Patience())
    layouts = [unchanged.layout("xfs", PIECES, file) for file in FILES]
    records.write_bytes(b"head" + b"".join(sorted(each + b"d" * 32 for each in layouts if each)))
    base = {"fd": os.open(records, os.O_RDONLY), "offset": 4, "count": 2}
    return {"disks": [layers], "tracks": [track], "base": base}


PIECES = ((SIZE, 0, 0),)
FILES = [Content("", 10, lambda: None, ((at, 4096),)) for at in (0, 1 << 30)]  # type: ignore[arg-type, return-value]


def digests(head: dict[str, Any]) -> tuple[list[bytes | None], list[str]]:
    """What is known of both files, and what is said of the disk."""
    unchanged, unknown = compared([open_disk(head["disks"][0])], head, Patience())
    return [unchanged.digest("xfs", PIECES, file) for file in FILES], unknown


def test_what_was_written_to_is_not_known(head: dict[str, Any], tmp_path: Path) -> None:
    """What was not is."""
    assert digests(head) == ([b"d" * 32, b"d" * 32], [""])
    written(tmp_path / "disk.qcow2", ((1 << 30) + GRAIN - 512, 512))
    assert digests(head) == ([b"d" * 32, None], [""])


def test_without_a_bitmap_nothing_is_known_and_the_disk_is_read(head: dict[str, Any]) -> None:
    """With a sentence where there should be one."""
    head["tracks"][0]["bitmap"] = ""
    assert digests(head) == ([None, None], [""])
    head["tracks"][0]["bitmap"] = "gone"
    assert digests(head) == ([None, None], ["the image has not the dirty bitmap of the last scan"])
    head["tracks"][0] = None
    assert digests(head) == ([None, None], [""])


def test_records_that_cannot_be_read_are_a_sentence(head: dict[str, Any]) -> None:
    """The disk is read."""
    head["base"]["count"] = 1 << 40
    known, (why,) = digests(head)
    assert known == [None, None]
    assert "what was kept of the last scan cannot be read" in why


def test_a_disk_that_cannot_be_opened_has_its_own_sentence(head: dict[str, Any]) -> None:
    """Nothing is said of its changes."""
    _, unknown = compared(["it cannot be read"], head, Patience())
    assert unknown == [""]
