"""Attached guests and their scans: which are told to begin, how they stand, which have a slot.

An order is told to its guest's daemon when it attaches and when the order falls due. What a guest says of it
is kept in memory; that it ended, on the disk first. A scan that somebody in the guest began only asks for a
slot. All that guests say is their word: nothing but what administrators see, and a turn, hangs on it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from appliance.domain.guest import Guest, user_of
from appliance.domain.scan import ScanCounts, ScanOrder, ScanReport, ScanState
from appliance.scans.board import Board
from appliance.scans.capacity import Capacity, CapacityTerms
from appliance.scans.news import ScanNews
from appliance.scans.orders import End, Orders
from appliance.scans.pressure import Pressure, PressureReader
from appliance.scans.slots import Claim, Slots
from appliance.state.environment import StateError

MOST_OWN_SCANS: Final = 4  # of one session, beside those that were ordered

_SETTLE_SECONDS = 0.05  # between two looks at who gets a slot; the first change is not held up
_log = logging.getLogger(__name__)


class TooManyScans(Exception):
    """A session has begun more scans than it may have."""


class Participant(Protocol):
    """An attached program of a guest. news: to be set when something is to be told."""

    @property
    def guest(self) -> Guest:
        """Whose it is."""

    @property
    def is_daemon(self) -> bool:
        """Whether it is what protects the guest."""

    @property
    def scan_news(self) -> ScanNews:
        """What it is to be told."""

    @property
    def news(self) -> asyncio.Event:
        """Set when there is some."""


@dataclass(frozen=True, slots=True)
class DeskTerms:
    """capacity: how many slots. turn_seconds: how long one is kept. wait_seconds: for a guest to come."""

    capacity: CapacityTerms
    turn_seconds: float = 60.0
    wait_seconds: float = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """now: seconds since the epoch. monotonic: seconds that never go back."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class ScanView:
    """An order as it stands."""

    order: ScanOrder
    state: ScanState
    counts: ScanCounts
    text: str


@dataclass(slots=True, eq=False)
class _Place:
    """An attached session. own: scans that somebody in the guest began."""

    number: int
    session: Participant
    own: set[bytes] = field(default_factory=set)
    ordered: set[bytes] = field(default_factory=set)

    def claim(self, scan: bytes) -> Claim:
        """What a scan of this session has, or waits for, its slot as."""
        guest = self.session.guest
        return Claim(self.number, scan, guest.scope, user_of(guest.id))


