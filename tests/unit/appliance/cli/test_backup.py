"""svm backup and svm restore."""

from pathlib import Path

import pytest

from tests.support.commands import svm
from tests.support.full_disk import full_disk
from tests.support.states import all_of, found_in, make_state


def test_a_backup_is_made_and_brought_back(tmp_path: Path) -> None:
    """Each says what it did, for people and for programs."""
    directory, path = make_state(tmp_path / "state", "word"), tmp_path / "b"
    made = svm("backup", path, "--dir", directory)
    assert (made.code, made.err) == (0, "")
    assert "2030-03-17 17:46:40 UTC" in made.out
    assert "identity     1 files" in made.out
    again = svm("backup", path, "--dir", directory, "--force", "--json").json
    assert [part["name"] for part in again["parts"]] == ["state.lmdb", "events.lmdb", "identity/ca.key"]
    back = svm("restore", path, "--state-dir", tmp_path / "other")
    assert back.code == 0
    assert "the old state" not in back.out
    assert found_in(tmp_path / "other") == all_of("word")
    over = svm("restore", path, "--dir", directory, "--force", "--json").json
    assert found_in(Path(over["kept"])) == all_of("word")


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    """One line, exit code 2, for both."""
    directory, path = make_state(tmp_path / "state", "word"), tmp_path / "b"
    assert svm("backup", path, "--dir", directory).code == 0
    for command in ("backup", "restore"):
        ran = svm(command, path, "--dir", directory)
        assert (ran.code, ran.out) == (2, "")
        assert "--force" in ran.err


def test_the_directory_comes_from_the_settings(tmp_path: Path) -> None:
    """As for the SVM."""
    directory = make_state(tmp_path / "state", "word")
    config = tmp_path / "svm.toml"
    config.write_text(f'[server]\nstate_dir = "{directory}"\n')
    assert svm("backup", tmp_path / "b", "--config", config).code == 0
    assert svm("restore", tmp_path / "b", environ={"KVMLA_STATE_DIR": str(tmp_path / "r")}).code == 0
    assert found_in(tmp_path / "r") == all_of("word")


def test_a_file_that_is_not_there_or_is_no_backup_is_a_sentence(tmp_path: Path) -> None:
    """Nothing is made of it."""
    (tmp_path / "b").write_text("hello")
    for name, why in (("none", "No such file"), ("b", "is no backup of an SVM")):
        ran = svm("restore", tmp_path / name, "--dir", tmp_path / "state")
        assert ran.code == 2
        assert why in ran.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("room", [100, 16_384, 32_768])
def test_a_backup_for_which_there_is_no_room_names_its_file_and_a_way_out(tmp_path: Path, room: int) -> None:
    """And nothing of it is left."""
    directory = make_state(tmp_path / "state", "word")
    with full_disk(room):
        ran = svm("backup", tmp_path / "b", "--dir", directory)
    assert ran.code == 2
    assert ran.err.startswith(f"svm: {tmp_path / 'b'} cannot be written (File too large)")
    assert "free room" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_restore_for_which_there_is_no_room_names_its_directory_and_a_way_out(tmp_path: Path) -> None:
    """And nothing of it is left but the lock."""
    assert svm("backup", tmp_path / "b", "--dir", make_state(tmp_path / "state", "word")).code == 0
    with full_disk(20_000):
        ran = svm("restore", tmp_path / "b", "--dir", tmp_path / "other")
    assert ran.code == 2
    assert ran.err.startswith(f"svm: {tmp_path / 'other'} cannot be written (File too large): free room")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["state.lock"]
