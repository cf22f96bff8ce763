"""The HostAdministration service: what host agents tell of their machines, and who asks of them."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import hosts_pb2, hosts_pb2_grpc

from appliance.domain.caller import Caller
from appliance.domain.event import MAX_TEXT_BYTES, EventKind
from appliance.domain.vm import (
    INSTANCE_BYTES,
    MAX_NAME_BYTES,
    MAX_VMS,
    MAX_VMS_OF_HOST,
    HostAgent,
    HostVm,
    VmPower,
)
from appliance.identity.names import is_uuid
from appliance.inventory.watch import TOLD_BY_HOSTS, VmView
from appliance.rpc.admin_calls import (
    BadRequest,
    CallerOf,
    ControlRefused,
    answered,
    checked_limit,
    checked_tenant,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns

DEFAULT_VMS = 100

_POWER = {
    hosts_pb2.VM_POWER_RUNNING: VmPower.RUNNING,
    hosts_pb2.VM_POWER_PAUSED: VmPower.PAUSED,
    hosts_pb2.VM_POWER_OFF: VmPower.OFF,
}
POWER_ON_WIRE = {power: number for number, power in _POWER.items()}


class HostControl(Protocol):
    """What the SVM does with it. Raises ControlRefused with a sentence."""

    @property
    def report_seconds(self) -> float:
        """Within which a host is to be told of again."""

    async def report(self, agent: HostAgent, vms: Sequence[HostVm]) -> None:
        """Keep what is told of all machines of a host, on the disk."""

    async def told(self, agent: HostAgent, uuid: str, kind: EventKind, text: str) -> None:
        """Keep an event of a machine, on the disk."""

    def vms(self, tenant: str) -> Iterator[VmView]:
        """Every machine, of a tenant or ("") of all; each looked up when it is its turn."""


class HostAdministrationService(hosts_pb2_grpc.HostAdministrationServicer):
    """Serves host agents and administrators beside AdministrationService."""

    def __init__(self, control: HostControl, caller: CallerOf, turns: Turns | None = None) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self.caller = caller
        self.turns = turns or Turns()
        self._control = control

    @answered
    async def ReportVms(
        self, request: hosts_pb2.ReportVmsRequest, caller: Caller
    ) -> hosts_pb2.ReportVmsReply:
        """Take what a host has."""
        agent = _agent(request.agent, caller)
        if len(request.vms) > MAX_VMS_OF_HOST:
            raise BadRequest(f"{len(request.vms)} machines: a host has at most {MAX_VMS_OF_HOST}")
        vms: list[HostVm] = []
        await self.turns.each(request.vms, lambda vm: vms.append(_vm(vm)))
        if len({vm.uuid for vm in vms}) < len(vms):
            raise BadRequest("two machines have the same uuid: tell each once")
        await self._control.report(agent, vms)
        again = Duration()
        again.FromNanoseconds(int(self._control.report_seconds * 1e9))
        return hosts_pb2.ReportVmsReply(again=again)

    @answered
    async def ReportVmEvent(
        self, request: hosts_pb2.ReportVmEventRequest, caller: Caller
    ) -> hosts_pb2.ReportVmEventReply:
        """Take what was done to a machine."""
        agent = _agent(request.agent, caller)
        if request.kind not in TOLD_BY_HOSTS:
            raise BadRequest(f"kind is {request.kind[:80]!r}: give {', '.join(TOLD_BY_HOSTS)}")
        text = _label(request.text, "text", MAX_TEXT_BYTES)
        await self._control.told(agent, _uuid(request.uuid, "uuid"), EventKind(request.kind), text)
        return hosts_pb2.ReportVmEventReply()

    @answered
    async def ListVms(self, request: hosts_pb2.ListVmsRequest, caller: Caller) -> hosts_pb2.ListVmsReply:
        """Answer which machines there are."""
        limit = checked_limit(request.limit, DEFAULT_VMS, MAX_VMS)
        reply = hosts_pb2.ListVmsReply()
        views = islice(self._control.vms(tenant_of(caller, request.tenant)), limit)
        await self.turns.each(views, lambda view: reply.vms.append(_known(view)))
        return reply


def _agent(agent: hosts_pb2.HostAgent, caller: Caller) -> HostAgent:
    if caller.tenant:
        raise ControlRefused(
            f"{caller.author} cannot speak for a host, which has machines of everybody: "
            "have a host agent's certificate issued without a tenant"
        )
    if len(agent.instance) != INSTANCE_BYTES:
        raise BadRequest(f"agent.instance has {len(agent.instance)} bytes: give exactly {INSTANCE_BYTES}")
    name = _label(agent.host_name, "agent.host_name", MAX_NAME_BYTES)
    return HostAgent(_uuid(agent.host, "agent.host"), name, caller.author, agent.instance)


def _vm(vm: hosts_pb2.HostVm) -> HostVm:
    if vm.power not in _POWER:
        raise BadRequest("power of a machine is not one of running, paused and off")
    name = _label(vm.name, "name of a machine", MAX_NAME_BYTES)
    if not name:
        raise BadRequest("name of a machine is empty: give the one that its host has for it")
    tenant = checked_tenant(vm.tenant) if vm.tenant else ""
    uuid = _uuid(vm.uuid, "uuid of a machine")
    return HostVm(uuid, name, _POWER[vm.power], tenant, vm.excluded, vm.svm, vm.isolated)


def _uuid(text: str, what: str) -> str:
    if not is_uuid(text):
        raise BadRequest(f"{what} is {text[:80]!r}: give a UUID of 36 lower-case characters")
    return text


def _label(text: str, what: str, most: int) -> str:
    size = len(text.encode())
    if size > most:
        raise BadRequest(f"{what} has {size} bytes: give at most {most}")
    return text


def _known(view: VmView) -> hosts_pb2.KnownVm:
    placed, vm = view.placed, view.placed.vm
    return hosts_pb2.KnownVm(
        vm=hosts_pb2.HostVm(
            uuid=vm.uuid,
            name=vm.name,
            power=POWER_ON_WIRE[vm.power],
            tenant=vm.tenant,
            excluded=vm.excluded,
            svm=vm.svm,
            isolated=vm.isolated,
        ),
        host=placed.host,
        host_name=placed.host_name,
        protection=view.protection,
        tenant=view.tenant,
        reported=_timestamp(placed.reported_at),
        unprotected_since=_timestamp(view.unprotected_since),
        last_scanned=_timestamp(view.scanned_at),
    )


def _timestamp(seconds: float) -> Timestamp | None:
    """None for 0, which stands for no time at all."""
    return Timestamp(seconds=int(seconds)) if seconds else None
