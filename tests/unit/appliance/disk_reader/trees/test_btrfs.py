"""btrfs, made by mkfs.btrfs."""

from pathlib import Path

from tests.support.disk_images import btrfs, read_tree, write_tree


def test_every_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """Small files lie in the tree itself."""
    expected = write_tree(tmp_path / "tree")
    read = read_tree(btrfs(tmp_path / "tree", tmp_path / "image"), "btrfs")
    assert read.files == expected
    assert read.problems == {}
