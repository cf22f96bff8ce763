"""Who may tell of a host, and what is known of its machines."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from appliance.inventory import register as register_module
from appliance.inventory.register import HostRefused, RegisterTerms, VmRegister
from appliance.state.environment import StateEnvironment
from appliance.state.vms import VmNotes, VmStore
from tests.support.machines import DB, HOST, OTHER_HOST, WEB, agent, off, running

TERMS = RegisterTerms(lease_seconds=180, keep_days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VmStore]:
    """An empty table."""
    environment = StateEnvironment.open(tmp_path)
    yield VmStore(environment)
    environment.close()


async def test_a_report_replaces_what_was_told_before(store: VmStore) -> None:
    """Also for who starts anew from the disk."""
    known = VmRegister(store, TERMS)
    await known.report(agent(), [running(), running(DB, "db")], 1000.0)
    await known.report(agent(OTHER_HOST), [off()], 1000.0)
    await known.report(agent(), [off()], 1001.0)
    for each in (known, VmRegister(store, TERMS)):
        assert [(placed.host, placed.vm) for placed in each.all()] == [(HOST, off()), (OTHER_HOST, off())]


async def test_a_second_host_agent_is_refused_while_the_first_reports(store: VmStore) -> None:
    """By whatever tells them apart; when the first is silent for the lease, the second takes the host."""
    known = VmRegister(store, TERMS)
    await known.report(agent(), [running()], 1000.0)
    for other in (agent(instance=b"j" * 16), agent(author="host-agent berta")):
        with pytest.raises(HostRefused, match="anna at host-1 stands for this host, and told of it 9 s"):
            await known.report(other, [], 1009.0)
        with pytest.raises(HostRefused, match="stop one of the two"):
            known.told_of(other, WEB, 1009.0)
    await known.report(agent(), [running()], 1179.0)  # the same one, started anew
    with pytest.raises(HostRefused):
        await known.report(agent(instance=b"j" * 16), [], 1358.0)
    await known.report(agent(instance=b"j" * 16), [], 1359.0)
    assert list(known.all()) == []


async def test_a_lease_counts_after_a_restart_of_the_svm(store: VmStore) -> None:
    """The first goes on, the second is refused as before."""
    await VmRegister(store, TERMS).report(agent(), [running()], 1000.0)
    known = VmRegister(store, TERMS)
    with pytest.raises(HostRefused):
        await known.report(agent(instance=b"j" * 16), [], 1100.0)
    assert known.is_fresh(HOST, 1100.0)
    assert not known.is_fresh(HOST, 1180.0)


async def test_nothing_is_told_of_what_was_not_reported(store: VmStore) -> None:
    """Neither of a machine nor of a host."""
    known = VmRegister(store, TERMS)
    with pytest.raises(HostRefused, match="has no machine"):
        known.told_of(agent(), WEB, 1000.0)
    await known.report(agent(), [running()], 1000.0)
    with pytest.raises(HostRefused, match=f"has no machine {DB}"):
        known.told_of(agent(), DB, 1000.0)
    assert known.told_of(agent(), WEB, 1000.0).vm == running()


async def test_what_did_not_change_is_not_written(store: VmStore) -> None:
    """A report a minute of thousands of machines costs no disk."""
    known = VmRegister(store, TERMS)
    await known.report(agent(), [running()], 1000.0)
    with patch.object(store, "write_host", side_effect=AssertionError):
        await known.report(agent(), [running()], 1060.0)
    assert [placed.reported_at for placed in known.all()] == [1060.0]


async def test_there_is_a_bound(store: VmStore) -> None:
    """Of machines and of hosts; what is there stays."""
    known = VmRegister(store, TERMS)
    with patch.object(register_module, "MAX_VMS", 2), patch.object(register_module, "MAX_HOSTS", 1):
        await known.report(agent(), [running(), running(DB, "db")], 1000.0)
        with pytest.raises(HostRefused, match="2 machines of all hosts are known"):
            await known.report(agent(), [running(), running(DB, "db"), running(HOST, "third")], 1000.0)
        with pytest.raises(HostRefused, match="1 hosts are known"):
            await known.report(agent(OTHER_HOST), [], 1000.0)
    assert len(list(known.all())) == 2


async def test_notes_are_kept_as_long_as_a_host_has_the_machine(store: VmStore) -> None:
    """A host of which nothing is told any more is forgotten with its machines, and what was noted of them."""
    known = VmRegister(store, TERMS)
    await known.scanned(WEB, 50.0)
    assert known.notes(WEB) == VmNotes()
    await known.report(agent(), [running()], 1000.0)
    await known.scanned(WEB, 50.0)
    await known.age(1000.0)
    assert VmRegister(store, TERMS).notes(WEB) == known.notes(WEB) == VmNotes(scanned_at=50.0)
    await known.age(1000.0 + 86400)
    assert known.notes(WEB) == VmNotes()
    assert (known.hosts(), list(known.all()), list(VmRegister(store, TERMS).all())) == ([], [], [])
