"""A backup is made beside whoever writes."""

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.state import replacing
from appliance.state.backup import back_up
from appliance.state.backup_file import BadBackup
from appliance.state.environment import STATE, StateEnvironment, StateError
from appliance.state.events import FILE as EVENTS
from appliance.state.events import events_file
from appliance.state.restore import restore
from appliance.state.store import StateStore
from tests.support.apart import ROOT, environment
from tests.support.owners import as_it_is, give, only_root, somebodys_place
from tests.support.states import TERMS, all_of, found_in, make_backup, make_state


def test_a_backup_has_all_that_must_not_be_lost_and_no_more(tmp_path: Path) -> None:
    """The cache and who holds what are not in it; it is its owner's alone."""
    path = tmp_path / "b"
    manifest = make_backup(path, make_state(tmp_path / "s", "word"))
    assert manifest.names() == {"state.lmdb", "events.lmdb", "identity/ca.key"}
    assert manifest.schemas == {"state.lmdb": STATE.schema, "events.lmdb": events_file(0).schema}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    restore(path, tmp_path / "r", "1")
    assert found_in(tmp_path / "r") == all_of("word")


def test_who_writes_meanwhile_goes_on_and_is_not_torn(tmp_path: Path) -> None:
    """A state that changes all the while is copied as it is at one moment: overrides and audit agree."""
    directory = make_state(tmp_path / "s", "word")
    command = [sys.executable, "-m", "tests.support.kill_writers", "overrides", str(directory)]
    with subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline())]
        for number in range(5):
            make_backup(tmp_path / f"b{number}", directory)
            said.append(int(writer.stdout.readline()))
        writer.kill()
    assert said == list(range(6))  # of which each was said when it was on the disk
    for number in range(5):
        restore(tmp_path / f"b{number}", tmp_path / f"r{number}", "1")
        with closing(StateStore.open(tmp_path / f"r{number}", lambda: 0.0, 100_000)) as restored:
            audited = {entry.digest for entry in restored.audit(100_000)}
            assert {digest for _, digest in restored.overrides()} == audited
            assert len(audited) > number  # what was said before it began is in it


@pytest.mark.parametrize("place", ["none/b", "none/deeper/b", "file/b"])
def test_a_directory_that_is_not_there_is_told(tmp_path: Path, place: str) -> None:
    """By its name, and not by that of a file that nobody has named; it is not made."""
    path, directory = tmp_path / place, make_state(tmp_path / "s", "word")
    (tmp_path / "file").touch()
    with pytest.raises(BadBackup) as raised:
        make_backup(path, directory)
    assert str(raised.value) == f"{path.parent} is no directory: make it first"
    assert {each.name for each in tmp_path.iterdir()} == {"s", "file"}


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    """It stays as it is; with leave it is replaced in one step."""
    path, directory = tmp_path / "b", make_state(tmp_path / "s", "word")
    path.write_text("mine")
    with pytest.raises(BadBackup, match="is there already: give another name, or --force"):
        make_backup(path, directory)
    assert path.read_text() == "mine"
    back_up(directory, path, replace(TERMS, overwrite=True))
    restore(path, tmp_path / "r", "1")
    assert found_in(tmp_path / "r") == all_of("word")


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    """A directory, a link or a device."""
    directory = make_state(tmp_path / "s", "word")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "link", tmp_path / "s", Path("/dev/null")):
        with pytest.raises(BadBackup, match="is no file"):
            back_up(directory, path, replace(TERMS, overwrite=True))
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_without_a_state_is_told(tmp_path: Path) -> None:
    """And no file is left."""
    (tmp_path / "s").mkdir()
    with pytest.raises(StateError, match="is not there yet"):
        make_backup(tmp_path / "b", tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_files_of_others_among_the_identity_are_told(tmp_path: Path) -> None:
    """They could not be brought back; temporary files do not count."""
    directory = make_state(tmp_path / "s", "word")
    (directory / "identity" / ".server.key.part").write_text("x")
    assert "identity/ca.key" in make_backup(tmp_path / "b", directory).names()
    (directory / "identity" / "my key").write_text("x")
    with pytest.raises(BadBackup, match="files of others"):
        make_backup(tmp_path / "c", directory)


def test_a_file_without_end_among_the_identity_is_told(tmp_path: Path) -> None:
    """What is larger than any key is none."""
    directory = make_state(tmp_path / "s", "word")
    (directory / "identity" / "large").write_bytes(bytes(1 << 20))
    with pytest.raises(BadBackup, match="larger than 64 KiB"):
        make_backup(tmp_path / "b", directory)


def test_between_two_states_nothing_is_backed_up(tmp_path: Path) -> None:
    """Where a restore was cut short the directory may hold some of each."""
    directory = make_state(tmp_path / "s", "word")
    (directory / f"{replacing.READY}1").mkdir()
    with pytest.raises(BadBackup, match="start its SVM"):
        make_backup(tmp_path / "b", directory)


def test_a_state_of_an_older_schema_is_backed_up_as_it_is(tmp_path: Path) -> None:
    """A backup before the upgrade is the way back from it; restored, it is upgraded."""
    directory = make_state(tmp_path / "s", "word")
    old = StateEnvironment.open(directory, events_file(1 << 30))
    table = old.table(b"meta")
    with old.changing, old.writing() as txn:
        txn.put(b"schema", (1).to_bytes(4, "little"), db=table)
    old.close()
    assert make_backup(tmp_path / "b", directory).schemas[EVENTS] == 1
    restore(tmp_path / "b", tmp_path / "r", "1")
    again = StateEnvironment.open_to_read(tmp_path / "r", events_file(1 << 30))
    assert again.schema() == events_file(0).schema
    again.close()


@only_root
@pytest.mark.parametrize("name", ["state.lmdb-lock", "events.lmdb-lock", "identity/ca.key"])
def test_root_neither_writes_nor_copies_what_a_link_of_the_svms_user_leads_to(
    tmp_path: Path, name: str
) -> None:
    """LMDB would begin a lock in it; the SVM's own user has no right to it, and so the backup has none."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    before = as_it_is(victim)
    with somebodys_place() as place:
        directory = make_state(place / "state", "word")
        (directory / name).unlink()
        (directory / name).symlink_to(victim)
        give(directory)
        with pytest.raises((StateError, OSError), match="Permission denied"):
            make_backup(tmp_path / "b", directory)
    assert as_it_is(victim) == before
    assert not (tmp_path / "b").exists()
