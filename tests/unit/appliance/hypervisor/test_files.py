"""Small files of the host agent's state."""

from pathlib import Path

import pytest

from appliance.hypervisor.files import StateUnusable, read_bounded, remove_durably, write_durably


def test_a_file_is_written_whole_for_root_alone_and_removed(tmp_path: Path) -> None:
    """Its directory is made; what is not there is None."""
    path = tmp_path / "new" / "file"
    assert read_bounded(path, 10) is None
    write_durably(path, "one")
    write_durably(path, "two")
    assert read_bounded(path, 3) == "two"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    remove_durably(path)
    remove_durably(path)
    assert not path.exists()


def test_what_svm_host_has_not_written_is_a_sentence(tmp_path: Path) -> None:
    """What is too long, no text, or a directory."""
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * 5)
    with pytest.raises(StateUnusable, match="longer than 4 bytes"):
        read_bounded(path, 4)
    with pytest.raises(StateUnusable, match="is no text"):
        read_bounded(path, 5)
    with pytest.raises(StateUnusable, match="Is a directory"):
        read_bounded(tmp_path, 5)
    with pytest.raises(StateUnusable, match="File exists"):
        write_durably(path / "below", "x")
    with pytest.raises(StateUnusable, match="Is a directory"):
        remove_durably(tmp_path)
