"""ext2 and ext4, made by mke2fs."""

import struct
from pathlib import Path

import pytest

from tests.support.disk_images import ext4, read_tree, tool, write_tree


@pytest.mark.parametrize(
    "options",
    [(), ("-t", "ext2", "-b", "1024"), ("-O", "^extent,^64bit"), ("-I", "128"), ("-b", "1024", "-N", "512")],
)
def test_every_file_has_the_digest_of_its_bytes(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Whatever the blocks, the inodes and the way of saying where they are; holes are zeros."""
    expected = write_tree(tmp_path / "tree")
    read = read_tree(ext4(tmp_path / "tree", tmp_path / "image", *options), "ext4")
    assert read.files == expected
    assert read.problems == {}


def test_small_files_may_lie_in_their_inode(tmp_path: Path) -> None:
    """With and without a part in the inode's attributes."""
    expected = write_tree(tmp_path / "tree")
    (tmp_path / "tree" / "usr" / "holes").unlink()  # which mke2fs gets wrong itself
    del expected["/usr/holes"]
    image = ext4(tmp_path / "tree", tmp_path / "image", "-O", "inline_data", "-I", "256")
    read = read_tree(image, "ext4")
    assert read.files == expected


def test_the_last_inode_is_seen(tmp_path: Path) -> None:
    """A file cannot be hidden in it."""
    (tmp_path / "tree").mkdir()
    image = ext4(tmp_path / "tree", tmp_path / "image", "-N", "16", mib=2)
    for number in range(11, 200):
        file = tmp_path / f"f{number}"
        file.write_bytes(b"%d" % number)
        try:
            tool("debugfs", "-w", "-R", f"write {file} f{number}", image)
        except Exception:
            break
    read = read_tree(image, "ext4")
    said = image.read_bytes()[1024:2048]
    inodes, free = struct.unpack_from("<I", said, 0)[0], struct.unpack_from("<I", said, 16)[0]
    assert free == 0
    assert len(read.files) == inodes - 11  # all but those that are reserved, and lost+found


def test_one_file_of_two_names_is_told_under_both(tmp_path: Path) -> None:
    """Links are."""
    expected = write_tree(tmp_path / "tree")
    (tmp_path / "tree" / "again").hardlink_to(tmp_path / "tree" / "one")
    read = read_tree(ext4(tmp_path / "tree", tmp_path / "image"), "ext4")
    assert read.files == {**expected, "/again": expected["/one"]}


def test_what_is_damaged_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    """A file whose inode makes no sense costs itself alone."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image")
    tool("debugfs", "-w", "-R", "sif /usr/bin/large block[0] 0x1234", image)
    read = read_tree(image, "ext4")
    assert read.problems == {"/usr/bin/large": "the file cannot be read (its extents are damaged)"}
    del expected["/usr/bin/large"]
    assert read.files == expected
