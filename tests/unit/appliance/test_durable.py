"""Files that are whole or not there."""

from pathlib import Path

import pytest

from appliance.durable import sync_directory, write_whole


def test_a_file_is_its_owners_and_takes_the_old_ones_place(tmp_path: Path) -> None:
    """Nothing is left beside it, not even what a killed writer had left."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    (tmp_path / ".file.new").write_bytes(b"what was cut off, and longer than the rest")
    (tmp_path / ".file.new").chmod(0o600)
    write_whole(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_place_of_what_is_written_leads_nowhere(tmp_path: Path) -> None:
    """What it points to stays as it is, and so does the file."""
    (tmp_path / "victim").write_bytes(b"another's")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / ".file.new").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "victim").read_bytes() == b"another's"
    assert (tmp_path / "file").read_bytes() == b"old"


def test_only_a_directory_has_names(tmp_path: Path) -> None:
    """And one that is there."""
    sync_directory(tmp_path)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(OSError, match="directory"):
            sync_directory(path)
