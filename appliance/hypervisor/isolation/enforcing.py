"""Keeps cut off what is cut off: over restarts of the machine, new interfaces, and links that somebody set
up.
"""

import asyncio
import time

import structlog

from appliance.hypervisor.changes import VmSeen
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.inventory.outbox import Outbox
from appliance.hypervisor.isolation.isolator import Isolator
from appliance.hypervisor.isolation.records import Records
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.virt.connection import VirtError

AGAIN_SECONDS = 60.0  # so often all that are cut off are looked at, whatever is told of them

log = structlog.get_logger("svm-host")


def isolator_of(settings: HostSettings) -> Isolator:
    """What cuts off, over the state directory of the settings."""
    state = settings.state_dir
    return Isolator(Records(state), Outbox(state), frozenset(settings.isolation.keep), time.time)


class Enforcer:
    """A part of `serve`: looks at a machine that is cut off whenever something of it changes."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._isolator = isolator_of(serving.settings)

    async def run(self) -> None:
        """Enforce, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._on_changes())
            group.create_task(self._now_and_then())

    async def _on_changes(self) -> None:
        async for change in self._serving.changes.subscribe():
            if isinstance(change, VmSeen):
                await self._enforce(change)

    async def _now_and_then(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            for seen in self._serving.changes.known():
                await self._enforce(seen)

    async def _enforce(self, seen: VmSeen) -> None:
        line, uuid = self._serving.hosts[seen.host], seen.vm.uuid
        try:
            if uuid not in await asyncio.to_thread(self._isolator.records.uuids):
                return
            if await line.ask(lambda host: self._isolator.enforce(host, uuid)):
                log.info("machine is cut off again, or released", machine=seen.vm.name, uuid=uuid)
        except (VirtError, StateUnusable) as error:
            log.warning("machine is not cut off", machine=seen.vm.name, uuid=uuid, why=str(error))
