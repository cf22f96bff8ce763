"""Tables of partitions, as a guest's Linux reads them."""

import io
import struct
from pathlib import Path

from appliance.disk_reader.mbr import entries
from tests.support.disk_images import empty, tool


def table(*parts: tuple[int, int, int, int], begin: bytes = b"") -> bytes:
    """A sector. parts: flags, kind, begin and length in sectors."""
    packed = b"".join(struct.pack("<B3xB3xII", *part) for part in parts)
    return begin.ljust(446, b"\0") + packed.ljust(64, b"\0") + b"\x55\xaa"


def test_a_partition_of_no_type_is_one() -> None:
    """Linux asks for its size alone; without one it is none."""
    disk = io.BytesIO(table((0x80, 0x83, 8, 8), (0, 0, 16, 8), (0, 0x83, 99, 0)))
    assert list(entries(disk)) == [(1, 0x83, 4096, 4096), (2, 0, 8192, 4096)]
    assert list(entries(disk, 4096))[1] == (2, 0, 65536, 32768)


def test_what_is_no_table_has_no_partitions() -> None:
    """Where a flag is none, or the mark is missing: a file system begins with code and words there."""
    assert list(entries(io.BytesIO(table((0, 0x83, 8, 8), (7, 0x83, 8, 8))))) == []
    assert list(entries(io.BytesIO(table((0, 0x83, 8, 8))[:-2] + b"xx"))) == []
    assert list(entries(io.BytesIO(b""))) == []


def test_logical_partitions_are_found_like_those_of_parted(tmp_path: Path) -> None:
    """Each link of the chain has one."""
    disk = empty(tmp_path / "disk", 64)
    parts = ("primary 1MiB 8MiB", "extended 8MiB 60MiB", "logical 9MiB 20MiB", "logical 21MiB 30MiB")
    words = [word for part in parts for word in ("mkpart", *part.split())]
    tool("parted", "-s", disk, "mklabel", "msdos", *words)
    with disk.open("rb") as file:
        found = [(number, at >> 20, length >> 20) for number, _, at, length in entries(file)]
    assert found == [(1, 1, 7), (5, 9, 11), (6, 21, 9)]


def test_a_chain_that_runs_in_a_ring_ends() -> None:
    """What was found until then counts."""
    disk = table((0, 0x05, 1, 8)) + table((0, 0x83, 1, 1), (0, 0x05, 0, 8))
    assert list(entries(io.BytesIO(disk))) == [(5, 0x83, 1024, 512)]
