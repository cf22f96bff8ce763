"""Machines that are cut off from their networks and given them back, on a real libvirt with real QEMUs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest

from appliance.domain.event import EventKind
from appliance.hypervisor.inventory.outbox import Outbox
from appliance.hypervisor.isolation.isolator import Isolator, Order
from appliance.hypervisor.isolation.records import RELEASING, Records
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from tests.support.domains import (
    PROTECTION,
    defined,
    domain,
    interface,
    interfaces_of,
    states_of,
)
from tests.support.kvm_host import KvmHost

ORDER = Order("a test", "test")
KILLED = -9
MOST_STEPS = 12


@pytest.fixture
def isolator(tmp_path: Path) -> Isolator:
    """What cuts off, with a state of its own."""
    return isolator_in(tmp_path)


def isolator_in(state: Path) -> Isolator:
    """What cuts off, by that state."""
    return Isolator(Records(state), Outbox(state), {PROTECTION}, lambda: 1000.0)


def web(host: VirtHost, start: bool = True) -> str:
    """A machine on the protection network and two others, one of whose links is down."""
    links = interface(1, PROTECTION) + interface(2) + interface(3, state="down")
    return defined(host, domain("web", links), start)


def test_all_links_but_that_to_the_svm_go_down_and_come_back_as_they_were(
    host: VirtHost, isolator: Isolator
) -> None:
    """In the running machine and in its definition: to the letter."""
    uuid = web(host)
    before = interfaces_of(host, uuid)
    done = isolator.isolate(host, uuid, "web", ORDER)
    assert (done.already, done.links, done.problems) == (False, 2, ())
    cut = [True, False, False]
    assert states_of(host, uuid) == {"live": cut, "config": cut}
    assert isolator.isolate(host, uuid, "web", ORDER).already
    assert isolator.release(host, uuid, "test").problems == ()
    assert interfaces_of(host, uuid) == before
    assert isolator.release(host, uuid, "test").already
    told = [(event.kind, event.uuid, event.text) for _, event in isolator.outbox.all()]
    assert sorted(told) == [
        (EventKind.VM_ISOLATED, uuid, "cut off by test: a test"),
        (EventKind.VM_RELEASED, uuid, "released by test"),
    ]


def test_a_machine_that_is_off_starts_cut_off_and_comes_back(host: VirtHost, isolator: Isolator) -> None:
    """Its running links are given back as its definition had them."""
    uuid = web(host, start=False)
    before = interfaces_of(host, uuid)
    isolator.isolate(host, uuid, "web", ORDER)
    host.connection.lookupByUUIDString(uuid).create()
    assert states_of(host, uuid)["live"] == [True, False, False]
    isolator.enforce(host, uuid)
    isolator.release(host, uuid, "test")
    assert states_of(host, uuid) == {"live": [True, True, False], "config": [True, True, False]}
    assert interfaces_of(host, uuid)["config"] == before["config"]


def test_a_machine_that_is_started_anew_stays_cut_off(host: VirtHost, isolator: Isolator) -> None:
    """By its definition, before anybody looks."""
    uuid = web(host)
    isolator.isolate(host, uuid, "web", ORDER)
    machine = host.connection.lookupByUUIDString(uuid)
    machine.destroy()
    machine.create()
    assert states_of(host, uuid)["live"] == [True, False, False]
    assert not isolator.enforce(host, uuid)


def test_an_interface_that_comes_anew_is_cut_off_and_given_back(host: VirtHost, isolator: Isolator) -> None:
    """As is a link that somebody has set up."""
    uuid = web(host)
    isolator.isolate(host, uuid, "web", ORDER)
    machine = host.connection.lookupByUUIDString(uuid)
    machine.attachDeviceFlags(interface(4), 1)
    machine.updateDeviceFlags(interface(2, state="up"), 2)
    assert isolator.enforce(host, uuid)
    assert states_of(host, uuid)["live"] == [True, False, False, False]
    assert not any(states_of(host, uuid)["config"][1:])
    assert not isolator.enforce(host, uuid)
    isolator.release(host, uuid, "test")
    assert states_of(host, uuid) == {"live": [True, True, False, True], "config": [True, True, False]}


def test_killed_at_any_step_a_release_brings_it_back_as_it_was(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """Of cutting off, and of releasing; the SVM is told in any case."""
    uuid = web(host)
    before = interfaces_of(host, uuid)
    kills = 0
    for what in ("isolate", "release"):
        for number in range(MOST_STEPS):
            state = tmp_path / f"{what}-{number}"
            isolator = isolator_in(state)
            if what == "release":
                isolator.isolate(host, uuid, "web", ORDER)
            ended = killed(machines.uri, state, uuid, what, number)
            if what == "release" and ended == KILLED and isolator.records.get(uuid) is not None:
                record = isolator.records.get(uuid)
                assert record is not None
                if record.phase == RELEASING and number % 2:
                    isolator.enforce(host, uuid)  # as serve does
            isolator.release(host, uuid, "test")
            assert interfaces_of(host, uuid) == before, (what, number)
            assert isolator.records.uuids() == frozenset()
            if ended != KILLED:
                assert ended == 0
                break
            kills += 1
        kinds = {event.kind for _, event in isolator.outbox.all()}
        assert kinds == {EventKind.VM_ISOLATED, EventKind.VM_RELEASED}
    assert kills >= 8


def killed(uri: str, state: Path, uuid: str, what: str, number: int) -> int:
    """Have a process do it that is killed before a step; how it ended."""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "tests.support.kill_isolation", uri, str(state), uuid, what, str(number)]
    path = os.pathsep.join((str(root), str(root / "protos")))
    environ = os.environ | {"PYTHONPATH": path}
    return subprocess.run(words, check=False, cwd=root, env=environ, timeout=60).returncode


def test_killed_while_cutting_off_it_is_ended_by_who_serves(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """From the moment that it is on the disk."""
    uuid, isolator = web(host), isolator_in(tmp_path)
    for number in range(MOST_STEPS):
        ended = killed(machines.uri, tmp_path, uuid, "isolate", number)
        if isolator.records.get(uuid) is not None:
            isolator.enforce(host, uuid)
            assert states_of(host, uuid)["live"] == [True, False, False]
            assert [event.kind for _, event in isolator.outbox.all()][-1] == EventKind.VM_ISOLATED
            isolator.release(host, uuid, "test")
        if ended != KILLED:
            break
    assert number > 3


def test_a_snapshot_holds_the_memory_where_it_can(
    host: VirtHost, machines: KvmHost, isolator: Isolator
) -> None:
    """Of qcow2 disks; a machine without a disk has none, and is cut off nevertheless."""
    disk = machines.directory / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "8M"], check=True, timeout=60)
    uuid = defined(host, domain("db", interface(2), disk=disk))
    done = isolator.isolate(host, uuid, "db", Order("a test", "test", snapshot=True))
    assert (done.snapshot, done.problems) == ("its disks, and its memory where it runs", ())
    [name] = host.connection.lookupByUUIDString(uuid).snapshotListNames()
    assert name == "kvmla-isolated-1000"
    again = isolator.isolate(host, uuid, "db", Order("a test", "test", snapshot=True))
    assert again.snapshot == "as it was made before"
    bare = web(host)
    done = isolator.isolate(host, bare, "web", Order("a test", "test", snapshot=True))
    assert "no snapshot of machine web" in done.problems[0]
    assert states_of(host, bare)["live"] == [True, False, False]


def test_a_snapshot_of_what_cannot_hold_memory_is_of_the_disks(
    host: VirtHost, machines: KvmHost, isolator: Isolator
) -> None:
    """A raw disk is kept as it is at that moment, and the machine goes on in a new file over it."""
    disk = machines.directory / "disk.raw"
    disk.write_bytes(b"as it was".ljust(8 << 20, b"\0"))
    xml = domain("raw", interface(2), disk=disk).replace("type='qcow2'", "type='raw'")
    uuid = defined(host, xml)
    done = isolator.isolate(host, uuid, "raw", Order("a test", "test", snapshot=True))
    assert (done.snapshot, done.problems) == ("its disks, which go on in new files", ())
    machine = host.connection.lookupByUUIDString(uuid)
    assert machine.snapshotListNames() == ["kvmla-isolated-1000"]
    overlay = disk.with_suffix(".kvmla-isolated-1000")
    for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):  # as it runs, and as it will start
        devices = ElementTree.fromstring(machine.XMLDesc(flags))
        assert [each.get("file") for each in devices.findall("./devices/disk/source")] == [str(overlay)]
    words = ["qemu-img", "info", "--force-share", "--output", "json", str(overlay)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout)
    assert (told["format"], told["backing-filename"]) == ("qcow2", str(disk))
    assert machine.isActive()
    assert states_of(host, uuid)["live"] == [False]
    isolator.release(host, uuid, "test")
    assert states_of(host, uuid)["live"] == [True]


def test_a_machine_that_is_not_there_is_a_sentence(host: VirtHost, isolator: Isolator) -> None:
    """And nothing is kept of it."""
    nobody = "00000000-0000-4000-8000-000000000009"
    with pytest.raises(VirtError, match=f"has no machine {nobody}"):
        isolator.isolate(host, nobody, "nobody", ORDER)
    assert isolator.records.uuids() == frozenset()
    assert not isolator.enforce(host, nobody)


def test_libvirt_gone_in_the_middle_is_gone_on_with(machines: KvmHost, tmp_path: Path) -> None:
    """What was begun is on the disk; with a connection anew it is ended."""

    def step(name: str) -> None:
        if name == "down":
            machines.kill_libvirtd()

    state = tmp_path
    broken = Isolator(Records(state), Outbox(state), {PROTECTION}, lambda: 1000.0, step)
    opened = VirtHost.open(machines.uri)
    uuid = web(opened)
    before = interfaces_of(opened, uuid)
    with pytest.raises(VirtError):
        broken.isolate(opened, uuid, "web", ORDER)
    machines.start_libvirtd()
    with VirtHost.open(machines.uri) as host:
        isolator = isolator_in(state)
        assert isolator.enforce(host, uuid)
        assert states_of(host, uuid)["live"] == [True, False, False]
        isolator.release(host, uuid, "test")
        assert interfaces_of(host, uuid) == before
        host.connection.lookupByUUIDString(uuid).destroy()
