"""Tests of globs that leave things out."""

import pytest

from guest_stub.excludes import Excludes


@pytest.mark.parametrize(
    ("glob", "directory", "name", "matches"),
    [
        ("*.iso", "/srv", "a.iso", True),
        ("*.iso", "/srv", "a.iso.txt", False),
        ("cache", "/home/u", "cache", True),
        ("cache/", "/home/u", "cache", True),
        ("cache", "/home/u/cache", "x", False),
        ("/var/log/*", "/var/log", "syslog", True),
        ("/var/log/*", "/var/log/apt", "x", True),
        ("/var/log", "/var", "log", True),
        ("*/node_modules", "/srv/app", "node_modules", True),
        ("/tmp", "", "tmp", True),
        ("[ab]?", "/", "a1", True),
        ("[ab]?", "/", "c1", False),
        ("new\nline*", "/d", "new\nline.txt", True),
        ("\udcff*", "/d", "\udcffx", True),
    ],
)
def test_globs_match_names_or_whole_paths(glob: str, directory: str, name: str, matches: bool) -> None:
    """Without a slash a glob is for the last part of a path, with one for all of it."""
    assert Excludes(["unlikely-name", glob]).match(directory, name) is matches


def test_no_globs_leave_nothing_out() -> None:
    """Without globs nothing matches, and the walk need not ask."""
    assert not Excludes([])
    assert not Excludes([]).match("/a", "b")


@pytest.mark.parametrize(
    ("path", "covered"),
    [("/srv/cache/deep/a", True), ("/srv/cache", True), ("/srv", False), ("/", False), ("", False)],
)
def test_what_is_below_what_is_left_out_is_left_out(path: str, covered: bool) -> None:
    """However deep."""
    assert Excludes(["*/cache"]).covers(path) is covered
