"""Tests of how many files a walk will meet."""

from pathlib import Path

from guest_stub.expecting import expected, name_of
from guest_stub.progress import Expected
from guest_stub.walk import Selection


def test_the_last_walk_tells_exactly(tmp_path: Path) -> None:
    """Whatever it was of."""
    assert expected((str(tmp_path),), 12) == Expected(12, exact=True)


def test_a_whole_file_system_has_so_many_inodes(tmp_path: Path) -> None:
    """A tree in one tells nothing."""
    whole = expected(("/",), 0)
    assert not whole.exact
    assert whole.files >= 0
    assert expected((str(tmp_path),), 0) == Expected(0)
    assert expected(("/", str(tmp_path)), 0) == Expected(0)


def test_another_walk_has_another_name() -> None:
    """By its trees, what it leaves out, whether it crosses mounts, and what is counted."""
    walks = [
        name_of(Selection(("/a",))),
        name_of(Selection(("/b",))),
        name_of(Selection(("/a", "/b"))),
        name_of(Selection(("/a",), exclude=("/b",))),
        name_of(Selection(("/a",), one_file_system=True)),
        name_of(Selection(("/a",)), "files"),
    ]
    assert len(set(walks)) == len(walks)
    assert name_of(Selection(("/a",), sparse_limit=5)) == walks[0]
