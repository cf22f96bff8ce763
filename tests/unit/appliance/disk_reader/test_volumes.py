"""Disks with partitions, made by parted."""

import os
from pathlib import Path

import pytest

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.files import FileStream
from appliance.disk_reader.volume import Volume
from appliance.disk_reader.volumes import volumes_of
from tests.support.disk_images import empty, ext4, fat, partitioned, patch, read_tree, tool, write_tree


def volumes(*images: Path) -> list[Volume]:
    """What is on some disks."""
    disks = [FileStream(os.open(image, os.O_RDONLY)) for image in images]
    return volumes_of(list(disks), Patience())  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["gpt", "msdos"])
def test_every_partition_is_told_and_read(tmp_path: Path, label: str) -> None:
    """With what is on it, or why it is not read."""
    expected = write_tree(tmp_path / "tree")
    swap = empty(tmp_path / "swap", 4)
    tool("mkswap", swap)
    (luks := empty(tmp_path / "luks", 1)).write_bytes(b"LUKS\xba\xbe".ljust(1 << 20, b"x"))
    noise = tmp_path / "noise"
    noise.write_bytes(b"noise" * 300_000 + bytes(2 * (1 << 20) - 1_500_000))
    parts = [ext4(tmp_path / "tree", tmp_path / "ext"), swap, luks, noise]
    found = volumes(partitioned(parts, tmp_path / "disk", label))
    assert [(each.name, each.kind, each.note, each.harmless) for each in found] == [
        ("disk, partition 1", "ext4", "", False),
        ("disk, partition 2", "", "it is swap space", True),
        ("disk, partition 3", "", "it is encrypted (LUKS): only the guest can read it", False),
        ("disk, partition 4", "", "no file system that is known here is on it", False),
    ]
    assert found[0].size == 32 << 20
    assert found[0].stream is not None
    assert read_tree(found[0].stream, "ext4").files == expected


def test_a_file_system_without_partitions_is_one_volume(tmp_path: Path) -> None:
    """FAT too, whose first sector looks like a table of partitions."""
    write_tree(tmp_path / "tree")
    for kind, image in (
        ("ext4", ext4(tmp_path / "tree", tmp_path / "ext")),
        ("fat", fat(tmp_path / "tree", tmp_path / "fat")),
    ):
        assert [(each.name, each.kind) for each in volumes(image)] == [("disk", kind)]


def test_what_is_written_before_the_partitions_does_not_hide_them(tmp_path: Path) -> None:
    """A guest may write what looks like a file system there: both are looked at."""
    write_tree(tmp_path / "tree")
    disk = partitioned([ext4(tmp_path / "tree", tmp_path / "ext")], tmp_path / "disk", "msdos")
    with disk.open("r+b") as file:
        file.seek(1080)
        file.write(b"\x53\xef")
    assert [each.name for each in volumes(disk)] == ["disk", "disk, partition 1"]


def test_an_empty_disk_and_one_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    """The first can hold no files, the second may."""
    disk = FileStream(os.open(empty(tmp_path / "disk", 1), os.O_RDONLY))
    found = volumes_of([disk, "the image cannot be read"], Patience())  # type: ignore[list-item]
    assert [(each.name, each.note, each.harmless) for each in found] == [
        ("disk 1", "it is empty", True),
        ("disk 2", "the image cannot be read", False),
    ]


def test_a_partition_of_no_type_is_looked_at(tmp_path: Path) -> None:
    """A guest's Linux mounts it."""
    write_tree(tmp_path / "tree")
    disk = partitioned([ext4(tmp_path / "tree", tmp_path / "ext")], tmp_path / "disk", "msdos")
    patch(disk, 446 + 4, b"\0")
    assert [(each.name, each.kind) for each in volumes(disk)] == [("disk, partition 1", "ext4")]


def test_a_file_system_in_front_hides_no_partitions(tmp_path: Path) -> None:
    """Its first sector may be a table of them too."""
    write_tree(tmp_path / "tree")
    disk = partitioned([ext4(tmp_path / "tree", tmp_path / "ext")], tmp_path / "disk", "msdos")
    front = empty(tmp_path / "fat", 1)
    tool("mkfs.vfat", "-F", 12, front)
    patch(disk, 0, front.read_bytes()[:446])
    patch(disk, 512, front.read_bytes()[512:])
    for maker in (b"mkfs.fat", b"MSDOS5.0"):
        patch(disk, 3, maker)
        assert [(each.name, each.kind) for each in volumes(disk)] == [
            ("disk", "fat"),
            ("disk, partition 1", "ext4"),
        ]


def test_a_table_that_is_damaged_is_told(tmp_path: Path) -> None:
    """Of GPT there are two, and Linux takes the second where the first is damaged."""
    write_tree(tmp_path / "tree")
    disk = partitioned([ext4(tmp_path / "tree", tmp_path / "ext")], tmp_path / "disk")
    patch(disk, 512, b"none")
    (found,) = volumes(disk)
    assert (found.note.partition(" (")[0], found.harmless) == (
        "its table of partitions cannot be read",
        False,
    )


@pytest.mark.parametrize(("at", "mark"), [(512, b"LABELONE"), (0x10040, b"_BHRfS_M")])
def test_a_mark_beside_that_of_a_file_system_does_not_hide_it(tmp_path: Path, at: int, mark: bytes) -> None:
    """A volume is read as all that it may be; what it is not is told."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image", "-g", "1024", "-b", "1024", "-N", "256")
    patch(image, at, mark)
    found = volumes(image)
    assert (len(found), [each.harmless for each in found]) == (2, [False, False])
    (read,) = (each for each in found if each.kind == "ext4")
    assert read.name == "disk, as ext4"
    assert read.stream is not None
    assert len(read_tree(read.stream, "ext4").files) >= len(expected) - 1
