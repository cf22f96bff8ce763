"""What must not be lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import lmdb
import pytest

from appliance.domain.override import Override
from appliance.domain.tenants import Realm
from appliance.state import audit as state_audit
from appliance.state import store as state_store
from appliance.state.environment import packed
from appliance.state.store import FILE, StateDamaged, StateError, StateStore
from tests.support.held_state import nobody_can_write

DIGEST = b"d" * 32
ACME, OTHER = Realm(17, "acme"), Realm(18, "other")
BLOCK = Override(False, "ticket 4711", "uid-0.pid-1", 1000)


@contextmanager
def opened(directory: Path, now: float = 1000.0, audit_entries: int = 100_000) -> Iterator[StateStore]:
    """A state that is closed again."""
    store = StateStore.open(directory, lambda: now, audit_entries)
    yield store
    store.close()


def test_an_override_is_there_after_a_restart(tmp_path: Path) -> None:
    """With its reason, author and end."""
    with opened(tmp_path) as store:
        store.set_override(DIGEST, BLOCK, "uid-0")
    with opened(tmp_path) as store:
        assert store.overrides() == {(0, DIGEST): BLOCK}


def test_an_override_that_has_ended_is_not_listed(tmp_path: Path) -> None:
    """Its audit stays."""
    with opened(tmp_path) as store:
        store.set_override(DIGEST, replace(BLOCK, expires_at=2000), "uid-0")
        assert list(store.overrides()) == [(0, DIGEST)]
    with opened(tmp_path, now=2000.0) as store:
        assert store.overrides() == {}
        assert len(list(store.audit(10))) == 1


def test_every_change_is_audited_the_newest_first(tmp_path: Path) -> None:
    """Who, what, why; also when there was nothing to clear."""
    with opened(tmp_path) as store:
        store.set_override(DIGEST, BLOCK, "uid-0")
        store.set_override(DIGEST, replace(BLOCK, allow=True), "uid-1")
        assert store.clear_override(DIGEST, "over", "uid-2")
        assert not store.clear_override(DIGEST, "again", "uid-3")
        entries = list(store.audit(10))
        assert [(entry.action, entry.actor) for entry in entries] == [
            ("clear", "uid-3"),
            ("clear", "uid-2"),
            ("allow", "uid-1"),
            ("block", "uid-0"),
        ]
        assert {entry.digest for entry in entries} == {DIGEST}
        assert list(store.audit(1)) == entries[:1]


def test_the_number_of_overrides_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over it a new one is refused with what to do, an old one can be changed, ended ones make room."""
    monkeypatch.setattr(state_store, "MAX_OVERRIDES", 2)
    with opened(tmp_path) as store:
        store.set_override(b"1" * 32, BLOCK, "me")
        store.set_override(b"2" * 32, replace(BLOCK, expires_at=1500), "me")
        with pytest.raises(StateError, match="clear some"):
            store.set_override(b"3" * 32, BLOCK, "me")
        store.set_override(b"1" * 32, replace(BLOCK, allow=True), "me")
        assert len(list(store.audit(10))) == 3
    with opened(tmp_path, now=1500.0) as store:
        store.set_override(b"3" * 32, BLOCK, "me")
        assert set(store.overrides()) == {(0, b"1" * 32), (0, b"3" * 32)}


def test_the_audit_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    """The newest changes are kept, across restarts, and how many went is counted. Overrides all stay."""
    with opened(tmp_path, audit_entries=3) as store:
        for number in range(5):
            store.set_override(bytes([number]) * 32, BLOCK, f"uid-{number}")
        assert store.audit_dropped == 2
        assert [entry.actor for entry in list(store.audit(10))] == ["uid-4", "uid-3", "uid-2"]
    with opened(tmp_path, audit_entries=3) as store:
        store.clear_override(b"\0" * 32, "over", "uid-5")
        assert store.audit_dropped == 1
        assert [entry.actor for entry in list(store.audit(10))] == ["uid-5", "uid-4", "uid-3"]
        assert len(store.overrides()) == 4


