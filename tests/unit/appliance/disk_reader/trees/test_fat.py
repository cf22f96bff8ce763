"""FAT, made by mkfs.vfat and mtools."""

import struct
from pathlib import Path

import pytest

from tests.support.disk_images import fat, read_tree, write_tree


@pytest.mark.parametrize(("bits", "mib"), [(12, 8), (16, 24), (32, 48)])
def test_every_file_has_the_digest_of_its_bytes(tmp_path: Path, bits: int, mib: int) -> None:
    """Under its long name, whatever the size of a cluster's number."""
    expected = write_tree(tmp_path / "tree")
    read = read_tree(fat(tmp_path / "tree", tmp_path / "image", bits, mib), "fat")
    assert read.files == expected
    assert read.problems == {}


def test_a_chain_that_runs_in_a_ring_ends(tmp_path: Path) -> None:
    """A file has no more clusters than it says, a directory no more than any may have."""
    (tmp_path / "tree" / "dir").mkdir(parents=True)
    (tmp_path / "tree" / "dir" / "x").write_bytes(b"x")
    image = fat(tmp_path / "tree", tmp_path / "image", 16, 24)
    data = bytearray(image.read_bytes())
    reserved = struct.unpack_from("<H", data, 14)[0]
    for cluster in range(2, 6):
        struct.pack_into("<H", data, reserved * 512 + 2 * cluster, cluster)
    image.write_bytes(data)
    read = read_tree(image, "fat")
    assert set(read.files) <= {"/dir/x"}
