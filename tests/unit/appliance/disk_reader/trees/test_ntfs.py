"""NTFS, made by mkntfs."""

import hashlib
from pathlib import Path

from tests.support.disk_images import ntfs, read_tree, write_tree


def test_every_file_and_every_stream_beside_it_is_found(tmp_path: Path) -> None:
    """Small ones lie in their record."""
    write_tree(tmp_path / "tree")
    files = [tmp_path / "tree" / name for name in ("one", "etc/block", "usr/bin/large", "usr/holes")]
    read = read_tree(ntfs(files, tmp_path / "image"), "ntfs")
    expected = {f"/{file.name}": hashlib.sha256(file.read_bytes()).digest() for file in files}
    assert read.files == {**expected, "/one:beside": expected["/holes"]}
    assert read.problems == {}
