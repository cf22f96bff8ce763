"""Images made by qemu-img, read as disks."""

import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from appliance.disk_reader.images import NoImage, open_disk
from tests.support.disk_images import converted, empty, overlay, tool


@contextmanager
def disk_of(*layers: tuple[str, Path], extent: tuple[str, int, int] = ("sparse", 0, 0)) -> Iterator[BinaryIO]:
    """A disk of layers, the lowest first, each with its format. extent: of those that are a vmdk."""
    fds = [os.open(path, os.O_RDONLY) for _, path in layers]
    told: list[dict[str, Any]] = [
        {"format": kind, "fds": [fd], "extents": [extent]} for (kind, _), fd in zip(layers, fds, strict=True)
    ]
    try:
        yield open_disk(told)
    finally:
        for fd in fds:
            os.close(fd)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw disk with something on it, and holes."""
    image = empty(tmp_path / "disk.raw", 4)
    with image.open("r+b") as file:
        file.write(random.Random(1).randbytes(300_001))
        file.seek(3_000_000)
        file.write(b"end" * 1000)
    return image


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.qcow2", ()),
        ("a.qcow2", ("-c",)),
        ("a.qcow2", ("-o", "cluster_size=4096,compat=0.10")),
        ("a.vmdk", ()),
        ("a.vmdk", ("-o", "subformat=streamOptimized")),
    ],
)
def test_a_disk_reads_alike_in_every_format(
    tmp_path: Path, raw: Path, name: str, options: tuple[str, ...]
) -> None:
    """Compressed or not."""
    image = converted(raw, tmp_path / name, *options)
    with disk_of((image.suffix[1:], image)) as disk:
        assert disk.read() == raw.read_bytes()


def test_what_is_written_on_top_covers_what_lies_under_it(tmp_path: Path, raw: Path) -> None:
    """Through two layers, of which the upper is larger: behind the lower one's end there are zeros."""
    middle = overlay(raw, tmp_path / "middle.qcow2", "raw")
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 0x41 65536 4096", middle)
    top = overlay(middle, tmp_path / "top.qcow2", "qcow2")
    tool("qemu-img", "resize", "-q", top, "6M")
    expected = bytearray(raw.read_bytes().ljust(6 << 20, b"\0"))
    expected[65536 : 65536 + 4096] = b"A" * 4096
    with disk_of(("raw", raw), ("qcow2", middle), ("qcow2", top)) as disk:
        assert disk.read() == expected


def test_what_a_guest_wrote_into_a_raw_disk_is_not_taken_for_an_image(tmp_path: Path, raw: Path) -> None:
    """The host says what format the lower layer is of."""
    inner = converted(raw, tmp_path / "inner.qcow2")
    top = overlay(inner, tmp_path / "top.qcow2", "raw")
    with disk_of(("raw", inner), ("qcow2", top)) as disk:
        assert disk.read(4) == b"QFI\xfb"


def test_a_missing_layer_is_a_sentence(tmp_path: Path, raw: Path) -> None:
    """And so is an unknown format."""
    top = overlay(raw, tmp_path / "top.qcow2", "raw")
    with pytest.raises(NoImage, match="the file under it is not given"), disk_of(("qcow2", top)):
        pass
    with pytest.raises(NoImage, match="is not known"), disk_of(("vhd", raw)):
        pass
    parts = converted(raw, tmp_path / "parts.qcow2", "-o", "extended_l2=on,cluster_size=131072")
    with pytest.raises(NoImage, match="extended_l2"), disk_of(("qcow2", parts)):
        pass


def test_a_vmdk_is_no_larger_than_its_file_can_have(tmp_path: Path) -> None:
    """What is read of a volume is bounded by how large it says that it is."""
    image = converted(empty(tmp_path / "disk.raw", 4), tmp_path / "a.vmdk")
    with image.open("r+b") as file:
        file.seek(12)  # capacity, and sectors of a grain: so that its directory has one entry
        file.write(struct.pack("<QQ", 999_999_999_999_999, 1 << 41))
    with pytest.raises(NoImage, match="999,999,999,999,999 sectors cannot lie in"), disk_of(("vmdk", image)):
        pass


@pytest.mark.parametrize(("sectors", "start"), [(999_999_999_999_999, 0), (8, 1), (1, 999_999_999_999_999)])
def test_a_flat_extent_lies_in_its_file(tmp_path: Path, sectors: int, start: int) -> None:
    """One sector beyond is one that was cut off, or never was."""
    flat = tmp_path / "a-flat.vmdk"
    flat.write_bytes(bytes(8 * 512))
    said = "an extent has .* and its file 4,096 bytes"
    with pytest.raises(NoImage, match=said), disk_of(("vmdk", flat), extent=("flat", sectors, start)):
        pass
    with disk_of(("vmdk", flat), extent=("flat", 8, 0)) as disk:
        assert disk.seek(0, os.SEEK_END) == 8 * 512


def test_a_large_vmdk_with_nothing_in_it_is_read(tmp_path: Path) -> None:
    """Its file is small by right."""
    image = tmp_path / "a.vmdk"
    tool("qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized", image, "1T")
    with disk_of(("vmdk", image)) as disk:
        assert disk.seek(0, os.SEEK_END) == 1 << 40
