"""Machines in the state."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.state.environment import StateDamaged, StateEnvironment, packed
from appliance.state.restore import restore
from appliance.state.vms import HostRecord, Known, VmNotes, VmStore
from tests.support.machines import DB, HOST, WEB, agent, off, running
from tests.support.states import make_backup, make_state

RECORD = HostRecord(agent(), 5.0)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[StateEnvironment]:
    """An open state."""
    environment = StateEnvironment.open(tmp_path)
    yield environment
    environment.close()


def test_what_was_told_is_there_after_a_restart(tmp_path: Path) -> None:
    """Hosts, machines as they are now and not those that are gone, and notes."""
    environment = StateEnvironment.open(tmp_path)
    store = VmStore(environment)
    isolated = replace(off(DB, "db"), isolated=True, excluded=True, tenant="acme")
    store.write_host(RECORD, [running(), isolated])
    store.write_host(RECORD, [off()], [])
    store.write_notes({WEB: VmNotes(1.0, 2.0), DB: VmNotes(3.0)})
    environment.close()
    environment = StateEnvironment.open(tmp_path)
    store = VmStore(environment)
    assert store.all() == Known(
        {HOST: RECORD}, {HOST: {WEB: off(), DB: isolated}}, {WEB: VmNotes(1.0, 2.0), DB: VmNotes(3.0)}
    )
    store.write_host(RECORD, [], [DB])
    store.write_notes({DB: None})
    assert store.all() == Known({HOST: RECORD}, {HOST: {WEB: off()}}, {WEB: VmNotes(1.0, 2.0)})
    store.drop_host(HOST, [WEB])
    store.write_notes({WEB: None})
    assert store.all() == Known()
    environment.close()


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (HOST, {"name": "n"}),
        (HOST, {"name": "n", "author": "a", "instance": "zz", "reported_at": 1}),
        (f"{HOST}\0{WEB}", {"name": "n", "power": "odd"}),
        (f"{HOST}\0{WEB}", {"name": "n", "power": "off", "surprise": 1}),
        (f"\0{WEB}", {"surprise": 1}),
    ],
)
def test_a_record_without_meaning_is_damage(
    environment: StateEnvironment, key: str, fields: dict[str, object]
) -> None:
    """What was written by something else is not read as something."""
    store = VmStore(environment)
    table = environment.table(b"vms")
    with environment.changing, environment.writing() as txn:
        txn.put(key.encode(), packed(fields), db=table)
    with pytest.raises(StateDamaged, match="a machine's record has no meaning"):
        store.all()


def test_a_backup_brings_them_back(tmp_path: Path) -> None:
    """With the rest of the state; a state of before that has no such table has no machine."""
    source = make_state(tmp_path / "source", "new")
    environment = StateEnvironment.open(source)
    assert VmStore(environment).all() == Known()
    VmStore(environment).write_host(RECORD, [running()])
    environment.close()
    make_backup(tmp_path / "backup", source)
    restore(tmp_path / "backup", tmp_path / "state", "1")
    environment = StateEnvironment.open(tmp_path / "state")
    assert VmStore(environment).all() == Known({HOST: RECORD}, {HOST: {WEB: running()}})
    environment.close()
