"""xfs, made by mkfs.xfs."""

from pathlib import Path

from tests.support.disk_images import read_tree, write_tree, xfs


def test_every_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """Directories in an inode and in blocks, files with holes."""
    expected = write_tree(tmp_path / "tree")
    read = read_tree(xfs(tmp_path / "tree", tmp_path / "image"), "xfs")
    assert read.files == expected
    assert read.problems == {}
