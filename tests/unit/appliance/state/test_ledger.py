"""The account of what left: durable, complete, and whoever lays a hand on it is found out."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

from appliance.state import ledger as state_ledger
from appliance.state.environment import FILE, MAP_BYTES, StateDamaged, StateEnvironment, StateError
from appliance.state.ledger import LedgerStore

ENTRIES = 7


@contextmanager
def opened(directory: Path) -> Iterator[LedgerStore]:
    """The ledger of a directory."""
    environment = StateEnvironment.open(directory)
    yield LedgerStore(environment)
    environment.close()


def payload(number: int) -> dict[str, Any]:
    """What stands in an entry."""
    return {"kind": "request", "at": 1000.0 + number, "fields": {"digest": f"{number:064x}"}, "guest": "gäst"}


def written(directory: Path) -> None:
    """A ledger with entries, some of them written together."""
    with opened(directory) as store:
        assert store.append([payload(1)]) == 1
        assert store.append([payload(number) for number in range(2, ENTRIES + 1)]) == 2


def key(number: int) -> bytes:
    """The key of an entry."""
    return number.to_bytes(8, "big")


def value(txn: lmdb.Transaction, number: int) -> bytes:
    """The value of an entry that is there."""
    found = txn.get(key(number))
    assert found is not None
    return bytes(found)


def tamper(directory: Path, change: Callable[[lmdb.Transaction, Any], object]) -> None:
    """Change the ledger's table, or what is noted of it, behind its back."""
    with lmdb.open(os.fspath(directory / FILE), subdir=False, max_dbs=16) as env:
        ledger, meta = env.open_db(b"ledger"), env.open_db(b"meta")
        with env.begin(write=True, db=ledger) as txn:
            change(txn, meta)


def test_entries_are_there_after_a_restart(tmp_path: Path) -> None:
    """All of them, in their order, as they were given; and they are what was written."""
    written(tmp_path)
    with opened(tmp_path) as store:
        found = list(store.entries())
        assert [entry.number for entry in found] == list(range(1, ENTRIES + 1))
        assert [entry.payload for entry in found] == [payload(entry.number) for entry in found]
        assert [entry.at for entry in found] == [1000.0 + entry.number for entry in found]
        assert store.append([payload(8)]) == 8
        check = store.verify()
        assert (check.entries, check.problem, len(check.last)) == (8, "", 64)
        assert store.count() == 8


def test_an_empty_ledger_is_in_order(tmp_path: Path) -> None:
    """Appending nothing leaves it so."""
    with opened(tmp_path) as store:
        store.append([])
        assert list(store.entries()) == []
        assert (store.verify().entries, store.verify().problem, store.count()) == (0, "", 0)


def test_a_part_of_it_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a number on, up to a limit, however many are read at once."""
    monkeypatch.setattr(state_ledger, "_AT_ONCE", 2)
    written(tmp_path)
    with opened(tmp_path) as store:
        assert [entry.number for entry in store.entries(first=3)] == [3, 4, 5, 6, 7]
        assert [entry.number for entry in store.entries(first=2, limit=3)] == [2, 3, 4]
        assert [entry.number for entry in store.entries(first=0, limit=1)] == [1]
        assert list(store.entries(first=8)) == list(store.entries(limit=0)) == []


def test_the_newest_can_be_read_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, however many are read at once."""
    monkeypatch.setattr(state_ledger, "_AT_ONCE", 3)
    with opened(tmp_path) as store:
        assert list(store.newest()) == []
    written(tmp_path)
    with opened(tmp_path) as store:
        assert [entry.number for entry in store.newest()] == list(range(ENTRIES, 0, -1))
        assert next(iter(store.newest())).payload == payload(ENTRIES)


