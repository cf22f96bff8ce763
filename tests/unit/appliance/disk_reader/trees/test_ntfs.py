"""NTFS, made by mkntfs."""

import hashlib
import re
import struct
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.disk_reader.trees.ntfs import NtfsTree
from tests.support.disk_images import empty, ntfs, patch, read_tree, tool, within_ntfs, write_tree

_REPARSE = 0x400  # of the attributes of a file, as a directory repeats them
_TREE = """
for name in ("dir/evil", "dir/deep/worse", "plain"):
    (top / name).parent.mkdir(exist_ok=True, parents=True)
    (top / name).write_bytes(name.encode() * 1000)
"""
_TAG = """
def tag(name, number):
    data = number.to_bytes(4, "little") + bytes([8, 0, 0, 0]) + bytes(8)
    os.setxattr(top / name, "system.ntfs_reparse_data", data)
"""


def digests(*names: str) -> dict[str, bytes]:
    """What files of `_TREE` are found as."""
    return {f"/{name}": hashlib.sha256(name.encode() * 1000).digest() for name in names}


ALL = digests("dir/evil", "dir/deep/worse", "plain")


def part(flags: int, resident: bool = False) -> SimpleNamespace:
    """One of several attributes that hold a stream together, as the library tells it."""
    return SimpleNamespace(header=SimpleNamespace(flags=flags, resident=resident))


def made(image: Path, code: str = "") -> Path:
    """An NTFS with some directories, and what code does to it."""
    tool("mkntfs", "-q", "-F", empty(image, 8))
    return within_ntfs(image, _TREE + _TAG + code)


def mft_at(data: bytes) -> int:
    """Where its records begin."""
    sector, clusters = struct.unpack_from("<HB", data, 11)
    return int(struct.unpack_from("<Q", data, 48)[0]) * int(sector * clusters)


def names_in(data: bytes, name: str) -> list[int]:
    """Where the name of a file stands, in its record and in its directory: its length, kind and letters."""
    sought = re.escape(bytes([len(name)])) + rb"[\0-\3]" + re.escape(name.encode("utf-16-le"))
    return [found.start() for found in re.finditer(sought, data, re.DOTALL)]


def test_every_file_and_every_stream_beside_it_is_found(tmp_path: Path) -> None:
    """Small ones lie in their record."""
    write_tree(tmp_path / "tree")
    files = [tmp_path / "tree" / name for name in ("one", "etc/block", "usr/bin/large", "usr/holes")]
    read = read_tree(ntfs(files, tmp_path / "image"), "ntfs")
    expected = {f"/{file.name}": hashlib.sha256(file.read_bytes()).digest() for file in files}
    assert read.files == {**expected, "/one:beside": expected["/holes"]}
    assert read.problems == {}


def test_what_a_directory_repeats_of_a_file_hides_nothing(tmp_path: Path) -> None:
    """A directory is entered that is called a reparse point in the one above it; so Windows and Linux do."""
    image = made(tmp_path / "image")
    for flags in (0x10000000 | _REPARSE, 0, 0x20 | _REPARSE):
        for at in names_in(image.read_bytes(), "dir"):
            patch(image, at - 8, struct.pack("<I", flags))
        assert read_tree(image, "ntfs").files == ALL


def test_a_short_name_alone_is_a_name(tmp_path: Path) -> None:
    """Where a file has another too, it is found under that."""
    image = made(tmp_path / "image")
    for name in ("evil", "dir"):
        for at in names_in(image.read_bytes(), name):
            patch(image, at + 1, b"\2")
    assert read_tree(image, "ntfs").files == ALL


def test_files_of_a_cloud_are_looked_at_where_they_are_here(tmp_path: Path) -> None:
    """Directories that one has marked are entered; what is not on the disk is told."""
    code = """
(top / "away").write_bytes(b"")
os.truncate(top / "away", 1 << 20)
for name in ("dir/evil", "away", "dir/deep", "dir"):
    tag(name, 0x9000601A)
"""
    read = read_tree(made(tmp_path / "image", code), "ntfs")
    assert read.files == ALL
    assert set(read.problems) == {"/away"}
    assert "lies elsewhere (reparse tag 0x9000601a): not looked at" in read.problems["/away"]


