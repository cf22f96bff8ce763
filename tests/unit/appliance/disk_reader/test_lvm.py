"""Logical volumes. What LVM wrote of two physical ones is kept as data: making it needs block devices.

tests/data/lvm: the first MiB of two physical volumes of 24 MiB each, as pvcreate, vgcreate and vgcfgrestore
of LVM 2.03 left them; `root` is on the first, `wide` on both, `striped` over two places of the second.
"""

import gzip
import os
from pathlib import Path

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.files import FileStream
from appliance.disk_reader.volume import Volume
from appliance.disk_reader.volumes import volumes_of
from tests.support.disk_images import ext4, read_tree, write_tree

DATA = Path(__file__).parents[3] / "data" / "lvm"
_MIB = 1 << 20


def physical(directory: Path, name: str, *parts: tuple[int, bytes]) -> Path:
    """A physical volume with bytes at places, in MiB behind its first."""
    image = directory / name
    with image.open("wb") as file:
        file.write(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
        for at, data in parts:
            file.seek((1 + at) * _MIB)
            file.write(data)
        file.truncate(24 * _MIB)
    return image


def volumes(*images: Path) -> dict[str, Volume]:
    """What is on some disks, by name."""
    disks = [FileStream(os.open(image, os.O_RDONLY)) for image in images]
    return {each.name: each for each in volumes_of(list(disks), Patience())}  # type: ignore[arg-type]


def test_logical_volumes_are_read_wherever_their_parts_lie(tmp_path: Path) -> None:
    """One on one disk, one on two; what is striped is told."""
    expected = write_tree(tmp_path / "tree")
    root = ext4(tmp_path / "tree", tmp_path / "root", mib=12).read_bytes()
    wide = ext4(tmp_path / "tree", tmp_path / "wide", mib=16).read_bytes()
    first = physical(tmp_path, "pv-a", (0, root), (12, wide[: 8 * _MIB]))
    second = physical(tmp_path, "pv-b", (0, wide[8 * _MIB :]))
    found = volumes(first, second)
    assert set(found) == {f"logical volume vg0/{name}" for name in ("root", "wide", "striped")}
    for name in ("root", "wide"):
        stream = found[f"logical volume vg0/{name}"].stream
        assert stream is not None
        assert read_tree(stream, "ext4").files == expected
    assert found["logical volume vg0/wide"].pieces == (
        (8 * _MIB, 0, 13 * _MIB),
        (8 * _MIB, 1, 1 * _MIB),
    )
    assert found["logical volume vg0/striped"].note == "it is of LVM's kind striped, which is not read"


def test_a_physical_volume_that_is_missing_is_named(tmp_path: Path) -> None:
    """What lies on the others alone is read."""
    write_tree(tmp_path / "tree")
    root = ext4(tmp_path / "tree", tmp_path / "root", mib=12).read_bytes()
    found = volumes(physical(tmp_path, "pv-a", (0, root)))
    assert found["logical volume vg0/root"].kind == "ext4"
    assert "its physical volume pv1 is missing" in found["logical volume vg0/wide"].note


def test_damaged_metadata_is_a_sentence(tmp_path: Path) -> None:
    """And no reason to read nothing else."""
    image = physical(tmp_path, "pv-a")
    with image.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(900_000))
    assert all("damaged" in each.note or "cannot be read" in each.note for each in volumes(image).values())
