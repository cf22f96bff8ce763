"""A restored state takes the place of the one that is there."""

from pathlib import Path

import pytest

from appliance.state import replacing


def gather(directory: Path, word: str = "new") -> None:
    """What a restore gathers, before its commit."""
    gathered = replacing.begin(directory)
    (gathered / "identity").mkdir()
    (gathered / "identity" / "ca.key").write_text(word)
    for name in replacing.NAMES[1:]:
        (gathered / name).write_text(word)


def words(directory: Path) -> dict[str, str]:
    """The content of each file that a state has."""
    found = {
        name: (directory / name).read_text() for name in replacing.NAMES[1:] if (directory / name).exists()
    }
    return found | {path.name: path.read_text() for path in directory.glob("identity/*")}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a state, a cache, and files of others."""
    for name in (*replacing.NAMES[1:], "cache.lmdb", "exposure.lmdb", "exposure-7.raw", "mine.txt"):
        (tmp_path / name).write_text("old")
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "old.key").write_text("old")
    return tmp_path


def test_what_was_gathered_counts_from_its_commit_on(directory: Path) -> None:
    """The old state lies aside, the cache is gone, and files of others are left alone."""
    gather(directory)
    replacing.commit(directory, "1")
    assert set(words(directory).values()) == {"old"}
    replacing.finish(directory)
    assert words(directory) == dict.fromkeys((*replacing.NAMES[1:], "ca.key"), "new")
    assert words(directory / "before-restore-1") == dict.fromkeys((*replacing.NAMES[1:], "old.key"), "old")
    assert {path.name for path in directory.iterdir()} == {*replacing.NAMES, "before-restore-1", "mine.txt"}


def test_what_was_not_committed_is_forgotten(directory: Path) -> None:
    """The state stays as it is, the cache too."""
    gather(directory)
    before = words(directory)
    replacing.finish(directory)
    assert words(directory) == before
    assert (directory / "cache.lmdb").exists()
    assert not (directory / replacing.UNFINISHED).exists()


def test_a_restore_that_was_cut_short_is_ended_from_where_it_was(directory: Path) -> None:
    """What is in its place already is not moved aside."""
    gather(directory)
    replacing.commit(directory, "1")
    (directory / "before-restore-1").mkdir()
    (directory / "identity").rename(directory / "before-restore-1" / "identity")
    (directory / "restore-ready-1" / "identity").rename(directory / "identity")
    replacing.finish(directory)
    assert set(words(directory).values()) == {"new"}
    assert set(words(directory / "before-restore-1").values()) == {"old"}


def test_where_nothing_was_nothing_is_kept(tmp_path: Path) -> None:
    """A first restore leaves no empty directory."""
    gather(tmp_path)
    replacing.commit(tmp_path, "1")
    replacing.finish(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(replacing.NAMES)
