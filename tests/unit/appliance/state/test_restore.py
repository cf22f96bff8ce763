"""A backup is brought back, whole or not at all."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.state import replacing
from appliance.state.backup_file import BadBackup, Writer
from appliance.state.environment import FILE, StateEnvironment, StateError
from appliance.state.restore import restore
from tests.support.apart import ROOT, environment
from tests.support.owners import SOMEBODY, as_it_is, give, only_root, owners, somebodys_place
from tests.support.states import Found, all_of, found_in, make_backup, make_state


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of a state with the word "new"."""
    make_backup(tmp_path / "backup", make_state(tmp_path / "source", "new"))
    return tmp_path / "backup"


def forged(path: Path, **parts: bytes) -> Path:
    """A backup whose sums are right, and whose parts are what a test wants."""
    with path.open("w+b") as file:
        writer = Writer(file)
        for name, data in parts.items():
            writer.add_bytes(f"{name}.lmdb", data)
        writer.end(5.0, "1", {})
    return path


def test_a_state_that_is_there_is_set_aside_and_said(tmp_path: Path, backup: Path) -> None:
    """Only when that is asked for; it lies aside whole, and the cache is gone."""
    directory = make_state(tmp_path / "state", "old")
    with pytest.raises(StateError, match=r"has a state already.*--force"):
        restore(backup, directory, "1")
    assert found_in(directory) == all_of("old")
    done = restore(backup, directory, "1", overwrite=True)
    assert done.kept == directory / "before-restore-1"
    assert (found_in(directory), found_in(done.kept)) == (all_of("new"), all_of("old"))
    assert not list(directory.glob("cache*")) + list(directory.glob("exposure*"))


def test_an_identity_alone_is_a_state(tmp_path: Path, backup: Path) -> None:
    """Its key is not overwritten by a restore into what looks new."""
    (tmp_path / "state" / "identity").mkdir(parents=True)
    with pytest.raises(StateError, match="has a state already"):
        restore(backup, tmp_path / "state", "1")


def test_nothing_is_kept_aside_of_nothing(tmp_path: Path, backup: Path) -> None:
    """The directory is made, and is its owner's alone."""
    assert restore(backup, tmp_path / "state", "1").kept is None
    assert found_in(tmp_path / "state") == all_of("new")
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


@only_root
def test_all_belongs_to_whom_the_directory_belongs(backup: Path) -> None:
    """Root restores, the SVM's user serves; the backup is root's alone."""
    with somebodys_place() as place:
        give(make_state(place / "state", "old"))
        restore(backup, place / "state", "1", overwrite=True)
        assert owners(place) == {(SOMEBODY, SOMEBODY)}
        assert found_in(place / "state") == all_of("new")


@only_root
def test_a_link_that_the_svms_user_puts_in_the_way_leads_root_nowhere(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it names keeps its owner and its mode, whether or not the restore comes to its end."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    before = as_it_is(victim)

    def begin(directory: Path) -> Path:
        gathered = begun(directory)
        (gathered / "link").symlink_to(victim)
        return gathered

    begun = replacing.begin
    monkeypatch.setattr(replacing, "begin", begin)
    with somebodys_place() as place:
        with suppress(OSError):
            restore(backup, place / "state", "1")
        assert as_it_is(victim) == before


def test_where_somebody_has_the_state_open_it_is_refused(tmp_path: Path, backup: Path) -> None:
    """An SVM that runs holds its lock."""
    environment = StateEnvironment.open(tmp_path / "state")
    with pytest.raises(StateError, match="another svm uses"):
        restore(backup, tmp_path / "state", "1", overwrite=True)
    environment.close()


def test_a_damaged_backup_touches_nothing(tmp_path: Path, backup: Path) -> None:
    """Not even the directory is made."""
    data = bytearray(backup.read_bytes())
    data[len(data) // 2] ^= 1
    backup.write_bytes(data)
    with pytest.raises(BadBackup, match="is damaged"):
        restore(backup, tmp_path / "state", "1")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("damage", ["zeros", "text", "short", "records", "ledger"])
def test_a_hostile_backup_with_the_right_sums_touches_nothing(tmp_path: Path, damage: str) -> None:
    """What is in it is opened and read before it takes the place of anything."""
    source, directory = make_state(tmp_path / "source", "new"), make_state(tmp_path / "state", "old")
    if damage in {"records", "ledger"}:
        opened = StateEnvironment.open(source)
        table = opened.table(b"overrides" if damage == "records" else b"ledger")
        with opened.changing, opened.writing() as txn:
            txn.put((1).to_bytes(8, "big"), b"x" * 100, db=table)
        opened.close()
    state = (source / FILE).read_bytes()
    made = {"zeros": state[:8192] + bytes(len(state) - 8192), "text": b"state" * 5000, "short": state[:8192]}
    path = forged(tmp_path / "b", state=made.get(damage, state), events=(source / "events.lmdb").read_bytes())
    with pytest.raises(BadBackup, match=r"is damaged .*: use another backup"):
        restore(path, directory, "1", overwrite=True)
    assert found_in(directory) == all_of("old")
    assert not list(directory.glob("*restore*"))


def test_a_backup_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """Before anything is touched."""
    source = make_state(tmp_path / "source", "new")
    newer = StateEnvironment.open(source)
    table = newer.table(b"meta")
    with newer.changing, newer.writing() as txn:
        txn.put(b"schema", (99).to_bytes(4, "little"), db=table)
    newer.close()
    parts = {"state": (source / FILE).read_bytes(), "events": (source / "events.lmdb").read_bytes()}
    with pytest.raises(StateError, match=r"schema 99.*run the newer svm"):
        restore(forged(tmp_path / "b", **parts), tmp_path / "state", "1")
    assert not (tmp_path / "state" / FILE).exists()


def test_a_pipe_is_no_backup(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadBackup, match="is no file"):
        restore(tmp_path / "pipe", tmp_path / "state", "1")


def test_killed_at_any_step_it_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    """Whole, in all of its parts; from the commit on it is the new one, whoever opens it next."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.kill_restore", str(tmp_path)],
        env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    ended = [(killed, Found(*found)) for killed, found in json.loads(ran.stdout)]
    sides = [
        "old" if found == all_of("old") else "new"
        for _, found in ended
        if found in (all_of("old"), all_of("new"))
    ]
    assert len(sides) == len(ended), ended
    assert sides == sorted(sides, reverse=True)
    assert min(sides.count("old"), sides.count("new")) > 10
    assert [killed for killed, _ in ended] == [True] * (len(ended) - 1) + [False]
