"""Cuts machines off and gives their networks back. Calls block: who serves others calls from a thread.

How each link was is on the disk before it is taken down. To be given back, a machine is marked first: killed
anywhere, the next call of either kind goes on from what the mark says.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from appliance.domain.event import EventKind
from appliance.hypervisor.inventory.outbox import ForSvm, Outbox
from appliance.hypervisor.isolation.kept import kept
from appliance.hypervisor.isolation.records import ISOLATED, RELEASING, Record, Records
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.links import DOWN, Links, read_links, set_links
from appliance.hypervisor.virt.snapshots import make_snapshot

_MOST_TOLD = 8  # links, in a sentence


@dataclass(frozen=True, slots=True)
class Done:
    """What was done. already: it was so before. links: of how many; up: the names of those that are not down.

    problems: sentences, of links and a snapshot that failed.
    """

    already: bool = False
    links: int = 0
    snapshot: str = ""
    problems: tuple[str, ...] = ()
    up: tuple[str, ...] = ()

    @property
    def how_far(self) -> str:
        """How far a machine is cut off, for people."""
        return _how_far(self.links, self.up)


@dataclass(frozen=True, slots=True)
class Order:
    """Why a machine is to be cut off, by whom, and whether a snapshot is wanted."""

    reason: str
    by: str
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Isolator:
    """keep: networks and bridges that stay, besides what `deploy` made; none of them: nothing stays.

    clock: seconds since the epoch. step: called before each step.
    """

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
                links = self._links(host, uuid) if record is None else record.links
                record = Record(uuid, host.uri, name, self.clock(), order.reason, order.by, links=links)
                self.step("record")
                self.records.put(record)
            self.step("links")
            record, now, problems = self._take_down(host, record)
            made = ""
            if order.snapshot:
                self.step("snapshot")
                try:
                    made = make_snapshot(host, uuid, f"kvmla-isolated-{int(record.since)}")
                except VirtError as error:
                    problems.append(str(error))
            return Done(already, _count(now), made, tuple(problems), tuple(record.up))

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
            states = [state for links in self._links(host, uuid).values() for state in links.values()]
            record, now, problems = self._take_down(host, record)
            if problems:
                far = _how_far(_count(now), record.up)
                raise VirtError(f"machine {record.name} {far}: {'; '.join(problems)}")
            return any(state != DOWN for state in states)

    def _links(self, host: VirtHost, uuid: str) -> Links:
        """Those that are to be down. Raises VirtError."""
        return read_links(host, uuid, kept(host, self.keep))

    def _take_down(self, host: VirtHost, record: Record) -> tuple[Record, Links, list[str]]:
        """Note links that are new to the record, take all of them down, and have the SVM told how far.

        Return the record, the links as they are now, and what could not be done.
        """
        now = self._links(host, record.uuid)
        known = _merged(record.links, now)
        if known != record.links:
            record = replace(record, links=known)
            self.step("note")
            self.records.put(record)
        self.step("down")
        down = {where: dict.fromkeys(links, DOWN) for where, links in now.items()}
        problems = set_links(host, record.uuid, down)
        now = self._links(host, record.uuid)
        up = sorted({name for links in now.values() for name, state in links.items() if state != DOWN})
        if up != record.up:
            record = replace(record, up=up, told=False)
            self.records.put(record)
        return self._tell_isolated(record, _count(now)), now, problems

    def _give_back(self, host: VirtHost, record: Record, by: str) -> Done:
        self.step("up")
        problems = set_links(host, record.uuid, record.links)
        if not problems:
            self._tell(record, EventKind.VM_RELEASED, f"released by {by}")
            self.step("forget")
            self.records.remove(record.uuid)
        return Done(links=_count(record.links), problems=tuple(problems))

    def _tell_isolated(self, record: Record, links: int) -> Record:
        """Have the SVM told of it, anew where it is cut off otherwise; not where it is not cut off at all."""
        if record.told or (record.up and len(record.up) == links):
            return record
        part = f" in part ({', '.join(record.up[:_MOST_TOLD])} up)" if record.up else ""
        self._tell(record, EventKind.VM_ISOLATED, f"cut off{part} by {record.by}: {record.reason}")
        self.step("told")
        record = replace(record, told=True)
        self.records.put(record)
        return record

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


def _how_far(links: int, up: Sequence[str]) -> str:
    if not up:
        return f"is cut off: {links} links"
    if len(up) == links:
        return f"is not cut off: of {links} links none is down"
    more = " and others" if up[_MOST_TOLD:] else ""
    down = links - len(up)
    return f"is cut off in part: of {links} links {down} down, up: {', '.join(up[:_MOST_TOLD])}{more}"


def _count(links: Links) -> int:
    return len({name for each in links.values() for name in each})