def test_the_chain_value_depends_on_all_that_was_written(tmp_path: Path) -> None:
    """So that a value noted elsewhere convicts whoever makes the whole file anew."""
    last = []
    for name, numbers in (("a", [1, 2, 3]), ("b", [1, 2, 3]), ("c", [9, 2, 3])):
        with opened(tmp_path / name) as store:
            store.append([payload(number) for number in numbers])
            last.append(store.verify().last)
    assert last[0] == last[1] != last[2]


def change_text(txn: lmdb.Transaction, _: Any) -> None:
    """Another digest in entry 3."""
    txn.put(key(3), value(txn, 3).replace(b'"at":1003.0', b'"at":1003.5'))


def change_chain(txn: lmdb.Transaction, _: Any) -> None:
    """Another chain value in entry 3."""
    txn.put(key(3), bytes(32) + value(txn, 3)[32:])


def delete(txn: lmdb.Transaction, _: Any) -> None:
    """Entry 3 is gone."""
    txn.delete(key(3))


def delete_first(txn: lmdb.Transaction, _: Any) -> None:
    """Entry 1 is gone."""
    txn.delete(key(1))


def close_up(txn: lmdb.Transaction, _: Any) -> None:
    """Entry 3 is gone, and those after it have moved up."""
    for number in range(3, ENTRIES):
        txn.put(key(number), value(txn, number + 1))
    txn.delete(key(ENTRIES))


def swap(txn: lmdb.Transaction, _: Any) -> None:
    """Entries 3 and 5 have changed places."""
    third, fifth = value(txn, 3), value(txn, 5)
    txn.put(key(3), fifth)
    txn.put(key(5), third)


def put_in(txn: lmdb.Transaction, _: Any) -> None:
    """A new entry 3, and those after it have moved down."""
    for number in range(ENTRIES, 2, -1):
        txn.put(key(number + 1), value(txn, number))
    txn.put(key(3), value(txn, 1))


def add(txn: lmdb.Transaction, _: Any) -> None:
    """An entry 8 that chains, but was not written by the SVM."""
    chain, data = value(txn, ENTRIES)[:32], b"{}"
    txn.put(key(8), state_ledger._chained(chain, 8, data) + data)


def cut(txn: lmdb.Transaction, _: Any) -> None:
    """The two newest are gone."""
    txn.delete(key(6))
    txn.delete(key(7))


def empty(txn: lmdb.Transaction, _: Any) -> None:
    """All are gone."""
    for number in range(1, ENTRIES + 1):
        txn.delete(key(number))


def forge_newest(txn: lmdb.Transaction, _: Any) -> None:
    """Entry 7 is another, which chains."""
    chain, data = value(txn, 6)[:32], b"{}"
    txn.put(key(7), state_ledger._chained(chain, 7, data) + data)


def forget(txn: lmdb.Transaction, meta: Any) -> None:
    """How many there are is gone."""
    txn.delete(b"ledger", db=meta)


def stray(txn: lmdb.Transaction, _: Any) -> None:
    """An entry 1 of another form, before the others."""
    txn.put(b"\0", b"")


TAMPERING: dict[Callable[[lmdb.Transaction, Any], object], int] = {
    change_text: 3,
    change_chain: 3,
    delete: 3,
    delete_first: 1,
    close_up: 3,
    swap: 3,
    put_in: 3,
    add: 8,
    cut: 6,
    empty: 1,
    forge_newest: 7,
    forget: 1,
    stray: 1,
}


@pytest.mark.parametrize("change", TAMPERING, ids=lambda change: str(change.__name__))
def test_a_hand_laid_on_it_is_found(
    tmp_path: Path, change: Callable[[lmdb.Transaction, Any], object]
) -> None:
    """The first entry that is wrong is named, and the chain value of the last that chains is given."""
    written(tmp_path)
    with opened(tmp_path) as store:
        right = [stored[:32].hex() for stored in raw(store)]
    tamper(tmp_path, change)
    with opened(tmp_path) as store:
        check = store.verify()
    number = TAMPERING[change]
    assert check.problem.startswith(f"entry {number} ")
    if change not in (add, forge_newest, forget):  # all of theirs chain
        assert check.last == ([bytes(32).hex(), *right][number - 1])


