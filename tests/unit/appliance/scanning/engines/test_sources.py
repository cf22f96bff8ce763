"""Tests of appliance/scanning/engines/sources.py."""

import os
from pathlib import Path

import pytest

from appliance.scanning.engines import sources
from appliance.scanning.engines.sources import MAX_PROBLEMS, Problems, files_below, open_source, shown, unread


def rules(name: str) -> bool:
    """Whether a file is wanted here."""
    return name.endswith(".yar")


def test_files_are_found_at_every_depth_in_order(tmp_path: Path) -> None:
    """Files of the wanted names are found below a directory; hidden ones and others are left out."""
    for name in ("b.yar", "a/z.yar", "a/b/c.yar", "a/README.md", ".git/x.yar", ".hidden.yar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, troubles = files_below("yara", tmp_path, rules)
    assert [str(path.relative_to(tmp_path)) for path in found] == ["b.yar", "a/z.yar", "a/b/c.yar"]
    assert troubles == []


def test_a_loop_of_links_is_not_followed(tmp_path: Path) -> None:
    """A directory that links to its parent is not walked for ever; a linked file is read."""
    (tmp_path / "a.yar").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "b.yar").symlink_to(tmp_path / "a.yar")
    assert [path.name for path in files_below("yara", tmp_path, rules)[0]] == ["a.yar", "b.yar"]


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    """A path with a typo is a problem of its own, not silence."""
    found, (trouble,) = files_below("yara", tmp_path / "nowhere", rules)
    assert found == []
    assert trouble.problems == (f"{tmp_path}/nowhere: No such file or directory",)


def test_too_many_files_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory given by mistake does not make a build endless."""
    monkeypatch.setattr(sources, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.yar").touch()
    found, (trouble,) = files_below("yara", tmp_path, rules)
    assert len(found) == 3
    assert "more than 3 files" in trouble.problems[0]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A named pipe does not hold a build up, and a file over the limit is not read."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(OSError, match="not a regular file"):
        open_source(tmp_path / "pipe", 10)
    with pytest.raises(OSError, match="over 10 bytes, split it"):
        open_source(tmp_path / "large", 10)
    with open_source(tmp_path / "large", 11) as file:
        assert file.read() == bytes(11)


def test_problems_are_bounded_and_printable() -> None:
    """A file of nothing but bad lines gives a hundred problems and the number of the rest."""
    problems = Problems()
    for number in range(MAX_PROBLEMS + 7):
        problems.add(f"a.yar:{number}", "bad\x1b[2J" + "x" * 1000)
    said = problems.all()
    assert len(said) == MAX_PROBLEMS + 1
    assert said[-1] == "and 7 more"
    assert said[0].startswith("a.yar:0: bad\\x1b[2Jxx")
    assert len(said[0]) < 500


def test_a_path_of_any_bytes_can_be_shown() -> None:
    """The name of a file need not be UTF-8."""
    path = Path(os.fsdecode(b"/rules/caf\xe9\n.yar"))
    assert shown(path) == "/rules/caf\\xe9\\n.yar"
    assert unread("yara", path, "no").problems == ("/rules/caf\\xe9\\n.yar: no",)
