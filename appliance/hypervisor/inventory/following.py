"""Each host's libvirt, followed for as long as `serve` runs: opened, listed, heard, and opened anew when it
went.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog

from appliance.hypervisor.changes import VmGone, VmSeen
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.inventory.agent import Agent
from appliance.hypervisor.inventory.whose import Owners
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.virt.connection import VirtError
from appliance.hypervisor.virt.domains import host_name, host_uuid, vm_of, vms
from appliance.hypervisor.virt.events import open_followed
from appliance.hypervisor.virt.line import HostLine
from appliance.hypervisor.vm import Vm

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
AGAIN_SECONDS = 60.0  # so often all are listed, whatever was told

log = structlog.get_logger("svm-host")


@dataclass
class _Inbox:
    """What libvirt's thread tells, for the loop: bounded by the machines that there are."""

    loop: asyncio.AbstractEventLoop
    changed: dict[str, None] = field(default_factory=dict)
    closed: bool = False
    some: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, uuid: str | None) -> None:
        """From any thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._take, uuid)

    async def next(self, seconds: float) -> list[str]:
        """The machines that changed; none when that time is over. Raises VirtError at the end."""
        try:
            async with asyncio.timeout(seconds):
                await self.some.wait()
        except TimeoutError:
            return []
        if self.closed:
            raise VirtError("the connection is gone")
        found = list(self.changed)
        self.changed.clear()
        self.some.clear()
        return found

    def _take(self, uuid: str | None) -> None:
        if uuid is None:
            self.closed = True
        else:
            self.changed[uuid] = None
        self.some.set()


class Follower:
    """A part of `serve`: publishes what changes. Nothing of it is lost while a host is gone: it is listed
    then.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._owners = Owners(serving.settings.machines)
        self._told = ""
        self._listed: set[str] = set()  # once

    async def run(self) -> None:
        """Follow every host, until cancelled."""
        agent = await asyncio.to_thread(Agent, self._serving.settings.state_dir)
        async with asyncio.TaskGroup() as group:
            for line in self._serving.hosts.values():
                group.create_task(self._follow(line, agent))

    async def _follow(self, line: HostLine, agent: Agent) -> None:
        pause, told = FIRST_PAUSE, ""
        while True:
            try:
                await self._until_it_goes(line, agent)
            except (VirtError, StateUnusable) as error:
                pause = FIRST_PAUSE if line.listed else min(2 * pause, LONGEST_PAUSE)
                if line.listed or str(error) != told:
                    log.warning("host is gone", host=line.uri, why=str(error))
                    told = str(error)
            finally:
                line.host, line.listed = None, False
            await asyncio.sleep(pause)

    async def _until_it_goes(self, line: HostLine, agent: Agent) -> None:
        """Follow one connection to its end, which is a VirtError."""
        inbox = _Inbox(asyncio.get_running_loop())
        followed = await asyncio.to_thread(open_followed, line.uri, inbox.tell)
        try:
            line.host = followed.host
            await self._hear(line, agent, inbox)
        finally:
            await asyncio.shield(asyncio.to_thread(followed.close))

    async def _hear(self, line: HostLine, agent: Agent, inbox: _Inbox) -> None:
        line.uuid = await asyncio.to_thread(agent.host, line.uri, await line.ask(host_uuid))
        line.name = await line.ask(host_name)
        await self._list(line)
        line.listed = True
        self._listed.add(line.uri)
        log.info("host is followed", host=line.uri, uuid=line.uuid, machines=len(self._known(line)))
        while True:
            changed = await inbox.next(AGAIN_SECONDS)
            if not changed:
                await self._list(line)
            for uuid in changed:
                vm = await line.ask(partial(vm_of, uuid=uuid))
                if vm is None:
                    self._serving.changes.publish(VmGone(line.uri, uuid))
                else:
                    self._seen(line, vm)

    async def _list(self, line: HostLine) -> None:
        """Publish what differs from what was known of a host."""
        found = {vm.uuid: vm for vm in await line.ask(vms)}
        for seen in self._known(line):
            if seen.vm.uuid not in found:
                self._serving.changes.publish(VmGone(line.uri, seen.vm.uuid))
        self._publish(line, found.values())

    def _publish(self, line: HostLine, found: Iterable[Vm]) -> None:
        before = {seen.vm.uuid: seen for seen in self._known(line)}
        for vm in found:
            if vm.uuid not in before or self._as_seen(line, vm) != before[vm.uuid]:
                self._seen(line, vm)

    def _seen(self, line: HostLine, vm: Vm) -> None:
        """Publish a machine. One that is new started, but for those that there were when `serve` began."""
        before = self._serving.changes.of(line.uri, vm.uuid)
        is_news = before.vm.run != vm.run if before else line.uri in self._listed
        started = vm.power.has_memory and is_news
        self._serving.changes.publish(self._as_seen(line, vm, started))

    def _as_seen(self, line: HostLine, vm: Vm, started: bool = False) -> VmSeen:
        whose = self._owners.of(vm)
        if self._owners.problem != self._told:
            self._told = self._owners.problem
            if self._told:
                log.warning("owners of machines are not read", why=self._told)
        return VmSeen(line.uri, vm, started, whose.tenant, whose.excluded, whose.sure)

    def _known(self, line: HostLine) -> list[VmSeen]:
        return [seen for seen in self._serving.changes.known() if seen.host == line.uri]
