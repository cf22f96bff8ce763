"""FAT, made by mkfs.vfat and mtools."""

import struct
from pathlib import Path

import pytest

from appliance.disk_reader.trees.tree import Wrong
from tests.support.disk_images import fat, patch, read_tree, write_tree


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
    assert "runs in a ring" in read.problems["/dir"]


def some_files(tmp_path: Path, *names: str) -> Path:
    """A small FAT of 16 bits with files, each of which has its name in it."""
    (tmp_path / "tree").mkdir()
    for name in names:
        (tmp_path / "tree" / name).write_bytes(name.encode())
    return fat(tmp_path / "tree", tmp_path / "image", 16, 24)


def entry_at(image: Path, short: bytes) -> int:
    """Where the entry of a short name lies."""
    return image.read_bytes().index(short)


def test_what_stands_behind_the_end_of_a_directory_is_read(tmp_path: Path) -> None:
    """Linux reads on behind the mark, to the last cluster."""
    image = some_files(tmp_path, "A.TXT", "B.TXT", "C.TXT")
    entry = image.read_bytes()[(at := entry_at(image, b"C       TXT")) : at + 32]
    patch(image, entry_at(image, b"B       TXT"), b"\0")
    patch(image, at, bytes(32))
    patch(image, at + 32 * 70, entry)
    assert set(read_tree(image, "fat").files) == {"/A.TXT", "/C.TXT"}


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_long_name_that_can_be_none_hides_no_file(tmp_path: Path, name: str) -> None:
    """It has a short one too."""
    image = some_files(tmp_path, "evil with a long name")
    letters = (name + "\0").encode("utf-16-le").ljust(26, b"\xff")
    at = entry_at(image, b"EVILWI~1   ") - 32
    patch(image, at, b"\x41" + letters[:10])
    patch(image, at + 14, letters[10:22] + b"\0\0" + letters[22:])
    patch(image, at - 32, b"\xe5")
    assert len(read_tree(image, "fat").files) == 1


def test_a_long_name_of_what_is_called_itself_is_a_file(tmp_path: Path) -> None:
    """Linux finds it by that."""
    image = some_files(tmp_path, "evil with a long name")
    patch(image, entry_at(image, b"EVILWI~1   "), b".          ")
    assert set(read_tree(image, "fat").files) == {"/evil with a long name"}


def test_a_small_file_system_of_32_bits_is_read(tmp_path: Path) -> None:
    """It is what it says, however few clusters it has: such are many partitions that machines boot from."""
    expected = write_tree(tmp_path / "tree")
    image = fat(tmp_path / "tree", tmp_path / "image")
    patch(image, 32, struct.pack("<I", 20 << 11))  # sectors: 40,000 clusters
    read = read_tree(image, "fat")
    assert read.files == expected
    assert read.problems == {}


def test_a_file_system_of_16_bits_that_is_too_large_for_them_is_told(tmp_path: Path) -> None:
    """Systems would not agree on what is in it."""
    image = some_files(tmp_path, "A.TXT")
    patch(image, 19, bytes(2))
    patch(image, 32, struct.pack("<I", 1 << 20))
    with pytest.raises(Wrong, match="more clusters than"):
        read_tree(image, "fat")


def test_the_upper_half_of_a_cluster_is_of_32_bits_alone(tmp_path: Path) -> None:
    """Elsewhere it says something else, and Linux does not look at it."""
    image = some_files(tmp_path, "A.TXT")
    patch(image, entry_at(image, b"A       TXT") + 20, b"\1\0")
    read = read_tree(image, "fat")
    assert (set(read.files), read.problems) == ({"/A.TXT"}, {})