def test_a_lower_bound_of_the_audit_is_reached_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One change does not have to wait until a hundred thousand entries are gone."""
    monkeypatch.setattr(state_audit, "DROPPED_AT_ONCE", 4)
    with opened(tmp_path) as store:
        for number in range(10):
            store.set_override(bytes([number]) * 32, BLOCK, "me")
    left = []
    with opened(tmp_path, audit_entries=2) as store:
        for _ in range(4):
            store.clear_override(DIGEST, "", "me")
            left.append(len(list(store.audit(100))))
    assert left == [7, 4, 2, 2]


@pytest.mark.parametrize("damage", ["cut", "zeros", "scramble", "foreign", "record"])
def test_damaged_state_is_refused_and_left_where_it_is(tmp_path: Path, damage: str) -> None:
    """A block that went missing in silence would be worse than an SVM that does not start."""
    path = tmp_path / FILE
    with opened(tmp_path) as store:
        for number in range(500):
            store.set_override(number.to_bytes(32, "big"), BLOCK, "me")
    size = path.stat().st_size
    if damage == "cut":
        os.truncate(path, 8192)
    elif damage == "zeros":
        with path.open("r+b") as file:
            file.seek(size // 2 // 4096 * 4096)
            file.write(bytes(size // 4))
    elif damage == "scramble":
        path.write_bytes(os.urandom(size))
    elif damage == "foreign":
        path.unlink()
        with lmdb.open(os.fspath(path), subdir=False, max_dbs=4) as env:
            env.open_db(b"a"), env.open_db(b"b")
    else:
        with lmdb.open(os.fspath(path), subdir=False, max_dbs=4) as env:
            overrides = env.open_db(b"overrides")
            with env.begin(write=True, db=overrides) as txn:
                txn.put(DIGEST, b'{"allow": true}????????')
    with pytest.raises(StateDamaged, match="backup"), opened(tmp_path) as store:
        store.overrides()
    assert path.exists()


def test_state_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """An older svm does not touch what it does not understand."""
    with opened(tmp_path):
        pass
    with lmdb.open(os.fspath(tmp_path / FILE), subdir=False, max_dbs=4) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            txn.put(b"schema", (99).to_bytes(4, "little"))
    with pytest.raises(StateError, match="schema 99"), opened(tmp_path):
        pass


WRITER = """
import sys
from pathlib import Path
from appliance.domain.override import Override
from appliance.domain.tenants import Realm
from appliance.state.store import StateStore
store = StateStore.open(Path(sys.argv[1]), lambda: 1000.0, 100_000)
for number in range(100_000):
    store.set_override(number.to_bytes(32, "big"), Override(False, "why", "me", 1), "me")
    print(number, flush=True)
"""


def test_what_was_confirmed_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 every override whose call had returned is there, with its audit."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, os.fspath(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
    with opened(tmp_path) as store:
        kept = store.overrides()
        assert all((0, number.to_bytes(32, "big")) in kept for number in confirmed)
        assert len(list(store.audit(100_000))) == len(kept)


def test_a_full_disk_refuses_with_a_sentence(tmp_path: Path) -> None:
    """A closed or unwritable file gives StateError, never success."""
    with opened(tmp_path) as store:
        store.close()
        with pytest.raises(StateError, match="cannot be written"):
            store.set_override(DIGEST, BLOCK, "me")


def test_closing_waits_for_what_is_being_written(tmp_path: Path) -> None:
    """A change that another thread makes gets to the disk whole; only then the file is closed."""
    store = StateStore.open(tmp_path, lambda: 1000.0, 100_000)
    with nobody_can_write(tmp_path / FILE) as release, ThreadPoolExecutor() as threads:
        change = threads.submit(store.set_override, DIGEST, BLOCK, "me")
        while not store._changing.locked():
            assert not change.done()
        closing = threads.submit(store.close)
        release()
        change.result(30)
        closing.result(30)
    with opened(tmp_path) as again:
        assert again.overrides() == {(0, DIGEST): BLOCK}


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from appliance.domain.override import Override
from appliance.domain.tenants import Realm
from appliance.state.store import StateError, StateStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = StateStore.open(Path(sys.argv[1]), lambda: 1000.0, 100_000)
block = Override(False, "why" * 100, "me", 1)
store.set_override(b"first" + bytes(27), block, "me")
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
confirmed = 1
try:
    for number in range(10_000):
        store.set_override(number.to_bytes(32, "big"), block, "me")
        confirmed += 1
except StateError as error:
    assert "free room" in str(error), error
else:
    sys.exit("nothing was refused")
assert len(store.overrides()) == len(list(store.audit(100_000))) == confirmed
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.set_override(b"last" + bytes(28), block, "me")
assert len(store.overrides()) == len(list(store.audit(100_000))) == confirmed + 1
store.close()
"""


