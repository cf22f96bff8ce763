"""What an SVM is told, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from appliance.domain.event import EventKind
from appliance.domain.vm import HostVm, VmPower
from appliance.hypervisor.changes import VmSeen
from appliance.hypervisor.inventory.outbox import ForSvm, Outbox
from appliance.hypervisor.inventory.reporting import Reporter
from appliance.hypervisor.isolation.records import Record, Records
from appliance.hypervisor.vm import Marks, Power, Vm
from tests.support.exposure_side_server import ExposureSide, exposure_side
from tests.support.host_serving import at_work, serving_over
from tests.support.machines import DB, HOST, WEB
from tests.support.svm import until


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ExposureSide]:
    """An SVM."""
    with exposure_side(tmp_path) as running:
        yield running


async def test_machines_and_then_events_are_told(side: ExposureSide, tmp_path: Path) -> None:
    """All of a host that is listed, each time that one changes; an event once."""
    async with serving_over(tmp_path, side.path) as (serving, line):
        state = serving.settings.state_dir
        Outbox(state).put("id", ForSvm(line.uri, WEB, "vm-isolated", "why", 1.0))
        Records(state).put(Record(DB, line.uri, "db", 1.0, "why", "me", told=True))
        Records(state).put(Record(WEB, line.uri, "web", 1.0, "why", "me", told=True, up=["52:54"]))
        line.uuid, line.name = HOST, "h" * 300
        async with at_work(Reporter(serving)):
            web, db = Vm(WEB, "web", Power.RUNNING), Vm(DB, "db", Power.OFF, marks=Marks(svm=True))
            serving.changes.publish(VmSeen(line.uri, web, tenant="acme", excluded=True))
            assert side.hosts.reported == []  # nobody knows yet whether that is all
            line.listed = True
            await until(lambda: len(side.hosts.events) == 1, "the event is told")
            agent, vms = side.hosts.reported[-1]
            assert (agent.host, len(agent.name)) == (HOST, 256)
            assert list(vms) == [HostVm(WEB, "web", VmPower.RUNNING, "acme", excluded=True)]
            serving.changes.publish(VmSeen(line.uri, db))
            await until(lambda: len(side.hosts.reported[-1][1]) == 2, "the change is told")
            assert side.hosts.reported[-1][1][1] == HostVm(DB, "db", VmPower.OFF, svm=True, isolated=True)
        [(_, uuid, kind, text)] = side.hosts.events
        assert (uuid, kind, text) == (WEB, EventKind.VM_ISOLATED, "why")
        assert Outbox(state).all() == []


async def test_what_is_cut_off_in_another_process_is_told_at_once(side: ExposureSide, tmp_path: Path) -> None:
    """And what is released, as the commands do it: libvirt tells nothing of a link."""
    watched = patch("appliance.hypervisor.inventory.reporting.WATCH_SECONDS", 0.01)
    with watched:
        async with serving_over(tmp_path, side.path) as (serving, line):
            records = Records(serving.settings.state_dir)
            line.uuid, line.listed = HOST, True
            serving.changes.publish(VmSeen(line.uri, Vm(WEB, "web", Power.RUNNING)))
            async with at_work(Reporter(serving)):
                await until(lambda: told_isolated(side) == [False], "it is told")
                records.put(Record(WEB, line.uri, "web", 1.0, "why", "me", told=True))
                await until(lambda: told_isolated(side) == [True], "that it is cut off is told")
                records.remove(WEB)
                await until(lambda: told_isolated(side) == [False], "that it is released is told")


def told_isolated(side: ExposureSide) -> list[bool]:
    """Whether the machines that were told last are cut off."""
    return [vm.isolated for vm in side.hosts.reported[-1][1]] if side.hosts.reported else []


async def test_an_svm_that_refuses_is_told_again_later(side: ExposureSide, tmp_path: Path) -> None:
    """Its sentence is in the log once; then it goes on."""
    side.hosts.refusal = "another stands for this host"
    place = "appliance.hypervisor.inventory.reporting"
    with capture_logs() as logs, patch(f"{place}.FIRST_PAUSE", 0.01), patch(f"{place}.LONGEST_PAUSE", 0.01):
        async with serving_over(tmp_path, side.path) as (serving, line):
            line.uuid, line.listed = HOST, True
            Outbox(serving.settings.state_dir).put("id", ForSvm(line.uri, WEB, "vm-isolated", "", 1.0))
            async with at_work(Reporter(serving)):
                await until(lambda: bool(logs), "it is refused")
                side.hosts.refusal = ""
                await until(lambda: len(logs) == 2, "it is taken")
    assert [(each["event"], each.get("why")) for each in logs] == [
        ("SVM is not told", "another stands for this host"),
        ("SVM is told again", None),
    ]
    assert len(side.hosts.events) == 1


async def test_without_an_svm_nothing_is_told(tmp_path: Path) -> None:
    """And that is said."""
    with capture_logs() as logs:
        async with serving_over(tmp_path) as (serving, _), at_work(Reporter(serving)):
            await until(lambda: bool(logs), "it is said")
    assert logs[0]["event"] == "no SVM is told"