def test_what_the_system_has_compressed_is_told(tmp_path: Path) -> None:
    """Its main stream is zeros, of which no digest says anything. What else is beside it is looked at."""
    code = """
os.truncate(top / "plain", 0)
os.truncate(top / "plain", 5000)
(top / "plain:WofCompressedData").write_bytes(b"packed")
(top / "plain:other").write_bytes(b"plain" * 1000)
tag("plain", 0x80000017)
"""
    read = read_tree(made(tmp_path / "image", code), "ntfs")
    assert read.files == digests("dir/evil", "dir/deep/worse") | {"/plain:other": ALL["/plain"]}
    assert read.problems == {
        "/plain": "the file cannot be read (compressed by the system (WOF): not looked at)"
    }


def test_streams_beside_directories_are_files(tmp_path: Path) -> None:
    """Beside the topmost, and beside a file of the file system's own, too."""
    code = """
for name in ("dir:evil", "dir/deep:evil", ":evil", "$AttrDef:evil"):
    Path(f"{top}/{name}").write_bytes(b"plain" * 1000)
"""
    image = made(tmp_path / "image", code)
    names = ("/dir:evil", "/dir/deep:evil", "/?.:evil", "/$AttrDef:evil")
    assert read_tree(image, "ntfs").files == ALL | dict.fromkeys(names, ALL["/plain"])


def test_a_number_that_the_file_system_keeps_for_itself_hides_nothing(tmp_path: Path) -> None:
    """Its own files are known by their names too: the rest are a guest's."""
    for number in (12, 20, 23):
        image = made(tmp_path / f"image-{number}")
        data = image.read_bytes()
        (at,) = (at for at in names_in(data, "plain") if struct.unpack_from("<HH", data, at - 72) == (96, 76))
        record = mft_at(data) + struct.unpack_from("<I", data, at - 80)[0] * 1024
        patch(image, mft_at(data) + number * 1024, data[record : record + 1024])
        patch(image, at - 80, struct.pack("<I", number))
        patch(image, record, b"BAAD")
        assert read_tree(image, "ntfs").files == ALL


def test_a_beginning_of_an_index_that_lies_elsewhere_is_told(tmp_path: Path) -> None:
    """And an entry that is none."""
    image = made(tmp_path / "image")
    data = image.read_bytes()
    root = struct.pack("<IIII", 0x30, 1, 4096, 1)
    for found in re.finditer(re.escape(root), data):
        patch(image, found.end(), struct.pack("<I", 24))
    assert "the beginning of its index is damaged" in read_tree(image, "ntfs").problems["/dir/deep"]
    image.write_bytes(data)
    for found in re.finditer(re.escape(root), data):
        patch(image, found.start(), bytes(4))
    assert "an entry of it is damaged" in read_tree(image, "ntfs").problems["/"]


@pytest.mark.parametrize("second", [part(1), part(0, resident=True)], ids=["compressed", "resident"])
def test_a_file_whose_parts_differ_has_no_place_by_which_it_is_known(second: SimpleNamespace) -> None:
    """Else what was read unpacked would count for the places as they are; no tool makes such a record."""
    for parts, is_known in (([part(0)], True), ([part(0), part(0)], True), ([part(0), second], False)):
        record = SimpleNamespace(
            attributes=SimpleNamespace(find=lambda _name, _kind, parts=parts: parts),
            size=lambda _name: 8192,
            dataruns=lambda _name: [(4, 2)],
            open=BytesIO,
        )
        tree = NtfsTree.__new__(NtfsTree)
        tree._cluster = 4096
        assert (tree._stream(record, "", []).runs is not None) == is_known
