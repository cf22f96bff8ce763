"""Looks at every machine now and then. One that is left unprotected for longer than a grace becomes an event,
once, and another when it is protected again.

A host of which nothing was told recently is not looked at: nobody knows whether its machines run. That an
event was noted is written down at the next look, when the event is on the disk as well: killed between, it
comes twice.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from appliance.domain.event import EventKind
from appliance.domain.vm import HostAgent, Protection, VmPower, protection_of
from appliance.inventory.register import PlacedVm, VmRegister
from appliance.state.vms import VmNotes

TOLD_BY_HOSTS = (EventKind.VM_ISOLATED, EventKind.VM_RELEASED)


class Guests(Protocol):
    """What else the SVM knows of a machine's guest, by UUID."""

    def attached(self, uuid: str) -> bool:
        """Whether its daemon is, now."""

    def tenant(self, uuid: str) -> str | None:
        """Whose it is by its certificate; None where no such guest has enrolled."""


@dataclass(frozen=True, slots=True)
class VmView:
    """A machine, as administrators see it. tenant: "" for nobody's. Times: since the epoch, 0 for none."""

    placed: PlacedVm
    protection: Protection
    tenant: str
    unprotected_since: float = 0.0
    scanned_at: float = 0.0


@dataclass(frozen=True, slots=True)
class VmEvent:
    """Something to be noted of a machine. actor: the host agent that tells it, "" for the SVM itself."""

    kind: EventKind
    view: VmView
    text: str
    actor: str = ""


class Each(Protocol):
    """Has each of many taken, and others be answered meanwhile: `rpc.admin_turns.Turns.each`."""

    def __call__(self, items: Iterable[PlacedVm], take: Callable[[PlacedVm], object], /) -> Awaitable[None]:
        """Return when all are."""


class VmWatch:
    """on_event: told of what is noted. clock: seconds since the epoch."""

    def __init__(
        self, register: VmRegister, guests: Guests, grace_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.register = register
        self.on_event: list[Callable[[VmEvent], None]] = []
        self.clock = clock
        self._guests = guests
        self._grace = grace_seconds
        self._since: dict[tuple[str, str], float] = {}
        self._unsaved: dict[str, VmNotes] = {}
        self._counts: Counter[Protection] = Counter()

    async def look(self, each: Each) -> None:
        """Look at all. Raises StateError where what was noted cannot be written; it is tried again."""
        await self.register.note(list(self._unsaved.items()))
        self._unsaved.clear()
        now, seen, counts = self.clock(), set[tuple[str, str]](), Counter[Protection]()

        def look_at(placed: PlacedVm) -> None:
            view = self._view(placed)
            counts[view.protection] += 1
            seen.add(placed.key)
            if self.register.is_fresh(placed.host, now):
                self._look_at(view, now)

        await each(self.register.all(), look_at)
        self._counts = counts
        for key in [key for key in self._since if key not in seen]:
            del self._since[key]

    def views(self, tenant: str) -> Iterator[VmView]:
        """Every machine, of a tenant or ("") of all, by host and name; each when it is its turn."""
        for placed in self.register.all():
            view = self._view(placed)
            if tenant in ("", view.tenant):
                yield view

    def told(self, agent: HostAgent, uuid: str, kind: EventKind, text: str) -> VmEvent:
        """What a host agent tells of a machine, to be noted. Raises HostRefused."""
        view = self._view(self.register.told_of(agent, uuid, self.clock()))
        return VmEvent(kind, view, f"{_named(view)}: {text}", agent.author)

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status, by the last look."""
        now = self.clock()
        return {
            "vms": self._counts.total(),
            **{f"vms_{each.replace('-', '_')}": float(self._counts[each]) for each in Protection},
            "vms_hosts": len(self.register.hosts()),
            "vms_hosts_silent": sum(not self.register.is_fresh(host, now) for host in self.register.hosts()),
        }

    def _view(self, placed: PlacedVm) -> VmView:
        vm = placed.vm
        enrolled = self._guests.tenant(vm.uuid)
        protection = protection_of(vm, self._guests.attached(vm.uuid), enrolled is not None)
        notes = self.register.notes(vm.uuid)
        since = self._since.get(placed.key, 0.0) if protection.is_wanting else 0.0
        whose = vm.tenant if enrolled is None else enrolled
        return VmView(
            placed, protection, whose, notes.told if since and notes.told else since, notes.scanned_at
        )

    def _look_at(self, view: VmView, now: float) -> None:
        vm, key = view.placed.vm, view.placed.key
        notes = self._unsaved.get(vm.uuid, self.register.notes(vm.uuid))
        if view.protection.is_wanting and vm.power is VmPower.RUNNING:
            since = self._since.setdefault(key, now)
            if not notes.told and now - since >= self._grace:
                text = (
                    f"{_named(view)} has not been protected for {now - since:.0f} s: {_WHY[view.protection]}"
                )
                self._tell(VmEvent(EventKind.VM_UNPROTECTED, view, text), replace(notes, told=since))
            return
        self._since.pop(key, None)
        if not notes.told:
            return
        if view.protection is Protection.PROTECTED:
            text = f"{_named(view)} is protected again, after {max(0.0, now - notes.told):.0f} s"
            self._tell(VmEvent(EventKind.VM_PROTECTED, view, text), replace(notes, told=0.0))
        elif not self._runs_elsewhere(
            view
        ):  # off, or excluded now: that time is over, and nothing protects it
            self._unsaved[vm.uuid] = replace(notes, told=0.0)

    def _runs_elsewhere(self, view: VmView) -> bool:
        """Whether the machine of a UUID is being watched on another host."""
        return any(uuid == view.placed.vm.uuid for _, uuid in self._since)

    def _tell(self, event: VmEvent, notes: VmNotes) -> None:
        self._unsaved[event.view.placed.vm.uuid] = notes
        for told in self.on_event:
            told(event)


_WHY = {
    Protection.SILENT: "it has enrolled, and no stub of it is attached",
    Protection.NOT_ENROLLED: "no guest of it has enrolled",
}


def _named(view: VmView) -> str:
    return f"{view.placed.vm.name} on {view.placed.host_name or view.placed.host}"
