"""File systems whose bytes were changed at will: a walk ends, and says what it did not read.

The images are small; of each the first bytes, where what leads to everything else stands, are changed. What
was found and mended once stays as an @example.
"""

import io
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.trees.table import TREES
from appliance.disk_reader.volumes import volumes_of
from appliance.disk_reader.walking import Bounds, Found, Problem, Walk
from tests.support.disk_images import btrfs, ext4, fat, ntfs, partitioned, write_tree, xfs

BOUNDS = Bounds(400, 1 << 22, 1 << 24)
PATIENCE_SECONDS = 1.0
WHERE = {
    "ext4": (1024, 16 << 10),
    "xfs": (0, 32 << 10),
    "fat": (0, 16 << 10),
    "ntfs": (0, 4 << 20),
    "btrfs": (64 << 10, 1 << 20),
}

Change = tuple[float, int]
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12)


@cache
def image(kind: str) -> bytes:
    """A small file system."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        write_tree(top / "tree")
        made = top / "image"
        if kind == "ext4":
            ext4(top / "tree", made, mib=8)
        elif kind == "xfs":
            xfs(top / "tree", made)
        elif kind == "btrfs":
            btrfs(top / "tree", made)
        elif kind == "fat":
            fat(top / "tree", made, 16, 24)
        else:
            ntfs([top / "tree" / "one", top / "tree" / "usr" / "holes"], made, 8)
        return made.read_bytes()


class Changed(io.RawIOBase):
    """A disk with bytes changed in a part of it, of which that part alone is copied."""

    def __init__(self, data: bytes, where: tuple[int, int], some: list[Change]) -> None:
        super().__init__()
        self._data, self._begin = data, where[0]
        self._part = bytearray(data[where[0] : sum(where)])
        for place, value in some:
            self._part[int(place * len(self._part))] = value
        self._at = 0

    def tell(self) -> int:
        """Where it is read next."""
        return self._at

    def seek(self, to: int, whence: int = 0) -> int:
        """Go somewhere."""
        self._at = max(0, to + (0, self._at, len(self._data))[whence])
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes."""
        end = len(self._data) if size is None or size < 0 else self._at + size
        data = bytearray(self._data[self._at : end])
        first = max(self._at, self._begin)
        last = min(self._at + len(data), self._begin + len(self._part))
        if first < last:
            data[first - self._at : last - self._at] = self._part[first - self._begin : last - self._begin]
        self._at += len(data)
        return bytes(data)


def changed(data: bytes, where: tuple[int, int], some: list[Change]) -> BinaryIO:
    """It with bytes changed in a part of it."""
    return cast(BinaryIO, Changed(data, where, some))


# Hypothesis watches the collection of garbage, and the alarm may ring just then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", sorted(WHERE))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=changes)
@example(some=[(0.0, 255), (0.001, 255), (0.002, 255), (0.003, 255)])
@example(some=[(0.00145, 0), (0.0016, 255)])
def test_a_walk_over_any_bytes_ends(kind: str, some: list[Change]) -> None:
    """With files and problems, and nothing else."""
    patience, walked = Patience(PATIENCE_SECONDS), list[Found | Problem]()
    with suppress(Exception):  # which `serving` tells: the file system is damaged
        with patience.for_step():
            tree = TREES[kind](changed(image(kind), WHERE[kind], some))
        walked += Walk(tree, BOUNDS, patience)
    for each in walked:
        assert isinstance(each, Found | Problem)
        assert each.path.startswith("/")
        assert "/../" not in each.path + "/"


@cache
def disk() -> bytes:
    """A disk with partitions."""
    with tempfile.TemporaryDirectory() as name:
        part = Path(name, "part")
        part.write_bytes(image("fat"))
        return partitioned([part, part], Path(name, "disk")).read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=changes)
@example(some=[(0.0, 0)])
def test_whatever_the_table_of_partitions_says_volumes_are_told(some: list[Change]) -> None:
    """At least one, be it a sentence."""
    found = volumes_of([changed(disk(), (440, 2000), some)], Patience(PATIENCE_SECONDS))
    assert found
    assert all(each.kind or each.note for each in found)