def raw(store: LedgerStore) -> list[bytes]:
    """The values of all entries."""
    with store._environment.reading() as txn:
        return [bytes(stored) for _, stored in txn.cursor(db=store._ledger_db)]


@pytest.mark.parametrize("change", [add, forget])
def test_nothing_is_appended_to_what_was_tampered_with(
    tmp_path: Path, change: Callable[[lmdb.Transaction, Any], object]
) -> None:
    """It would be built on sand; nothing is overwritten either."""
    written(tmp_path)
    tamper(tmp_path, change)
    with opened(tmp_path) as store:
        before = raw(store)
        with pytest.raises(StateDamaged):
            store.append([payload(8)])
        assert raw(store) == before


def test_after_the_newest_were_cut_a_new_one_does_not_hide_it(tmp_path: Path) -> None:
    """It has the number that follows the last that was written, and the gap is found."""
    written(tmp_path)
    tamper(tmp_path, cut)
    with opened(tmp_path) as store:
        assert store.append([payload(8)]) == 8
        assert store.verify().problem == "entry 6 is missing"


def test_an_entry_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    """What stands before it can be read."""
    written(tmp_path)
    tamper(tmp_path, lambda txn, _: txn.put(key(3), bytes(40)))
    with opened(tmp_path) as store:
        with pytest.raises(StateDamaged, match="entry 3"):
            list(store.entries())
        assert len(list(store.entries(limit=2))) == 2


def test_a_full_ledger_refuses_and_leaves_room_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is dropped for a new entry; an administrator can still block a file."""
    written(tmp_path)
    monkeypatch.setattr(state_ledger, "LEFT_TO_OTHERS", MAP_BYTES)
    with opened(tmp_path) as store:
        with pytest.raises(StateError, match="is full"):
            store.append([payload(8)])
        assert (store.verify().entries, store.verify().problem) == (ENTRIES, "")
        table = store._environment.table(b"overrides")
        with store._environment.writing() as txn:
            assert txn.put(b"key", b"value", db=table)


def test_of_entries_that_go_together_none_or_all_are_there(tmp_path: Path) -> None:
    """One that is no JSON keeps the others out as well."""
    with opened(tmp_path) as store:
        with pytest.raises(ValueError, match="JSON"):
            store.append([payload(1), {"at": float("nan")}])
        assert list(store.entries()) == []
        assert store.append([payload(1)]) == 1


def test_a_closed_ledger_gives_state_errors(tmp_path: Path) -> None:
    """Never success."""
    with opened(tmp_path) as store:
        pass
    with pytest.raises(StateError):
        store.append([payload(1)])


WRITER = """
import sys
from pathlib import Path
from appliance.state.environment import StateEnvironment
from appliance.state.ledger import LedgerStore
store = LedgerStore(StateEnvironment.open(Path(sys.argv[1])))
while True:
    first = store.append([{"kind": "request", "at": 1.0, "x": "x" * 500}] * 3)
    print(first + 2, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill_and_is_read_meanwhile(tmp_path: Path) -> None:
    """A reader beside the writer finds no fault; after kill -9 all is there, groups whole."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, os.fspath(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = 0
        for _ in range(8):
            acknowledged = int([process.stdout.readline() for _ in range(15)][-1])
            reading = StateEnvironment.open_to_read(tmp_path)
            check = LedgerStore(reading).verify()
            reading.close()
            assert check.problem == ""
            assert check.entries >= acknowledged
        process.send_signal(signal.SIGKILL)
        acknowledged = int(["0", *process.stdout.read().split()][-1]) or acknowledged
    with opened(tmp_path) as store:
        check = store.verify()
        assert (check.problem, check.entries % 3) == ("", 0)
        assert check.entries >= acknowledged >= 8 * 15 * 3
        assert store.append([payload(1)]) == check.entries + 1
