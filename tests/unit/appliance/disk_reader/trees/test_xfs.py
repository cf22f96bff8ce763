"""xfs, made by mkfs.xfs."""

import mmap
import re
import struct
from pathlib import Path

import pytest

from tests.support.disk_images import patch, read_tree, tool, write_tree, xfs


def test_every_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """Directories in an inode and in blocks, files with holes."""
    expected = write_tree(tmp_path / "tree")
    read = read_tree(xfs(tmp_path / "tree", tmp_path / "image"), "xfs")
    assert read.files == expected
    assert read.problems == {}


_IN_A_BLOCK = rb"\0\0\0\0.{4}\x08file-007"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An image, and what is in it; a link is no file."""
    top = tmp_path_factory.mktemp("xfs")
    expected = write_tree(top / "tree")
    (top / "tree" / "names").mkdir()
    for number in range(200):
        (top / "tree" / "names" / f"{number:040}").touch()
        expected[f"/names/{number:040}"] = expected["/empty"]
    (top / "tree" / "link").symlink_to("one")
    return xfs(top / "tree", top / "image"), expected


@pytest.fixture
def image(tmp_path: Path, made: tuple[Path, dict[str, bytes]]) -> Path:
    """It, to be crafted."""
    tool("cp", "--sparse=always", made[0], tmp_path / "image")
    return tmp_path / "image"


def found_in(image: Path, pattern: bytes) -> re.Match[bytes]:
    """Where in an image something stands."""
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.search(pattern, data, re.DOTALL)
        assert found is not None
        return found


@pytest.mark.parametrize("kind", [0, 1, 2, 7])
@pytest.mark.parametrize("name", [_IN_A_BLOCK, rb"\x04..file", rb"\x04..many", rb"\x04..link"])
def test_what_a_directory_says_of_the_kind_hides_nothing(
    image: Path, made: tuple[Path, dict[str, bytes]], name: bytes, kind: int
) -> None:
    """Linux goes by the inode, and so is it here."""
    patch(image, found_in(image, name + rb"[\1\2\7]").end() - 1, bytes([kind]))
    read = read_tree(image, "xfs")
    assert read.files == made[1]
    assert read.problems == {}


def test_a_name_that_leads_to_no_inode_is_told(image: Path, made: tuple[Path, dict[str, bytes]]) -> None:
    """And what stands behind it is read."""
    patch(image, found_in(image, _IN_A_BLOCK).start(), struct.pack(">Q", 5))
    tool("xfs_db", "-x", "-c", "path /usr/holes", "-c", "write -d core.mode 0", image)
    read = read_tree(image, "xfs")
    assert set(read.problems) == {"/many/file-007", "/usr/holes"}
    assert read.problems["/usr/holes"] == "the file cannot be read (its inode is of no kind that there is)"
    assert read.files == {path: each for path, each in made[1].items() if path not in read.problems}


def test_a_block_of_a_directory_that_is_none_is_told(image: Path) -> None:
    """The library goes on to the next without a word."""
    patch(image, found_in(image, rb"XD[BD]3").start(), b"none")
    assert any("what stood there is not found" in each for each in read_tree(image, "xfs").problems.values())


def test_what_lies_behind_the_end_of_a_directory_is_told(image: Path) -> None:
    """Linux finds a name there by the directory's index."""
    tool("xfs_db", "-x", "-c", "path /names", "-c", "write -d core.size 4096", image)
    read = read_tree(image, "xfs")
    assert read.problems["/names"] == "a part of it lies behind its end, and what stands there is not found"