class Desk:
    """Lives on one event loop; `tick` is to be called about every second.

    orders: what was ordered. board: which of it changed. pressure: as it was seen last.
    """

    def __init__(
        self,
        orders: Orders,
        terms: DeskTerms,
        clocks: Clocks,
        reader: PressureReader,
        opens_waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        """opens_waiting: contents that no worker has yet though somebody's open waits for them."""
        self.orders = orders
        self.board = Board()
        self.slots = Slots(terms.capacity.most, terms.turn_seconds)
        self.pressure = Pressure()
        self.counts = {"scan_orders": 0, "scan_orders_ended": 0}
        self._capacity = Capacity(terms.capacity)
        self._terms = terms
        self._clocks = clocks
        self._reader = reader
        self._opens_waiting = opens_waiting
        self._told_missing = False
        self._numbers = 0
        self._places: dict[Participant, _Place] = {}
        self._by_number: dict[int, _Place] = {}
        self._daemons: dict[str, _Place] = {}
        self._reports: dict[bytes, ScanReport] = {}  # of open orders: the last, of whichever session
        self._ends: dict[bytes, End] = {}  # that could not be written yet
        self._due: set[bytes] = {order.id for order in orders.open() if self._is_due(order)}
        self._settling: asyncio.TimerHandle | None = None
        self._settled_at = 0.0
        orders.on_ordered.append(self._ordered)
        orders.on_ended.append(self._ended)
        orders.on_forgotten.append(self.board.forget)

    # -- guests --------------------------------------------------------------------------------

    def attached(self, session: Participant) -> None:
        """A program of a guest attached; its daemon is told of what is due."""
        self._numbers += 1
        place = self._places[session] = self._by_number[self._numbers] = _Place(self._numbers, session)
        if session.is_daemon:
            self._daemons[session.guest.id] = place
            for order in self._open_of(session.guest):
                self.board.touch(order.id)
                self._tell_task(order)

    def detached(self, session: Participant) -> None:
        """It went: its slots are free."""
        place = self._places.pop(session, None)
        if place is None:
            return
        del self._by_number[place.number]
        for scan in place.own | place.ordered:
            self.slots.leave(place.claim(scan))
        if self._daemons.get(session.guest.id) is place:
            del self._daemons[session.guest.id]
            for order in self._open_of(session.guest):
                self.board.touch(order.id)
        self._settle_soon()

    def has_daemon(self, guest: str) -> bool:
        """Whether what protects a guest is attached."""
        return guest in self._daemons

    def guests(self) -> Mapping[str, str]:
        """The guests that are attached, and whose each is."""
        return {session.guest.id: session.guest.tenant for session in self._places}

    async def said(self, session: Participant, report: ScanReport) -> None:
        """Take what a guest says of a scan. Raises TooManyScans."""
        place = self._places.get(session)
        if place is None:
            return
        order = self.orders.get(report.id)
        daemon = self._daemons.get(session.guest.id) is place
        if order is not None and _is_of(session.guest, order) and daemon:
            await self._said_of_order(place, order, report)
        elif report.state.is_end:
            place.own.discard(report.id)
            self._leave(place, report.id)
        else:
            if report.id not in place.own and len(place.own) >= MOST_OWN_SCANS:
                raise TooManyScans(
                    f"{MOST_OWN_SCANS} scans of this session are not over, which is all: end one of them"
                )
            place.own.add(report.id)
            self._wants_slot(place, report)

    async def _said_of_order(self, place: _Place, order: ScanOrder, report: ScanReport) -> None:
        if not order.is_open or not self._is_due(order):
            if not report.state.is_end and not order.is_open:
                self._tell_cancelled(place, order.id)
            return
        self._reports[order.id] = report
        self.board.touch(order.id)
        if report.state.is_end:
            self._leave(place, order.id)
            place.ordered.discard(order.id)
            await self._end({order.id: End(report.state, report.counts, report.text)})
        else:
            place.ordered.add(order.id)
            self._wants_slot(place, report)

    def _wants_slot(self, place: _Place, report: ScanReport) -> None:
        claim = place.claim(report.id)
        self.slots.enter(claim)
        if not self.slots.has(claim):
            if report.state is ScanState.RUNNING:  # it was taken, or never given
                self._tell_slot(claim, granted=False)
            self._settle_soon()

    def _leave(self, place: _Place, scan: bytes) -> None:
        self.slots.leave(place.claim(scan))
        place.session.scan_news.slots.pop(scan, None)
        self._settle_soon()

    # -- administrators ------------------------------------------------------------------------

    async def cancel(self, scans: Iterable[bytes], actor: str) -> int:
        """Call orders off; how many of them were open. Raises StateError.

        actor: whose command does it; what is kept is the user, since the process is gone at once.
        """
        ends = {}
        for scan in scans:
            report = self._reports.get(scan)
            counts = ScanCounts() if report is None else report.counts
            ends[scan] = End(ScanState.CANCELLED, counts, f"called off by {user_of(actor)}", actor)
        return len(await self.orders.end(ends))

    def view(self, order: ScanOrder) -> ScanView:
        """How an order stands."""
        if not order.is_open:
            return ScanView(order, order.state, order.counts, order.text)
        report = self._reports.get(order.id)
        counts, text = (ScanCounts(), "") if report is None else (report.counts, report.text)
        place = self._daemon_of(order)
        if not self._is_due(order):
            state = ScanState.SCHEDULED
        elif place is None:
            state = ScanState.AWAY
        else:
            state = ScanState.RUNNING if self.slots.has(place.claim(order.id)) else ScanState.WAITING
        return ScanView(order, state, counts, text)

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status."""
        return {
            **self.counts,
            "scan_orders_open": len(self.orders.open()),
            "scan_slots": self.slots.allowed,
            "scan_slots_most": self._terms.capacity.most,
            "scan_slots_used": self.slots.running,
            "scan_slots_waiting": self.slots.waiting,
            "pressure_cpu": self.pressure.cpu,
            "pressure_io": self.pressure.io,
            "pressure_memory": self.pressure.memory,
            "pressure_steal": self.pressure.steal,
            "pressure_level": self._capacity.level,
        }

    # -- time ----------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Look at the pressure and the time; raises nothing."""
        self.pressure = self._reader.read()
        if self._reader.missing and not self._told_missing:
            self._told_missing = True
            _log.warning(
                "this kernel does not tell %s: scans are not held back by that",
                ", ".join(f"/proc/{name}" for name in sorted(self._reader.missing)),
            )
        now = self._clocks.monotonic()
        self.slots.allowed = self._capacity.look(self.pressure, self._opens_waiting(), now)
        self._settle()
        for order in self.orders.open():
            if order.id not in self._due and self._is_due(order):
                self._due.add(order.id)
                self.board.touch(order.id)
                self._tell_task(order)
        await self._end_overdue()

    async def _end_overdue(self) -> None:
        """End what could not be written before, and what nobody came for."""
        now, days = self._clocks.now(), self._terms.wait_seconds / 86400
        expired = End(ScanState.EXPIRED, text=f"its guest did not begin within {days:g} days")
        ends = {
            order.id: expired
            for order in self.orders.open()
            if order.due_at < now - self._terms.wait_seconds and not self._is_begun(order)
        }
        if ends or self._ends:
            await self._end({**ends, **self._ends})

    def _is_begun(self, order: ScanOrder) -> bool:
        """Whether its guest is at it, or at one before it: a daemon does one after the other."""
        place = self._daemon_of(order)
        return place is not None and bool(place.ordered)

    async def age(self) -> None:
        """Forget what is over for too long; raises nothing."""
        try:
            await self.orders.age()
        except StateError as error:
            _log.warning("scans that are over stay listed: %s", error)

    async def _end(self, ends: Mapping[bytes, End]) -> None:
        """Have orders be over; where that cannot be written, it is tried again."""
        try:
            await self.orders.end(ends)
        except StateError as error:
            if not self._ends:
                _log.warning("the end of a scan is not written, and tried again: %s", error)
            self._ends.update(ends)
        else:
            for scan in ends:
                self._ends.pop(scan, None)

    # -- the rest ------------------------------------------------------------------------------

    def _daemon_of(self, order: ScanOrder) -> _Place | None:
        """Where what protects an order's guest is attached, if it is, and is that tenant's still."""
        place = self._daemons.get(order.guest)
        return place if place is not None and _is_of(place.session.guest, order) else None

    def _open_of(self, guest: Guest) -> list[ScanOrder]:
        return [order for order in self.orders.open_of(guest.id) if _is_of(guest, order)]

    def _is_due(self, order: ScanOrder) -> bool:
        return order.due_at <= self._clocks.now()

    def _ordered(self, orders: Sequence[ScanOrder]) -> None:
        self.counts["scan_orders"] += len(orders)
        for order in orders:
            self.board.touch(order.id)
            if self._is_due(order):
                self._due.add(order.id)
                self._tell_task(order)

    def _ended(self, order: ScanOrder) -> None:
        self.counts["scan_orders_ended"] += 1
        report = self._reports.pop(order.id, None)
        self._due.discard(order.id)
        self._ends.pop(order.id, None)
        self.board.touch(order.id)
        place = self._daemon_of(order)
        if place is None:
            return
        place.ordered.discard(order.id)
        self._leave(place, order.id)
        if report is None or not report.state.is_end:
            self._tell_cancelled(place, order.id)

    def _tell_task(self, order: ScanOrder) -> None:
        place = self._daemon_of(order)
        if place is not None and self._is_due(order):
            place.session.scan_news.tasks[order.id] = order.paths
            place.session.news.set()

    def _tell_cancelled(self, place: _Place, scan: bytes) -> None:
        place.session.scan_news.tasks[scan] = None
        place.session.news.set()

    def _tell_slot(self, claim: Claim, granted: bool) -> None:
        place = self._by_number.get(claim.session)
        if place is None:
            return
        if claim.scan in place.ordered:
            self.board.touch(claim.scan)
        place.session.scan_news.slots[claim.scan] = granted
        place.session.news.set()

    def _settle_soon(self) -> None:
        if self._settling is None:
            loop = asyncio.get_running_loop()
            wait = self._settled_at + _SETTLE_SECONDS - loop.time()
            self._settling = loop.call_later(max(0.0, wait), self._settle)

    def _settle(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._settled_at = asyncio.get_running_loop().time()
        lost, given = self.slots.settle(self._clocks.monotonic())
        for claim in lost:
            self._tell_slot(claim, granted=False)
        for claim in given:
            self._tell_slot(claim, granted=True)


def _is_of(guest: Guest, order: ScanOrder) -> bool:
    """Whether an order is a guest's, and not of a tenant that had one of the name before."""
    return order.guest == guest.id and order.tenant == guest.tenant
