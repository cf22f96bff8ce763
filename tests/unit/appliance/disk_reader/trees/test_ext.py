"""ext2 and ext4, made by mke2fs."""

import os
import struct
from pathlib import Path

import pytest

from tests.support.disk_images import ext4, patch, read_tree, tool, write_tree


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


def entry_at(image: Path, name: bytes, kind: int = 1) -> int:
    """Where the entry of a directory lies that has a name."""
    return image.read_bytes().index(bytes([len(name), kind]) + name) - 6


@pytest.mark.parametrize("kind", [0, 2, 7, 200])
def test_what_a_directory_says_of_the_kind_hides_nothing(tmp_path: Path, kind: int) -> None:
    """Linux goes by the inode, and so is it here."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image", "-O", "^metadata_csum")
    patch(image, entry_at(image, b"large") + 7, bytes([kind]))
    read = read_tree(image, "ext4")
    assert read.files == expected
    assert read.problems == {}


@pytest.mark.parametrize("kind", [0, 1, 7])
def test_a_directory_that_is_called_something_else_is_entered(tmp_path: Path, kind: int) -> None:
    """By its inode."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image", "-O", "^metadata_csum")
    patch(image, entry_at(image, b"many", 2) + 7, bytes([kind]))
    read = read_tree(image, "ext4")
    assert read.files == expected
    assert read.problems == {}


def test_links_and_pipes_are_no_files(tmp_path: Path) -> None:
    """They have no bytes, so nothing is said of them."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "tree" / "pipe")
    read = read_tree(ext4(tmp_path / "tree", tmp_path / "image"), "ext4")
    assert (read.files, read.problems) == ({}, {})


def test_a_name_that_leads_to_no_inode_is_told(tmp_path: Path) -> None:
    """And what stands behind it is read."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image", "-O", "^metadata_csum")
    patch(image, entry_at(image, b"file-003"), struct.pack("<I", 1 << 31))
    tool("debugfs", "-w", "-R", "sif /one mode 0", image)
    read = read_tree(image, "ext4")
    assert read.problems["/many/file-003"].startswith("the file cannot be read (it has the number 2147483648")
    assert read.problems["/one"] == "the file cannot be read (its inode is of no kind that there is)"
    del expected["/many/file-003"], expected["/one"]
    assert read.files == expected


def test_an_entry_that_ends_behind_its_block_hides_no_other_block(tmp_path: Path) -> None:
    """Linux goes on with the next block; what stood behind it in its own is told as not found."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image", "-O", "^metadata_csum,^dir_index", "-b", "1024")
    patch(image, entry_at(image, b"file-001") + 4, struct.pack("<H", 40_000))
    read = read_tree(image, "ext4")
    assert "a part of it is damaged" in read.problems["/many"]
    assert set(read.files) < set(expected)
    assert len(expected) - len(read.files) < 1024 // 16  # entries of one block
