"""The part of `svm-host serve` that has machines enrol by themselves: which have a channel, who attends to
it.

Each machine that runs has a task of its own, so that none waits for another. A channel stays when its
machine has enrolled: one that has to enrol anew asks on it. Whose machine it is, and how often it may ask,
is kept by its UUID, also while it is off.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

import structlog

from appliance.hypervisor.attest.allowance import Allowance
from appliance.hypervisor.attest.channel import ChannelError, opened
from appliance.hypervisor.attest.conversation import Conversation
from appliance.hypervisor.attest.tokens import Machine, Tokens
from appliance.hypervisor.changes import Change, VmSeen
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.settings import EnrolmentSettings
from appliance.hypervisor.virt.channels import Plugged, plug
from appliance.hypervisor.virt.connection import VirtError

FIRST_PAUSE_SECONDS = 2.0  # before a channel is tried again; doubles each time
LONGEST_PAUSE_SECONDS = 120.0

log = structlog.get_logger("svm-host")


def enrols(settings: EnrolmentSettings, seen: VmSeen) -> bool:
    """Whether a machine is to enrol by itself: for whom has to be sure, since its certificate says it."""
    vm = seen.vm
    named = any(fnmatchcase(vm.name, pattern) for pattern in settings.exclude)
    left_out = named or seen.excluded or vm.marks.excluded or vm.marks.svm
    return settings.automatic and seen.sure and not left_out


@dataclass(frozen=True, slots=True)
class _Attended:
    """A task that attends to a machine, and for which tenant."""

    task: "asyncio.Task[None]"
    tenant: str


class Enrolling:
    """Has every machine that the settings mean have a channel, and answers on it."""

    def __init__(self, serving: Serving, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that never go back."""
        self._serving = serving
        self._settings = serving.settings.enrolment
        self._clock = clock
        self._tokens = Tokens(serving.svm, self._settings.svm)
        self._attended: dict[tuple[str, str], _Attended] = {}
        self._allowances: dict[str, Allowance] = {}

    async def run(self) -> None:
        """Do it until cancelled."""
        self._attended.clear()
        async with asyncio.TaskGroup() as group:
            async for change in self._serving.changes.subscribe():
                self._heard(change, group)
            for key in list(self._attended):
                self._leave(key)

    def _heard(self, change: Change, group: asyncio.TaskGroup) -> None:
        before = self._attended.get(change.key)
        if not isinstance(change, VmSeen) or not enrols(self._settings, change):
            self._leave(change.key)
            if not isinstance(change, VmSeen):
                self._allowances.pop(change.uuid, None)
            return
        running = before is not None and not before.task.done()
        if running and before is not None and before.tenant == change.tenant and not change.started:
            return
        self._leave(change.key)
        task = group.create_task(self._attend(change))
        self._attended[change.key] = _Attended(task, change.tenant)

    def _leave(self, key: tuple[str, str]) -> None:
        attended = self._attended.pop(key, None)
        if attended is not None:
            attended.task.cancel()

    async def _attend(self, seen: VmSeen) -> None:
        """Answer a machine until it does not run any more."""
        machine = Machine(seen.vm.uuid, seen.tenant)
        allowance = self._allowances.setdefault(machine.uuid, Allowance(self._clock))
        talk = Conversation(seen.vm.name, partial(self._tokens.offer, machine), allowance)
        pause, said = FIRST_PAUSE_SECONDS, ""
        while True:
            begun = self._clock()
            try:
                plugged = await self._plugged(seen)
                if plugged.socket is None:
                    return
                async with opened(plugged.socket) as line:
                    await talk.hold(line)
            except (VirtError, ChannelError) as error:
                if said != str(error):
                    said = str(error)
                    log.warning("a machine cannot enrol by itself", machine=seen.vm.name, why=said)
            pause = FIRST_PAUSE_SECONDS if self._clock() - begun > LONGEST_PAUSE_SECONDS else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _plugged(self, seen: VmSeen) -> Plugged:
        """The machine's channel. Raises VirtError."""
        plugged = await self._serving.hosts[seen.host].ask(lambda host: plug(host, seen.vm.uuid))
        if plugged.added:
            log.info("a machine got a channel for its enrolment", machine=seen.vm.name, guest=seen.vm.uuid)
        return plugged
