"""The file of the state: who opens it, and what he finds. How it stands damage: test_store.py."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest
from lmdb import verify

from appliance.state.environment import (
    FILE,
    STATE,
    StateDamaged,
    StateEnvironment,
    StateError,
    StateFile,
    packed,
    unpacked,
)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[StateEnvironment]:
    """An open state."""
    opened = StateEnvironment.open(tmp_path)
    yield opened
    opened.close()


def read_elsewhere(directory: Path) -> str:
    """What another process reads of the record "key", or why it does not."""
    program = f"""
from pathlib import Path
from appliance.state.environment import StateEnvironment, StateError
try:
    environment = StateEnvironment.open_to_read(Path({os.fspath(directory)!r}))
    table = environment.table(b"mine")
    with environment.reading() as txn:
        print(txn.get(b"key", db=table))
    with environment.writing() as txn:
        print("written")
except StateError as error:
    print(type(error).__name__, error)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    """By all stores that share the file."""
    environment = StateEnvironment.open(tmp_path)
    mine, other = environment.table(b"mine"), environment.table(b"other")
    with environment.changing, environment.writing() as txn:
        txn.put(b"key", b"1", db=mine)
        txn.put(b"key", b"2", db=other)
    environment.close()
    again = StateEnvironment.open(tmp_path)
    tables = [again.table(b"mine"), again.table(b"other")]
    with again.reading() as txn:
        assert [txn.get(b"key", db=table) for table in tables] == [b"1", b"2"]
    again.close()


def test_what_failed_halfway_is_not_there(environment: StateEnvironment) -> None:
    """Whatever the error is, the whole transaction is undone."""
    table = environment.table(b"mine")

    def fail() -> None:
        with environment.writing() as txn:
            txn.put(b"key", b"1", db=table)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with environment.reading() as txn:
        assert txn.get(b"key", db=table) is None


def test_the_file_is_for_its_user_alone(environment: StateEnvironment) -> None:
    """It says who asked about what."""
    assert environment.path.stat().st_mode & 0o077 == 0


def test_another_process_reads_while_this_one_has_it_open(
    environment: StateEnvironment, tmp_path: Path
) -> None:
    """It sees what is committed, and cannot write."""
    table = environment.table(b"mine")
    with environment.writing() as txn:
        txn.put(b"key", b"committed", db=table)
    with environment.changing, environment.writing() as txn:
        txn.put(b"key", b"not yet", db=table)
        read, refused = read_elsewhere(tmp_path).splitlines()
    assert read == "b'committed'"
    assert refused.startswith("StateError")


def test_a_table_that_a_reader_does_not_find_is_a_sentence(
    environment: StateEnvironment, tmp_path: Path
) -> None:
    """As where an older SVM has made the file."""
    assert read_elsewhere(tmp_path).startswith(f"StateError {environment.path} has no mine yet")


def test_a_reader_makes_no_state_where_there_is_none(tmp_path: Path) -> None:
    """It says so, and leaves the directory as it is."""
    with pytest.raises(StateError, match="not there yet"):
        StateEnvironment.open_to_read(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "zeros", "foreign", "newer"])
def test_a_reader_refuses_what_a_writer_refuses(tmp_path: Path, damage: str) -> None:
    """The same checks, and the file stays as it is."""
    environment, path = StateEnvironment.open(tmp_path), tmp_path / FILE
    table, meta = environment.table(b"mine"), environment.table(b"meta")
    with environment.writing() as txn:
        for number in range(2000):
            txn.put(number.to_bytes(8, "big"), bytes(100), db=table)
        if damage == "newer":
            txn.put(b"schema", (99).to_bytes(4, "little"), db=meta)
    environment.close()
    if damage == "cut":
        os.truncate(path, 8192)
    elif damage == "zeros":
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2 // 4096 * 4096)
            file.write(bytes(16384))
    elif damage == "foreign":
        path.unlink()
        with lmdb.open(os.fspath(path), subdir=False, max_dbs=4) as env:
            env.open_db(b"a"), env.open_db(b"b")
    before = path.read_bytes()
    with pytest.raises(StateError) as caught:
        StateEnvironment.open_to_read(tmp_path)
    assert isinstance(caught.value, StateDamaged) == (damage != "newer")
    assert path.read_bytes() == before


