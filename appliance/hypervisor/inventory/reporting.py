"""Tells the SVM which machines there are: all of a host when one of them changed, and within the time it
asks for.

A host that is not followed now is not told of: the SVM sees that nothing comes. Events wait in the outbox
until the SVM has taken the machines that they are about.
"""

import asyncio
import time
from contextlib import suppress
from functools import partial

import structlog
from lightagent.v1 import hosts_pb2

from appliance.domain.vm import MAX_NAME_BYTES, MAX_VMS_OF_HOST
from appliance.hypervisor.changes import VmSeen
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.inventory.agent import Agent
from appliance.hypervisor.inventory.outbox import ForSvm, Outbox
from appliance.hypervisor.isolation.records import Records
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.virt.line import HostLine
from appliance.hypervisor.vm import Power
from appliance.rpc.admin_client import AdminClient, AdminError

GATHER_SECONDS = 0.2  # what happens within it is told together
UNLISTED_SECONDS = 1.0  # so often it is looked whether a host is followed now
WATCH_SECONDS = 1.0  # so often it is looked whether machines are cut off
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
USUAL_SECONDS = 60.0

_POWER = {
    Power.RUNNING: hosts_pb2.VM_POWER_RUNNING,
    Power.PAUSED: hosts_pb2.VM_POWER_PAUSED,
    Power.OFF: hosts_pb2.VM_POWER_OFF,
}

log = structlog.get_logger("svm-host")


class Reporter:
    """A part of `serve`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._records = Records(serving.settings.state_dir)
        self._outbox = Outbox(serving.settings.state_dir)
        self._changed = asyncio.Event()
        self._again = USUAL_SECONDS
        self._reported_at: dict[str, float] = {}
        self._problem = ""

    async def run(self) -> None:
        """Tell, until cancelled."""
        if not self._serving.settings.svm.server:
            log.warning("no SVM is told", why="svm.server of the settings names none")
            await asyncio.Event().wait()
        self._agent = await asyncio.to_thread(Agent, self._serving.settings.state_dir)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._watch())
            group.create_task(self._tell())

    async def _listen(self) -> None:
        async for _ in self._serving.changes.subscribe():
            self._changed.set()

    async def _watch(self) -> None:
        """Hear of machines that are cut off or released, by a command in another process too."""
        before = await asyncio.to_thread(self._records.stamp)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = await asyncio.to_thread(self._records.stamp)
            if now != before:
                before = now
                self._changed.set()

    async def _tell(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._wait()
            try:
                await self._report_all()
                pause = FIRST_PAUSE
                self._say("")
            except (AdminError, StateUnusable) as error:
                self._say(str(error))
                self._serving.svm.close()  # the next call opens it anew: a name may lead elsewhere by now
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                self._changed.set()

    async def _wait(self) -> None:
        """Return when there is something to tell, or it is time."""
        lines = self._serving.hosts.values()
        unlisted = not all(line.listed and line.uri in self._reported_at for line in lines)
        with suppress(TimeoutError):
            async with asyncio.timeout(UNLISTED_SECONDS if unlisted else self._again * 0.9):
                await self._changed.wait()
                await asyncio.sleep(GATHER_SECONDS)
        self._changed.clear()

    async def _report_all(self) -> None:
        for line in self._serving.hosts.values():
            if line.listed:
                await self._report(line)
                self._reported_at[line.uri] = time.monotonic()
        await self._send_events()

    async def _report(self, line: HostLine) -> None:
        isolated = await asyncio.to_thread(self._records.cut_off)
        seen = [each for each in self._serving.changes.known() if each.host == line.uri]
        if len(seen) > MAX_VMS_OF_HOST:
            log.warning("not all machines are told", host=line.uri, machines=len(seen), told=MAX_VMS_OF_HOST)
        vms = [_vm(each, isolated) for each in seen[:MAX_VMS_OF_HOST]]
        request = hosts_pb2.ReportVmsRequest(agent=agent_of(self._agent, line), vms=vms)
        reply = await self._serving.svm.ask(lambda svm: svm.report_vms(request))
        self._again = max(1.0, reply.again.ToTimedelta().total_seconds() or USUAL_SECONDS)

    async def _send_events(self) -> None:
        for id_, event in await asyncio.to_thread(self._outbox.all):
            line = self._serving.hosts.get(event.host)
            if line is None or not line.listed:
                continue
            request = request_of(event, agent_of(self._agent, line))
            try:
                await self._serving.svm.ask(partial(_report_event, request))
            except AdminError as error:
                if "has no machine" not in str(error):
                    raise
                log.warning("event is not taken", machine=event.uuid, kind=event.kind, why=str(error))
            await asyncio.to_thread(self._outbox.remove, id_)

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("SVM is not told", why=problem)
        elif self._problem and not problem:
            log.info("SVM is told again")
        self._problem = problem


def agent_of(agent: Agent, line: HostLine) -> hosts_pb2.HostAgent:
    """Who tells of a host."""
    return hosts_pb2.HostAgent(host=line.uuid, host_name=_cut(line.name), instance=agent.instance)


def request_of(event: ForSvm, agent: hosts_pb2.HostAgent) -> hosts_pb2.ReportVmEventRequest:
    """An event as a message."""
    return hosts_pb2.ReportVmEventRequest(agent=agent, uuid=event.uuid, kind=event.kind, text=event.text)


def _report_event(request: hosts_pb2.ReportVmEventRequest, svm: AdminClient) -> None:
    svm.report_vm_event(request)


def _vm(seen: VmSeen, isolated: frozenset[str]) -> hosts_pb2.HostVm:
    vm = seen.vm
    return hosts_pb2.HostVm(
        uuid=vm.uuid,
        name=_cut(vm.name),
        power=_POWER[vm.power],
        tenant=seen.tenant,
        excluded=seen.excluded,
        svm=vm.marks.svm,
        isolated=vm.uuid in isolated,
    )


def _cut(name: str) -> str:
    return name.encode(errors="replace")[:MAX_NAME_BYTES].decode(errors="ignore")