def test_a_disk_that_fills_up_refuses_and_later_takes_again(tmp_path: Path) -> None:
    """What was refused is not there, in part or whole; what was confirmed is; room heals it."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, os.fspath(tmp_path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_tenants_override_stands_beside_the_providers(tmp_path: Path) -> None:
    """Each is set and taken back for itself, and stands in the audit with whose it is."""
    with opened(tmp_path) as store:
        store.set_override(DIGEST, BLOCK, "uid-0")
        store.set_override(DIGEST, replace(BLOCK, allow=True), "uid-7", ACME)
        assert not store.clear_override(DIGEST, "", "uid-8", OTHER)
    with opened(tmp_path) as store:
        assert store.overrides() == {(0, DIGEST): BLOCK, (17, DIGEST): replace(BLOCK, allow=True)}
        assert store.clear_override(DIGEST, "", "uid-7", ACME)
        assert store.overrides() == {(0, DIGEST): BLOCK}
        assert [entry.tenant for entry in list(store.audit(10))] == ["acme", "other", "acme", ""]
        assert [(entry.actor, entry.action) for entry in list(store.audit(10, "acme"))] == [
            ("uid-7", "clear"),
            ("uid-7", "allow"),
        ]
        assert [entry.actor for entry in list(store.audit(1, "other"))] == ["uid-8"]
        assert list(store.audit(10, "acm")) == []


def test_what_an_earlier_version_has_written_is_the_providers(tmp_path: Path) -> None:
    """An override under its digest alone, and an entry of the audit that names no tenant."""
    with opened(tmp_path) as store:
        audit = store.environment.table(b"audit")
        fields = {"at": 5.0, "actor": "me", "action": "block", "digest": DIGEST.hex(), "reason": "why"}
        with store.environment.writing() as txn:
            txn.put((1).to_bytes(8, "big"), packed({**fields, "expires_at": 0}), db=audit)
            txn.put(DIGEST, packed(asdict(BLOCK)), db=store._overrides_db)
    with opened(tmp_path) as store:
        assert store.overrides() == {(0, DIGEST): BLOCK}
        assert [(entry.actor, entry.tenant) for entry in list(store.audit(10))] == [("me", "")]
        assert list(store.audit(10, "default")) == []


def test_a_tenant_cannot_fill_the_audit(tmp_path: Path) -> None:
    """Its own oldest entries go for its newest ones when it has a tenth of all; others' stay."""
    with opened(tmp_path, audit_entries=50) as store:
        store.set_override(DIGEST, BLOCK, "uid-0")
        for number in range(60):
            store.clear_override(DIGEST, str(number), "uid-7", ACME)
        assert [entry.reason for entry in list(store.audit(100, "acme"))] == ["59", "58", "57", "56", "55"]
        assert [entry.actor for entry in list(store.audit(100))][-1] == "uid-0"
        assert store.audit_dropped == 55
        for _ in range(60):
            store.clear_override(DIGEST, "", "uid-0")
        assert list(store.audit(100, "acme")) == []
        assert len(list(store.audit(100))) == 50


def test_all_tenants_together_cannot_fill_the_audit(tmp_path: Path) -> None:
    """Half of it is for what is no single tenant's, however many tenants there are."""
    with opened(tmp_path, audit_entries=50) as store:
        for number in range(20):
            store.clear_override(DIGEST, str(number), "uid-0")
        for turn in range(200):
            realm = Realm(17 + turn % 20, f"tenant-{turn % 20}")
            store.clear_override(DIGEST, "", "uid-7", realm)
        authors = [entry.actor for entry in list(store.audit(100))]
        assert authors.count("uid-0") == 20
        assert 20 <= authors.count("uid-7") <= 30
        assert list(store.audit(100, "tenant-0"))  # none is without


def test_a_tenant_cannot_take_the_room_of_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a bound of its own, all tenants together have one, and the provider has his own."""
    monkeypatch.setattr(state_store, "MAX_OVERRIDES", 3)
    monkeypatch.setattr(state_store, "MAX_OVERRIDES_OF_TENANT", 2)
    monkeypatch.setattr(state_store, "FIRST_OVERRIDES_OF_TENANT", 1)
    digests = [bytes([number]) * 32 for number in range(5)]
    with opened(tmp_path) as store:
        store.set_override(digests[0], BLOCK, "me", ACME)
        store.set_override(digests[1], BLOCK, "me", ACME)
        with pytest.raises(StateError, match="2 overrides are set"):
            store.set_override(digests[2], BLOCK, "me", ACME)
        store.set_override(digests[1], replace(BLOCK, allow=True), "me", ACME)
        store.set_override(digests[2], BLOCK, "me", OTHER)
        with pytest.raises(StateError, match="3 overrides of tenants are set"):
            store.set_override(digests[3], BLOCK, "me", OTHER)
        third = Realm(77, "third")  # its first one finds room whatever others have
        store.set_override(digests[3], BLOCK, "me", third)
        with pytest.raises(StateError, match="3 overrides of tenants are set"):
            store.set_override(digests[4], BLOCK, "me", third)
        for digest in digests[:3]:
            store.set_override(digest, BLOCK, "me")
        with pytest.raises(StateError, match="3 overrides are set"):
            store.set_override(digests[3], BLOCK, "me")
