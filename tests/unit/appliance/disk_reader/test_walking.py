"""Walks over trees that are made up, and over real ones within bounds."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.trees.tree import Content, Node
from appliance.disk_reader.walking import Found, Problem, Walk
from tests.support.disk_images import PLENTY, ext4, read_tree, write_tree


class Ring:
    """A directory that holds itself, names that are paths, and a file that is shorter than it says."""

    def root(self) -> Node:
        """Its beginning."""
        return Node("", 1, True, None)

    def children(self, _node: Node) -> Iterator[Node | str]:
        """The same everywhere."""
        yield Node("again", 1, True, None)
        yield Node("../../etc/passwd", 2, False, b"x")
        yield Node("..", 3, False, b"y")
        yield Node("short", 4, False, None)
        yield "a part of it is damaged"
        raise RecursionError

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        data = node.thing
        yield Content("", 1, lambda: io.BytesIO(data or b""))


def test_hostile_names_and_rings_stay_where_they_are() -> None:
    """No path leads out, no directory is entered twice, and what fails is told."""
    walked = list(Walk(Ring(), PLENTY, Patience()))
    paths = [each.path for each in walked if isinstance(each, Found)]
    assert paths == ["/..\N{BIG SOLIDUS}..\N{BIG SOLIDUS}etc\N{BIG SOLIDUS}passwd", "/?.."]
    assert [(each.path, each.sentence) for each in walked if isinstance(each, Problem)] == [
        ("/short", "the file cannot be read (1 of its 1 bytes are not there)"),
        ("/", "a part of it is damaged"),
        ("/", "the directory cannot be read to its end (it is nested without an end)"),
    ]


def test_bounds_are_kept_and_told(tmp_path: Path) -> None:
    """The number of files, the size of one, the bytes of all."""
    write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image")
    few = read_tree(image, "ext4", replace(PLENTY, files=5))
    assert len(few.files) == 5
    assert "more than 5 files" in few.problems["/"]
    small = read_tree(image, "ext4", replace(PLENTY, file_bytes=100_000))
    assert set(small.problems) == {"/usr/bin/large", "/usr/holes"}
    little = read_tree(image, "ext4", replace(PLENTY, volume_bytes=10_000))
    assert "the rest is not read" in little.problems["/"]