def test_a_file_that_grows_while_it_is_checked_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check takes the length first; what was written after that is beyond it."""
    environment = StateEnvironment.open(tmp_path)
    table = environment.table(b"mine")
    with environment.writing() as txn:
        txn.put(b"key", bytes(2 << 20), db=table)
    environment.close()
    whole: Callable[..., list[str]] = verify.verify
    lengths = [1 << 20]

    def check(path: Path, **options: bool) -> list[str]:
        if not lengths:
            return whole(path, **options)
        shorter = tmp_path / "shorter"  # what the check sees of a file whose length it took before it grew
        shorter.write_bytes(path.read_bytes()[: lengths.pop()])
        problems = whole(shorter, **options)
        assert problems
        return problems

    monkeypatch.setattr(verify, "verify", check)
    StateEnvironment.open_to_read(tmp_path).close()
    assert not lengths


def test_a_full_map_refuses_with_a_sentence(tmp_path: Path) -> None:
    """And what is there can still be read."""
    environment = StateEnvironment.open(tmp_path, StateFile(map_bytes=1 << 20))
    table = environment.table(b"mine")

    def fill() -> None:
        with environment.writing() as txn:
            for number in range(100):
                txn.put(number.to_bytes(8, "big"), bytes(65536), db=table)

    with pytest.raises(StateError, match="cannot be written"):
        fill()
    with environment.reading() as txn:
        assert txn.stat(db=table)["entries"] == 0
    environment.close()


def test_a_closed_state_gives_state_errors(tmp_path: Path) -> None:
    """Also to who would open a table of it."""
    environment = StateEnvironment.open(tmp_path)
    environment.close()
    with pytest.raises(StateError), environment.reading():
        pass
    with pytest.raises(StateError):
        environment.table(b"mine")


def test_a_record_that_was_changed_is_found() -> None:
    """Each byte counts."""
    record = packed({"allow": True})
    assert unpacked(record, Path("x")) == {"allow": True}
    for place in range(len(record)):
        changed = bytearray(record)
        changed[place] ^= 1
        with pytest.raises(StateDamaged, match="checksum"):
            unpacked(bytes(changed), Path("x"))


def moved(env: lmdb.Environment, txn: lmdb.Transaction) -> None:
    """An upgrade: what table `mine` has goes to `theirs`."""
    mine, theirs = env.open_db(b"mine", txn=txn), env.open_db(b"theirs", txn=txn)
    for key, value in list(txn.cursor(db=mine)):
        txn.put(bytes(key), bytes(value) + b" upgraded", db=theirs)
        txn.delete(key, db=mine)


def doubled(env: lmdb.Environment, txn: lmdb.Transaction) -> None:
    """The next one, which finds what the one before has made."""
    theirs = env.open_db(b"theirs", txn=txn, create=False)
    for key, value in list(txn.cursor(db=theirs)):
        txn.put(bytes(key), bytes(value) * 2, db=theirs)


def broken(_env: lmdb.Environment, _txn: lmdb.Transaction) -> None:
    """One that fails, as where there is no room."""
    raise lmdb.MapFullError("full")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory with a state of schema 1, as the program of then has made it."""
    environment = StateEnvironment.open(tmp_path, StateFile())
    table = environment.table(b"mine")
    with environment.changing, environment.writing() as txn:
        txn.put(b"key", b"old", db=table)
    environment.close()
    return tmp_path


def value_in(directory: Path, table: bytes, kind: StateFile) -> bytes | None:
    """The value of `key`, read by a program that knows such files."""
    environment = StateEnvironment.open_to_read(directory, kind, as_it_is=True)
    db = environment.table(table)
    with environment.reading() as txn:
        value = bytes(txn.get(b"key", db=db) or b"")
    environment.close()
    return value


def test_a_state_of_an_older_schema_is_upgraded_step_by_step_once(old: Path) -> None:
    """Each step that it lacks, in order; the next start finds nothing to do."""
    for steps, value in (((moved,), b"old upgraded"), ((moved, doubled), b"old upgraded" * 2)):
        kind = StateFile(upgrades=steps)
        for _start in range(2):
            environment = StateEnvironment.open(old, kind)
            assert environment.schema() == 1 + len(steps)
            environment.close()
            assert value_in(old, b"theirs", kind) == value


def test_an_upgrade_that_fails_leaves_the_old_state_whole(old: Path) -> None:
    """The steps before it are undone as well; the older program opens it as before."""
    with pytest.raises(StateError, match=r"full.*see that") as caught:
        StateEnvironment.open(old, StateFile(upgrades=(moved, broken)))
    assert not isinstance(caught.value, StateDamaged)
    environment = StateEnvironment.open(old, StateFile())
    assert environment.schema() == 1
    environment.close()
    assert value_in(old, b"mine", StateFile()) == b"old"


def test_a_state_of_a_newer_schema_is_refused(old: Path) -> None:
    """There is no way back but a backup; the file is not touched."""
    StateEnvironment.open(old, StateFile(upgrades=(moved,))).close()
    before = (old / FILE).read_bytes()
    with pytest.raises(StateError, match="schema 2, this program knows 1: run the newer svm, or restore"):
        StateEnvironment.open(old, StateFile())
    assert (old / FILE).read_bytes() == before


def test_a_reader_of_a_newer_program_does_not_read_an_older_state(old: Path) -> None:
    """Its tables may not be there yet; only who copies it may open it as it is."""
    with pytest.raises(StateError, match="schema 1, this program reads 2: an SVM of this version upgrades"):
        StateEnvironment.open_to_read(old, StateFile(upgrades=(moved,)))
    assert value_in(old, b"mine", StateFile(upgrades=(moved,))) == b"old"


def test_one_writer_at_a_time(environment: StateEnvironment, tmp_path: Path) -> None:
    """Another process is told; when the first has closed it the next may."""
    program = f"""
from pathlib import Path
from appliance.state.environment import StateEnvironment, StateError
try:
    StateEnvironment.open(Path({os.fspath(tmp_path)!r})).close()
    print("opened")
except StateError as error:
    print(error)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def opened_elsewhere() -> str:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    assert opened_elsewhere().startswith(f"another svm uses {tmp_path}")
    environment.close()
    assert opened_elsewhere() == "opened\n"


def test_a_copy_is_what_was_committed_when_it_began(environment: StateEnvironment, tmp_path: Path) -> None:
    """It stands where the descriptor stood, and opens as the file itself."""
    table = environment.table(b"mine")
    with environment.changing, environment.writing() as txn:
        txn.put(b"key", b"1", db=table)
    (tmp_path / "copy").mkdir()
    with (tmp_path / "copy" / FILE).open("wb") as copy:
        environment.copy_to(copy.fileno())
    with environment.changing, environment.writing() as txn:
        txn.put(b"key", b"2", db=table)
    assert value_in(tmp_path / "copy", b"mine", STATE) == b"1"
