"""The HostAdministration service, over real gRPC."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightagent.v1 import hosts_pb2

from appliance.domain.caller import Caller, Role
from appliance.domain.event import EventKind
from appliance.domain.vm import HostVm, Protection, VmPower
from appliance.inventory.register import PlacedVm
from appliance.inventory.watch import VmView
from appliance.rpc.admin_calls import ControlRefused
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.hosts_admin import _agent
from tests.support.exposure_side_server import ExposureSide, exposure_side
from tests.support.machines import DB, HOST, WEB, agent, off, running

AGENT = hosts_pb2.HostAgent(host=HOST, host_name="host-1", instance=b"i" * 16)
WEB_VM = hosts_pb2.HostVm(uuid=WEB, name="web", power=hosts_pb2.VM_POWER_RUNNING)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ExposureSide]:
    """An SVM of which nothing is known yet."""
    with exposure_side(tmp_path) as running:
        yield running


@pytest.fixture
def client(side: ExposureSide) -> Iterator[AdminClient]:
    """A process on this machine."""
    with AdminClient(str(side.path)) as client:
        yield client


def test_a_report_is_handed_on_and_answered_with_when_the_next_is_due(
    side: ExposureSide, client: AdminClient
) -> None:
    """Who tells is known by its connection."""
    vms = [WEB_VM, hosts_pb2.HostVm(uuid=DB, name="db", power=hosts_pb2.VM_POWER_OFF)]
    reply = client.report_vms(hosts_pb2.ReportVmsRequest(agent=AGENT, vms=vms))
    assert reply.again.ToSeconds() == 60
    [(told_by, told)] = side.hosts.reported
    assert list(told) == [running(), off(DB, "db")]
    assert told_by.author.startswith("uid-")
    assert (told_by.host, told_by.name, told_by.instance) == (HOST, "host-1", b"i" * 16)


def test_an_event_is_handed_on(side: ExposureSide, client: AdminClient) -> None:
    """Of the kinds that host agents have."""
    client.report_vm_event(
        hosts_pb2.ReportVmEventRequest(agent=AGENT, uuid=WEB, kind="vm-isolated", text="why")
    )
    [(_, uuid, kind, text)] = side.hosts.events
    assert (uuid, kind, text) == (WEB, EventKind.VM_ISOLATED, "why")


def test_what_cannot_be_is_a_sentence(side: ExposureSide, client: AdminClient) -> None:
    """The SVM's own."""
    side.hosts.refusal = "another stands for this host"
    with pytest.raises(AdminError, match="another stands for this host"):
        client.report_vms(hosts_pb2.ReportVmsRequest(agent=AGENT))
    with pytest.raises(AdminError, match="another stands for this host"):
        client.report_vm_event(hosts_pb2.ReportVmEventRequest(agent=AGENT, uuid=WEB, kind="vm-released"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"agent": {"host": "HOST"}}, "agent.host is 'HOST': give a UUID"),
        ({"agent": {"instance": b"short"}}, "agent.instance has 5 bytes"),
        ({"agent": {"host_name": "h" * 257}}, "agent.host_name has 257 bytes"),
        ({"vms": [WEB_VM, WEB_VM]}, "two machines have the same uuid"),
        ({"vms": [WEB_VM] * 4097}, "4097 machines: a host has at most 4096"),
        ({"vms": [{"uuid": WEB.upper()}]}, "give a UUID of 36 lower-case"),
        ({"vms": [{"power": 0}]}, "power of a machine is not one of"),
        ({"vms": [{"name": ""}]}, "name of a machine is empty"),
        ({"vms": [{"name": "é" * 129}]}, "name of a machine has 258 bytes"),
        ({"vms": [{"tenant": "no such name"}]}, "tenant is 'no such name'"),
    ],
)
def test_what_breaks_a_rule_is_not_taken(
    side: ExposureSide, client: AdminClient, changes: dict[str, Any], sentence: str
) -> None:
    """Nothing of the report is, then."""
    request = hosts_pb2.ReportVmsRequest(agent=AGENT)
    for name, value in changes.get("agent", {}).items():
        setattr(request.agent, name, value)
    for change in changes.get("vms", ()):
        added = request.vms.add()
        added.CopyFrom(WEB_VM if isinstance(change, dict) else change)
        for name, value in change.items() if isinstance(change, dict) else ():
            setattr(added, name, value)
    with pytest.raises(AdminError, match=re.escape(sentence)):
        client.report_vms(request)
    assert side.hosts.reported == []


def test_a_host_agent_makes_no_events_of_other_kinds(client: AdminClient) -> None:
    """It cannot say that something was detected, or that a machine is protected."""
    for kind in ("detection", "vm-protected", "vm-enrolled", "odd"):
        with pytest.raises(AdminError, match=r"give vm-isolated, vm-released$"):
            client.report_vm_event(hosts_pb2.ReportVmEventRequest(agent=AGENT, uuid=WEB, kind=kind))
    long = hosts_pb2.ReportVmEventRequest(agent=AGENT, uuid=WEB, kind="vm-isolated", text="x" * 513)
    with pytest.raises(AdminError, match="text has 513 bytes"):
        client.report_vm_event(long)


def test_who_is_of_one_tenant_speaks_for_no_host() -> None:
    """It has machines of everybody."""
    with pytest.raises(ControlRefused, match="without a tenant"):
        _agent(AGENT, Caller("anna", Role.HOST_AGENT, "acme"))
    assert _agent(AGENT, Caller("anna", Role.HOST_AGENT)) == agent()


def test_machines_are_listed(side: ExposureSide, client: AdminClient) -> None:
    """With how they are protected; times that there are not are absent."""
    vm = HostVm(WEB, "web", VmPower.PAUSED, "acme", True, True, True)
    side.hosts.views = [
        VmView(PlacedVm(vm, HOST, "host-1", 5.0), Protection.SILENT, "acme", 6.0, 7.0),
        VmView(PlacedVm(off(DB, "db"), HOST, "host-1", 5.0), Protection.OFF, ""),
    ]
    web, db = client.vms(100).vms
    assert (web.vm.name, web.vm.power, web.vm.tenant) == ("web", hosts_pb2.VM_POWER_PAUSED, "acme")
    assert (web.vm.excluded, web.vm.svm, web.vm.isolated) == (True, True, True)
    assert (web.host, web.host_name, web.protection, web.tenant) == (HOST, "host-1", "silent", "acme")
    assert (web.reported.seconds, web.unprotected_since.seconds, web.last_scanned.seconds) == (5, 6, 7)
    assert not db.HasField("unprotected_since")
    assert not db.HasField("last_scanned")
    assert [each.vm.name for each in client.vms(1).vms] == ["web"]
    assert [each.vm.name for each in client.vms(9, "acme").vms] == ["web"]
    with pytest.raises(AdminError, match="at most 16384"):
        client.vms(16_385)
