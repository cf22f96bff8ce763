"""A desk over a real state.lmdb, at a time that the test sets, and programs of guests that attach to it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.domain.guest import DEFAULT_TENANT_SCOPE, Guest
from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.scan import ScanCounts, ScanOrder, ScanReport, ScanState
from appliance.scans.capacity import CapacityTerms
from appliance.scans.desk import Clocks, Desk, DeskTerms
from appliance.scans.news import ScanNews
from appliance.scans.orders import Orders, Wanted
from appliance.scans.pressure import Pressure, PressureReader
from appliance.state.environment import StateEnvironment
from appliance.state.scan_orders import ScanOrderStore

NOON = 1_900_000_000
DAY = 86400.0
TERMS = DeskTerms(CapacityTerms(2, 1, Pressure(60, 40, 10, 10)), 60.0, 7 * DAY)


@dataclass(slots=True, eq=False)
class Program:
    """An attached program of a guest."""

    guest: Guest
    is_daemon: bool = True
    scan_news: ScanNews = field(default_factory=ScanNews)
    news: asyncio.Event = field(default_factory=asyncio.Event)


def program(name: str = "ip-1", scope: int = DEFAULT_TENANT_SCOPE, daemon: bool = True) -> Program:
    """A daemon of a guest, or another program of it."""
    return Program(Guest(name, scope), daemon)


@dataclass
class Office:
    """The desk and what it hangs on. now: seconds since the epoch, and the monotonic clock as well."""

    directory: Path
    environment: StateEnvironment
    desk: Desk
    clock: list[float]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock[0] += seconds

    async def order(self, *guests: str, due_in: int = 0, paths: tuple[bytes, ...] = ()) -> list[ScanOrder]:
        """Have guests scanned."""
        wanted = Wanted(paths, "uid-0", int(self.clock[0]) + due_in)
        placed = await self.desk.orders.place(dict.fromkeys(guests, DEFAULT_TENANT), wanted)
        return [each.order for each in placed if each.order is not None]

    async def says(self, who: Program, scan: bytes, state: ScanState, **counts: int) -> None:
        """Have a program say how a scan stands."""
        await self.desk.said(who, ScanReport(scan, state, ScanCounts(**counts)))

    def state(self, order: ScanOrder) -> ScanState:
        """How an order stands."""
        current = self.desk.orders.get(order.id)
        assert current is not None
        return self.desk.view(current).state


@contextmanager
def office(directory: Path, terms: DeskTerms = TERMS, now: float = NOON) -> Iterator[Office]:
    """A desk, as after a start; what an earlier one left in the directory is there."""
    environment = StateEnvironment.open(directory)
    clock = [now]

    def tell() -> float:
        return clock[0]

    orders = Orders(ScanOrderStore(environment), 30 * DAY, tell)
    (directory / "proc").mkdir(exist_ok=True)
    desk = Desk(orders, terms, Clocks(tell, tell), PressureReader(directory / "proc"))
    try:
        yield Office(directory, environment, desk, clock)
    finally:
        environment.close()


def with_slots(count: int) -> DeskTerms:
    """Terms with so many slots."""
    return replace(TERMS, capacity=CapacityTerms(count, 0, TERMS.capacity.limits))
