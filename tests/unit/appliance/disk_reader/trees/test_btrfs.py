"""btrfs, made by mkfs.btrfs."""

import mmap
import re
import stat
from pathlib import Path

import pytest

from appliance.disk_reader.trees.btrfs import BtrfsTree
from appliance.disk_reader.trees.tree import Node
from tests.support.disk_images import btrfs, patch, read_tree, write_tree


def test_every_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """Small files lie in the tree itself."""
    expected = write_tree(tmp_path / "tree")
    read = read_tree(btrfs(tmp_path / "tree", tmp_path / "image"), "btrfs")
    assert read.files == expected
    assert read.problems == {}


def craft(image: Path, pattern: bytes, into: bytes) -> None:
    """Write over each place where something stands: the trees are there twice."""
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        places = [found.span(1) for found in re.finditer(pattern, data, re.DOTALL)]
        assert places
        for begin, end in places:
            data[begin:end] = into[: end - begin]


@pytest.mark.parametrize("kind", [0, 1, 2, 7])
@pytest.mark.parametrize("name", [rb"\x08\0([\1])file-007", rb"\x04\0([\2])many", rb"\x04\0([\7])link"])
def test_what_a_directory_says_of_the_kind_hides_nothing(tmp_path: Path, name: bytes, kind: int) -> None:
    """It goes by the inode; a link is no file, whatever it is called."""
    expected = write_tree(tmp_path / "tree")
    (tmp_path / "tree" / "link").symlink_to("one")
    image = btrfs(tmp_path / "tree", tmp_path / "image")
    craft(image, name, bytes([kind]))
    read = read_tree(image, "btrfs")
    assert read.files == expected
    assert read.problems == {}


def test_a_name_that_leads_to_no_inode_is_told(tmp_path: Path) -> None:
    """And what stands behind it is read."""
    expected = write_tree(tmp_path / "tree")
    image = btrfs(tmp_path / "tree", tmp_path / "image")
    mode = (stat.S_IFREG | 0o644).to_bytes(4, "little")
    (tmp_path / "tree" / "usr" / "bin" / "large").chmod(0o644)
    size = (tmp_path / "tree" / "usr" / "bin" / "large").stat().st_size.to_bytes(8, "little")
    craft(image, re.escape(size) + rb".{28}(" + re.escape(mode) + rb")", b"\0\0\0\0")
    craft(image, rb"(.{8})\x01.{16}\0\0\x08\0\x01file-007", b"\xff" * 6 + b"\0\0")
    read = read_tree(image, "btrfs")
    assert set(read.problems) == {"/usr/bin/large", "/many/file-007"}
    assert read.files == {path: each for path, each in expected.items() if path not in read.problems}


def test_a_name_that_is_not_listed_is_found(tmp_path: Path) -> None:
    """A directory names each thing twice: in its list, and where it is looked up by its name."""
    expected = write_tree(tmp_path / "tree")
    image = btrfs(tmp_path / "tree", tmp_path / "image")
    data = image.read_bytes()
    places = [found.start(1) for found in re.finditer(rb"\x08\0\x01(file-007)", data)]
    renamed = 0
    for place in places:
        patch(image, place, b"FILE")
        read = read_tree(image, "btrfs").files
        assert read.items() >= expected.items()
        renamed += "/many/FILE-007" in read
        patch(image, place, b"file")
    assert renamed == 2


def led_to(image: Path, name: str) -> set[int]:
    """The numbers of all inodes that a name at the top leads to."""
    with image.open("rb") as stream:
        tree = BtrfsTree(stream)
        nodes = [each for each in tree.children(tree.root()) if isinstance(each, Node)]
        return {node.thing.inum for node in nodes if node.name == name}


def test_a_name_that_leads_to_two_things_hides_neither(tmp_path: Path) -> None:
    """What is listed under it may be another thing than what is opened by it."""
    (tmp_path / "tree").mkdir()
    for name in ("shown", "other"):
        (tmp_path / "tree" / name).write_bytes(name.encode() * 1000)
    image = btrfs(tmp_path / "tree", tmp_path / "image")
    data, item = image.read_bytes(), rb"(.{8})\x01.{16}\0\0\x05\0\x01"
    (shown,), (other,) = led_to(image, "shown"), led_to(image, "other")
    apart = 0
    for found in re.finditer(item + b"shown", data, re.DOTALL):
        patch(image, found.start(1), other.to_bytes(8, "little"))
        apart += led_to(image, "shown") == {shown, other}
        patch(image, found.start(1), found[1])
    assert apart == 2  # in its list, and where it is looked up
