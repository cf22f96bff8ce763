"""Tests of where an ordered scan looks."""

from pathlib import Path

from guest_stub.excludes import Excludes
from guest_stub.ordered.place import Place, selection_of


def place(*watched: str, own: tuple[str, ...] = ()) -> Place:
    """These are protected; ISO images are left out."""
    return Place(watched, ("*.iso",), own)


def test_without_paths_everything_that_is_protected_is_walked() -> None:
    """Each file system by itself."""
    selection, refused = selection_of([], place("/", "/home"), 99)
    assert (selection.roots, selection.one_file_system, selection.sparse_limit) == (("/", "/home"), True, 99)
    assert (selection.exclude, refused) == (("*.iso",), [])


def test_a_path_is_walked_with_what_is_protected_below(tmp_path: Path) -> None:
    """Nothing else that is mounted there; a link is followed; what comes twice is walked once."""
    (tmp_path / "link").symlink_to("top")
    (tmp_path / "top" / "in").mkdir(parents=True)
    (tmp_path / "topple").mkdir()
    top = f"{tmp_path}/top"
    names = [f"{tmp_path}/link", top]
    selection, refused = selection_of(names, place("/", f"{top}/in", f"{tmp_path}/topple"), 99)
    assert (selection.roots, refused) == ((top, f"{top}/in"), [])
    selection, _ = selection_of(["/"], place("/", top), 99)
    assert selection.roots == ("/", top)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """And is no reason to scan everything."""
    selection, refused = selection_of([f"{tmp_path}/none"], place("/"), 99)
    assert (selection.roots, refused) == ((), [f"{tmp_path}/none is not there"])


def test_what_is_the_stubs_own_is_left_alone(tmp_path: Path) -> None:
    """Whatever is in its name, and however it is named in the settings."""
    own = tmp_path / "state[1]*"
    own.mkdir()
    (tmp_path / "link").symlink_to(own)
    selection, _ = selection_of([], place("/", own=(f"{tmp_path}/link",)), 99)
    excludes = Excludes(selection.exclude)
    assert excludes.match(str(tmp_path), "state[1]*")
    assert not excludes.match(str(tmp_path), "state1x")


def test_what_is_excluded_is_walked_by_no_path(tmp_path: Path) -> None:
    """Neither named, nor below, nor by a link, nor as a file system of its own; that is said."""
    (tmp_path / "a.iso" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a.iso/in")
    names = [f"{tmp_path}/a.iso", f"{tmp_path}/a.iso/in", f"{tmp_path}/link", f"{tmp_path}/x/../a.iso", "/"]
    selection, refused = selection_of(names, place("/", f"{tmp_path}/a.iso"), 99)
    assert selection.roots == ("/",)
    assert refused == [f"{path} is excluded by the settings of the guest" for path in names[:3]] + [
        f"{names[3]} is not there"
    ]
    selection, _ = selection_of([], place("/", f"{tmp_path}/a.iso"), 99)
    assert selection.roots == ("/",)
