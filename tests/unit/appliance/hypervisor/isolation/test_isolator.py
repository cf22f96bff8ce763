"""Cutting off where a link cannot be set, on libvirt's own test host; the rest is in tests/integration."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.inventory.outbox import Outbox
from appliance.hypervisor.isolation.isolator import Isolator, Order
from appliance.hypervisor.isolation.records import RELEASING, Records
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from tests.support.virt_test_host import MACS, UUID, own_test_host


def isolator_in(state: Path) -> Isolator:
    """What cuts off, by that state."""
    return Isolator(Records(state), Outbox(state), {"kvmla-protection"}, lambda: 1000.0)


def test_a_link_that_cannot_be_set_is_told_and_the_record_stays(tmp_path: Path) -> None:
    """So that it is tried again, and can be released."""
    isolator = isolator_in(tmp_path)
    with VirtHost.open(own_test_host(tmp_path)) as host:
        done = isolator.isolate(host, UUID, "test", Order("why", "me", snapshot=True))
        assert (done.already, done.links, len(done.problems)) == (False, 2, 2)
        assert done.up == (f"{MACS[1]}#1",)
        assert done.how_far == f"is cut off in part: of 2 links 1 down, up: {MACS[1]}#1"
        assert all(f"link {MACS[1]}#1 (" in problem for problem in done.problems)
        assert "memory" in done.snapshot
        record = isolator.records.get(UUID)
        assert record is not None
        assert record.links["live"] == {MACS[1]: "down", f"{MACS[1]}#1": ""}
        assert record.told
        with pytest.raises(VirtError, match="machine test is cut off in part: of 2 links 1 down"):
            isolator.enforce(host, UUID)
        [(_, event)] = isolator.outbox.all()
        assert event.text == f"cut off in part ({MACS[1]}#1 up) by me: why"
        assert (isolator.records.uuids(), isolator.records.cut_off()) == (frozenset({UUID}), frozenset())
        assert not isolator.release(host, UUID, "me").problems  # as they were: there is nothing to set


def test_a_release_that_cannot_be_ended_stays_one(tmp_path: Path) -> None:
    """It is ended by the next one, and by who serves; the SVM is not told before."""
    isolator = isolator_in(tmp_path)
    with VirtHost.open(own_test_host(tmp_path)) as host:
        isolator.isolate(host, UUID, "test", Order("why", "me"))
        record = isolator.records.get(UUID)
        assert record is not None
        isolator.records.put(replace(record, links={"live": {MACS[1]: "up"}}))
        assert len(isolator.release(host, UUID, "me").problems) == 1
        left = isolator.records.get(UUID)
        assert left is not None
        assert left.phase == RELEASING
        assert not isolator.enforce(host, UUID)
        assert [event.kind for _, event in isolator.outbox.all()] == ["vm-isolated"]
        isolator.records.put(replace(left, links={}))
        assert isolator.enforce(host, UUID)
        assert [event.kind for _, event in isolator.outbox.all()] == ["vm-isolated", "vm-released"]
        assert isolator.records.uuids() == frozenset()


def test_one_of_which_nothing_could_be_set_is_not_called_cut_off(tmp_path: Path) -> None:
    """Nor is the SVM told so; it is tried again all the same."""
    isolator = isolator_in(tmp_path)
    with VirtHost.open("test:///default") as host:  # its one link cannot be set
        uuid = host.connection.lookupByName("test").UUIDString()
        done = isolator.isolate(host, uuid, "test", Order("why", "me"))
        assert (done.links, len(done.up)) == (1, 1)
        assert done.how_far == "is not cut off: of 1 links none is down"
        assert isolator.outbox.all() == []
        assert isolator.records.cut_off() == frozenset()
        with pytest.raises(VirtError, match="machine test is not cut off: of 1 links none is down: link"):
            isolator.enforce(host, uuid)
