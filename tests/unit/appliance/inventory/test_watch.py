"""Machines that are left unprotected."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from appliance.domain.event import EventKind
from appliance.domain.vm import HostVm, Protection
from appliance.inventory.register import HostRefused, PlacedVm, RegisterTerms, VmRegister
from appliance.inventory.watch import VmEvent, VmWatch
from appliance.state.environment import StateEnvironment
from appliance.state.vms import VmStore
from tests.support.machines import DB, HOST, WEB, agent, off, running

GRACE = 300.0


@dataclass
class SetGuests:
    """Guests whose answers a test sets. enrolled: their tenants."""

    here: set[str] = field(default_factory=set)
    enrolled: dict[str, str] = field(default_factory=dict)

    def attached(self, uuid: str) -> bool:
        """As set."""
        return uuid in self.here

    def tenant(self, uuid: str) -> str | None:
        """As set."""
        return self.enrolled.get(uuid)


async def each(items: Iterable[PlacedVm], take: Callable[[PlacedVm], object]) -> None:
    """All at once."""
    for item in items:
        take(item)


class Watched:
    """A watch at a time that the test sets."""

    def __init__(self, store: VmStore) -> None:
        self.now = 10_000.0
        self.store = store
        self.guests = SetGuests()
        self.events: list[VmEvent] = []
        self.start()

    def start(self) -> None:
        """Begin from what is on the disk."""
        register = VmRegister(self.store, RegisterTerms(lease_seconds=1e6))
        self.watch = VmWatch(register, self.guests, GRACE, lambda: self.now)
        self.watch.on_event.append(self.events.append)

    async def look(self, seconds: float, *vms: HostVm) -> list[EventKind]:
        """Let so much time go, report, and look; the kinds of the events of it."""
        self.now += seconds
        if vms:
            await self.watch.register.report(agent(), vms, self.now)
        self.events.clear()
        await self.watch.look(each)
        return [event.kind for event in self.events]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A watch over nothing yet."""
    environment = StateEnvironment.open(tmp_path)
    yield Watched(VmStore(environment))
    environment.close()


async def test_a_machine_that_is_left_unprotected_is_told_of_once_and_when_it_is_protected_again(
    watched: Watched,
) -> None:
    """Not before the grace is over; each time anew."""
    assert await watched.look(0, running()) == []
    assert await watched.look(GRACE - 1) == []
    assert await watched.look(1) == [EventKind.VM_UNPROTECTED]
    assert watched.events[0].text == (
        "web on host-1 has not been protected for 300 s: no guest of it has enrolled"
    )
    assert await watched.look(GRACE) == []
    watched.guests.enrolled[WEB] = "acme"
    watched.guests.here.add(WEB)
    assert await watched.look(100) == [EventKind.VM_PROTECTED]
    assert "is protected again, after 700 s" in watched.events[0].text
    assert watched.events[0].view.tenant == "acme"
    watched.guests.here.clear()
    assert await watched.look(10) == []
    assert await watched.look(GRACE) == [EventKind.VM_UNPROTECTED]
    assert "no stub of it is attached" in watched.events[0].text


async def test_a_restart_of_the_svm_tells_it_no_second_time(watched: Watched) -> None:
    """Nor does it forget that it was told."""
    await watched.look(0, running())
    assert await watched.look(GRACE) == [EventKind.VM_UNPROTECTED]
    await watched.look(5)  # by which it is on the disk
    watched.start()
    assert await watched.look(0) == []
    assert await watched.look(GRACE) == []
    watched.guests.here.add(WEB)
    assert await watched.look(5) == [EventKind.VM_PROTECTED]


@pytest.mark.parametrize(
    "vm",
    [off(), replace(running(), excluded=True), replace(running(), svm=True)],
    ids=["off", "excluded", "svm"],
)
async def test_what_needs_no_protection_is_no_event(watched: Watched, vm: HostVm) -> None:
    """And ends a time in which it was wanting, without a word; the next time is another."""
    await watched.look(0, vm)
    assert await watched.look(GRACE) == []
    await watched.look(0, running())
    assert await watched.look(GRACE) == [EventKind.VM_UNPROTECTED]
    assert await watched.look(5, vm) == []
    await watched.look(0, running())
    assert await watched.look(GRACE) == [EventKind.VM_UNPROTECTED]


async def test_of_a_silent_host_nobody_knows_whether_its_machines_run(watched: Watched) -> None:
    """So they are no events, and are counted as they were."""
    await watched.look(0, running())
    assert await watched.look(1e6) == []
    figures = watched.watch.figures()
    assert (figures["vms_hosts"], figures["vms_hosts_silent"], figures["vms_not_enrolled"]) == (1, 1, 1)


async def test_a_machine_that_is_gone_is_watched_no_more(watched: Watched) -> None:
    """When it comes back its time begins anew."""
    await watched.look(0, running(), running(DB, "db"))
    await watched.look(GRACE / 2, running(DB, "db"))
    assert await watched.look(GRACE / 2, running(), running(DB, "db")) == [EventKind.VM_UNPROTECTED]
    assert watched.events[0].view.placed.vm.uuid == DB


async def test_whose_a_machine_is_the_certificate_says(watched: Watched) -> None:
    """Before there is one, its host; a tenant sees its own."""
    await watched.look(0, running(tenant="acme"), running(DB, "db", tenant="acme"))
    watched.guests.enrolled[DB] = "other"
    assert [view.placed.vm.uuid for view in watched.watch.views("acme")] == [WEB]
    assert [view.placed.vm.uuid for view in watched.watch.views("other")] == [DB]
    assert len(list(watched.watch.views(""))) == 2


async def test_since_when_a_machine_is_unprotected_is_shown(watched: Watched) -> None:
    """From the first look on; protected, it is not."""
    await watched.look(0, running())
    began = watched.now
    await watched.look(50)
    [view] = watched.watch.views("")
    assert (view.protection, view.unprotected_since) == (Protection.NOT_ENROLLED, began)
    watched.guests.here.add(WEB)
    [view] = watched.watch.views("")
    assert (view.protection, view.unprotected_since) == (Protection.PROTECTED, 0.0)


async def test_what_a_host_agent_tells_is_named(watched: Watched) -> None:
    """Only of a machine that it has reported."""
    await watched.look(0, running())
    event = watched.watch.told(agent(), WEB, EventKind.VM_ISOLATED, "by order")
    assert (event.kind, event.text, event.actor) == (
        EventKind.VM_ISOLATED,
        "web on host-1: by order",
        "host-agent anna",
    )
    assert event.view.placed.host == HOST
    with pytest.raises(HostRefused):
        watched.watch.told(agent(), DB, EventKind.VM_ISOLATED, "")
