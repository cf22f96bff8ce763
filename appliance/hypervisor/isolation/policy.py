"""Cuts machines off after detections, as the settings say.

What happened is heard from the SVM's events, from the one after the last that was dealt with: its number is
on the disk, so nothing is missed over a restart of either. The first time, what was before is left alone.

    position.json  {after: the number of an event}
"""

import asyncio
import json
import time
from collections import deque
from contextlib import suppress

import structlog
from lightagent.v1 import events_pb2

from appliance.domain.event import EventKind
from appliance.hypervisor.changes import VmSeen
from appliance.hypervisor.files import StateUnusable, read_bounded, write_durably
from appliance.hypervisor.isolation.enforcing import isolator_of
from appliance.hypervisor.isolation.isolator import Order
from appliance.hypervisor.isolation.wanted import Want, Wanted
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.virt.connection import VirtError
from appliance.identity.names import is_uuid
from appliance.rpc.admin_client import AdminError
from appliance.rpc.events_admin import MAX_EVENTS

FOLLOW_SECONDS = 120.0  # then it is asked anew: a connection that broke unnoticed is found by that
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
AGAIN_SECONDS = 5.0  # so often it is tried to cut off what could not be
ISOLATE_SECONDS = 600.0  # with a snapshot of its memory
_HOUR = 3600.0

log = structlog.get_logger("svm-host")

_KINDS = {
    "malicious": EventKind.DETECTION,
    "suspicious": EventKind.DETECTION,
    "outbreak": EventKind.OUTBREAK,
    "clone": EventKind.CLONE,
}


def reason_in(event: events_pb2.Event, on: tuple[str, ...]) -> str:
    """Why machines are to be cut off after an event, "" where they are not. on: of the settings.

    What a guest says alone counts for nothing.
    """
    if event.HasField("said"):
        return ""
    for word in on:
        if event.kind == _KINDS[word] and (
            event.kind != EventKind.DETECTION or event.text.partition(",")[0] == word
        ):
            threat = f" {event.threat}" if event.threat else ""
            return f"{word}{threat} (event {event.number})"
    return ""


def concerned(event: events_pb2.Event) -> list[str]:
    """The guests of an event."""
    return [event.guest] if event.guest else list(event.guests)


class IsolationPolicy:
    """A part of `serve`; does nothing where `isolation.on` is empty.

    What is heard is noted as wanted first, and done from there: at once, or when its host is back.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._settings = serving.settings.isolation
        self._isolator = isolator_of(serving.settings)
        self._wanted = Wanted(serving.settings.state_dir)
        self._path = serving.settings.state_dir / "position.json"
        self._some = asyncio.Event()
        self._cut_off: deque[float] = deque()
        self._problem = ""

    async def run(self) -> None:
        """Hear of what happens, until cancelled."""
        if not self._settings.on or not self._serving.settings.svm.server:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear())
            group.create_task(self._do_wanted())

    async def _hear(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._follow()
            except (AdminError, StateUnusable) as error:
                if time.monotonic() - began < FOLLOW_SECONDS:
                    self._say(str(error))
                    pause = min(2 * pause, LONGEST_PAUSE)
                    await asyncio.sleep(pause)
                    continue
            pause = FIRST_PAUSE

    async def _follow(self) -> None:
        """Note events for as long as one call of them lasts. Raises AdminError, StateUnusable."""
        after = await self._position()
        kinds = sorted({_KINDS[word] for word in self._settings.on})
        limit = 0 if after else MAX_EVENTS  # where there was none yet, all of them are news
        request = events_pb2.ListEventsRequest(kinds=kinds, after=after, limit=limit, follow=True)
        events = self._serving.svm.client().events(request, FOLLOW_SECONDS)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            self._say("")
            await asyncio.to_thread(self._note, event)
            self._some.set()

    async def _position(self) -> int:
        """After which event to go on: the last that was noted, at first the newest that there is."""
        text = await asyncio.to_thread(read_bounded, self._path, 1024)
        if text is not None:
            try:
                return max(0, int(json.loads(text)["after"]))
            except (ValueError, KeyError, TypeError) as error:
                raise StateUnusable(f"{self._path} is not what svm-host wrote: remove it") from error
        request = events_pb2.ListEventsRequest(limit=1)
        newest = await self._serving.svm.ask(lambda svm: [event.number for event in svm.events(request)])
        after = max(newest, default=0)
        await asyncio.to_thread(self._keep, after)
        return after

    def _note(self, event: events_pb2.Event) -> None:
        """Keep on the disk what follows from an event, and then that it was heard. Raises StateUnusable."""
        reason = reason_in(event, self._settings.on)
        for guest in concerned(event) if reason else ():
            if is_uuid(guest):
                self._wanted.put(guest, Want(reason, time.time()))
        self._keep(event.number)

    async def _do_wanted(self) -> None:
        """Cut off what is wanted: when something is noted, and now and then."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._some.wait()
            self._some.clear()
            for uuid, want in (await asyncio.to_thread(self._wanted.all)).items():
                seen = self._serving.changes.of_uuid(uuid)
                all_listed = all(line.listed for line in self._serving.hosts.values())
                if (seen is None and not all_listed) or (seen and not await self._isolate(seen, want.reason)):
                    continue  # its host may come back
                await asyncio.to_thread(self._wanted.remove, uuid)

    async def _isolate(self, seen: VmSeen, reason: str) -> bool:
        """Cut a machine off; whether no more is to be done."""
        line, vm = self._serving.hosts[seen.host], seen.vm
        known = vm.uuid in await asyncio.to_thread(self._isolator.records.uuids)
        if vm.marks.svm or (not known and self._is_enough()):
            log.warning("machine is left alone", machine=vm.name, uuid=vm.uuid, reason=reason)
            return True
        order = Order(reason, "policy", self._settings.snapshot)
        try:
            done = await line.ask(
                lambda host: self._isolator.isolate(host, vm.uuid, vm.name, order), ISOLATE_SECONDS
            )
        except (VirtError, StateUnusable) as error:
            log.error("machine is not cut off", machine=vm.name, uuid=vm.uuid, why=str(error))
            return False
        if not done.already:
            self._cut_off.append(time.monotonic())
        if not done.up and not done.already:
            log.warning("machine is cut off", machine=vm.name, uuid=vm.uuid, reason=reason)
        if done.up:
            why = "; ".join((done.how_far, *done.problems))
            if len(done.up) < done.links:
                log.error("machine is cut off in part", machine=vm.name, uuid=vm.uuid, why=why)
            else:
                log.error("machine is not cut off", machine=vm.name, uuid=vm.uuid, why=why)
        elif done.problems:
            log.error("machine has no snapshot", machine=vm.name, uuid=vm.uuid, why=done.problems[-1])
        self._serving.changes.publish(seen)  # by which the SVM is told
        return True

    def _is_enough(self) -> bool:
        """Whether so many were cut off within an hour that no more are."""
        now = time.monotonic()
        while self._cut_off and now - self._cut_off[0] >= _HOUR:
            self._cut_off.popleft()
        return len(self._cut_off) >= self._settings.at_most_per_hour

    def _keep(self, number: int) -> None:
        write_durably(self._path, json.dumps({"after": number}))

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("events are not heard", why=problem)
        elif self._problem and not problem:
            log.info("events are heard again")
        self._problem = problem
