"""Cuts machines off and gives their networks back. Calls block: who serves others calls from a thread.

How each link was is on the disk before it is taken down. To be given back, a machine is marked first: killed
anywhere, the next call of either kind goes on from what the mark says.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from appliance.domain.event import EventKind
from appliance.hypervisor.inventory.outbox import ForSvm, Outbox
from appliance.hypervisor.isolation.records import ISOLATED, RELEASING, Record, Records
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.links import DOWN, Links, read_links, set_links
from appliance.hypervisor.virt.snapshots import make_snapshot


@dataclass(frozen=True, slots=True)
class Done:
    """What was done. already: it was so before. problems: sentences, of links and a snapshot that failed."""

    already: bool = False
    links: int = 0
    snapshot: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Why a machine is to be cut off, by whom, and whether a snapshot is wanted."""

    reason: str
    by: str
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Isolator:
    """keep: networks and bridges that stay. clock: seconds since the epoch. step: called before each step."""

    records: Records
    outbox: Outbox
    keep: Collection[str]
    clock: Callable[[], float]
    step: Callable[[str], None] = field(default=lambda _name: None)

    def isolate(self, host: VirtHost, uuid: str, name: str, order: Order) -> Done:
        """Cut a machine off. Raises VirtError, StateUnusable; what was done then is gone on with, or
        released.
        """
        with self.records.changing():
            record = self.records.get(uuid)
            already = record is not None
            if record is None or record.phase != ISOLATED:
                links = read_links(host, uuid, self.keep) if record is None else record.links
                record = Record(uuid, host.uri, name, self.clock(), order.reason, order.by, links=links)
                self.step("record")
                self.records.put(record)
            self.step("links")
            record, problems = self._take_down(host, record)
            self._tell_isolated(record)
            made = ""
            if order.snapshot:
                self.step("snapshot")
                try:
                    made = make_snapshot(host, uuid, f"kvmla-isolated-{int(record.since)}")
                except VirtError as error:
                    problems.append(str(error))
            return Done(already, _count(record.links), made, tuple(problems))

    def release(self, host: VirtHost, uuid: str, by: str) -> Done:
        """Give a machine its networks back, as they were. Raises VirtError, StateUnusable."""
        with self.records.changing():
            record = self.records.get(uuid)
            if record is None:
                return Done(already=True)
            self.step("mark")
            record = replace(record, phase=RELEASING)
            self.records.put(record)
            return self._give_back(host, record, by)

    def enforce(self, host: VirtHost, uuid: str) -> bool:
        """Cut off again what a machine that is cut off has now, or end its release; whether there was
        anything.

        Raises VirtError, StateUnusable.
        """
        with self.records.changing():
            record = self.records.get(uuid)
            if record is None:
                return False
            if record.phase == RELEASING:
                return not self._give_back(host, record, "svm-host").problems
            states = [
                state for links in read_links(host, uuid, self.keep).values() for state in links.values()
            ]
            record, problems = self._take_down(host, record)
            self._tell_isolated(record)
            if problems:
                raise VirtError(f"machine {record.name} is cut off in part alone: {'; '.join(problems)}")
            return any(state != DOWN for state in states)

    def _take_down(self, host: VirtHost, record: Record) -> tuple[Record, list[str]]:
        """Note links that are new to the record, then take all of them down."""
        now = read_links(host, record.uuid, self.keep)
        known = _merged(record.links, now)
        if known != record.links:
            record = replace(record, links=known)
            self.step("note")
            self.records.put(record)
        self.step("down")
        down = {where: dict.fromkeys(links, DOWN) for where, links in now.items()}
        return record, set_links(host, record.uuid, down)

    def _give_back(self, host: VirtHost, record: Record, by: str) -> Done:
        self.step("up")
        problems = set_links(host, record.uuid, record.links)
        if not problems:
            self._tell(record, EventKind.VM_RELEASED, f"released by {by}")
            self.step("forget")
            self.records.remove(record.uuid)
        return Done(links=_count(record.links), problems=tuple(problems))

    def _tell_isolated(self, record: Record) -> None:
        """Have the SVM told of it, once for each record."""
        if not record.told:
            self._tell(record, EventKind.VM_ISOLATED, f"cut off by {record.by}: {record.reason}")
            self.step("told")
            self.records.put(replace(record, told=True))

    def _tell(self, record: Record, kind: EventKind, text: str) -> None:
        self.step("tell")
        event = ForSvm(record.host, record.uuid, kind, text, self.clock())
        self.outbox.put(f"{record.id}-{kind}", event)


def _merged(known: Links, now: Links) -> Links:
    """What is known of links, with those that are new.

    One that is new here and is known in the other place, as it is when a machine is started, was as it is
    there; one that is known nowhere was as it is now.
    """
    anywhere = {name: state for links in known.values() for name, state in links.items()}
    return {
        where: {name: anywhere.get(name, state) for name, state in now.get(where, {}).items()}
        | known.get(where, {})
        for where in {*known, *now}
    }


def _count(links: Links) -> int:
    return len({name for each in links.values() for name in each})
