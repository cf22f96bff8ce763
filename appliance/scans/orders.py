"""What administrators ordered: in memory to be looked at, on the disk before anybody hears of a change.

A change is made by one at a time. What is over is kept for a while, and makes way for new orders.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from appliance.changes import Changes
from appliance.domain.scan import SCAN_BYTES, ScanCounts, ScanOrder, ScanState, by_tenant, shown_paths
from appliance.state.audit import AuditEntry
from appliance.state.scan_orders import ScanOrderStore

MOST_ORDERS: Final = 16_384  # kept, open or over, but for:
FIRST_OF_TENANT: Final = 4  # that are open: they find room beside, whatever others have
MOST_OPEN_OF_GUEST: Final = 4

_AT_ONCE = 64  # guests, between two of which others are answered


class OrderRefused(Exception):
    """A scan cannot be ordered like that; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an administrator orders, for one guest or many. due_at: seconds since the epoch."""

    paths: tuple[bytes, ...]
    actor: str
    due_at: int


@dataclass(frozen=True, slots=True)
class Placed:
    """What came of it for one guest. order: None where it was refused, and `why` says that.

    already: it had been ordered before.
    """

    guest: str
    order: ScanOrder | None
    already: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How a scan ended. actor: the administrator who called it off, "" where it ended by itself."""

    state: ScanState
    counts: ScanCounts = field(default_factory=ScanCounts)
    text: str = ""
    actor: str = ""


class Orders:
    """All orders, open and over. Lives on one event loop; what changes something waits for the disk.

    on_ordered: called with orders that are new. on_ended: called with each that is over now. on_forgotten:
    called with the id of each that is kept no more.
    """

    def __init__(
        self,
        store: ScanOrderStore,
        keep_seconds: float,
        clock: Callable[[], float],
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """keep_seconds: how long an order that is over is kept. clock: seconds since the epoch.

        draw: random bytes. Raises StateDamaged.
        """
        self.on_ordered: list[Callable[[Sequence[ScanOrder]], None]] = []
        self.on_ended: list[Callable[[ScanOrder], None]] = []
        self.on_forgotten: list[Callable[[bytes], None]] = []
        self._store = store
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._draw = draw
        self._changing = asyncio.Lock()
        self._changes = Changes()
        found = sorted(store.all(), key=lambda order: order.ordered_at)
        self._orders = {order.id: order for order in found}  # in the order of ordering
        self._open: dict[str, dict[bytes, ScanOrder]] = {}  # guest -> id -> order
        self._of_tenant: dict[str, dict[bytes, ScanOrder]] = {}
        for order in found:
            self._note(order)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._orders)

    def get(self, scan: bytes) -> ScanOrder | None:
        """The order of an id, None where there is none, or none any more."""
        return self._orders.get(scan)

    def all(self, tenant: str = "") -> list[ScanOrder]:
        """Every order of a tenant, or ("") of all, the oldest first."""
        return list((self._of_tenant.get(tenant, {}) if tenant else self._orders).values())

    def open_of(self, guest: str) -> list[ScanOrder]:
        """A guest's orders that are not over, the oldest first."""
        return list(self._open.get(guest, {}).values())

    def open(self) -> list[ScanOrder]:
        """Every order that is not over."""
        return [order for orders in self._open.values() for order in orders.values()]

    async def place(self, guests: Mapping[str, str], wanted: Wanted) -> list[Placed]:
        """Order a scan of each guest; one that has the same open already keeps it. guests: whose each is.

        The same is one of the same paths; of two times the earlier counts then. Raises OrderRefused where
        there are too many orders, and StateError where they could not be written: nothing is ordered then.
        """
        return await self._changes.whole(self._place(guests, wanted))

    async def _place(self, guests: Mapping[str, str], wanted: Wanted) -> list[Placed]:
        async with self._changing:
            placed: list[Placed] = []
            for number, (guest, tenant) in enumerate(guests.items(), 1):
                placed.append(self._placed(guest, tenant, wanted))
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            changed = [
                each.order for each in placed if each.order and self._orders.get(each.order.id) != each.order
            ]
            new = [order for order in changed if order.id not in self._orders]
            drop = self._to_drop(new)
            entries = _audited("scan ordered", new, wanted.actor, self._clock())
            await asyncio.to_thread(self._store.write, changed, drop, entries)
            self._forget(drop)
            for order in changed:
                self._note(order)
        if new:
            for told in self.on_ordered:
                told(new)
        return placed

    async def end(self, ends: Mapping[bytes, End]) -> list[ScanOrder]:
        """Have orders be over, by id; those that are by this, as they are then.

        Raises StateError: all of them are open still then.
        """
        return await self._changes.whole(self._end(ends))

    async def _end(self, ends: Mapping[bytes, End]) -> list[ScanOrder]:
        async with self._changing:
            now = max(1, int(self._clock()))
            ended = [
                replace(order, ended_at=now, state=end.state, counts=end.counts, text=end.text)
                for scan, end in ends.items()
                if (order := self._orders.get(scan)) is not None and order.is_open
            ]
            called_off = [order for order in ended if ends[order.id].actor]
            entries = [
                entry
                for actor in dict.fromkeys(ends[order.id].actor for order in called_off)
                for entry in _audited(
                    "scan called off",
                    [order for order in called_off if ends[order.id].actor == actor],
                    actor,
                    self._clock(),
                )
            ]
            if ended:
                await asyncio.to_thread(self._store.write, ended, (), entries)
            for order in ended:
                self._note(order)
        for order in ended:
            for told in self.on_ended:
                told(order)
        return ended

    async def age(self) -> None:
        """Forget what is over for too long. Raises StateError."""
        await self._changes.whole(self._age())

    async def _age(self) -> None:
        async with self._changing:
            drop = self._aged()
            if drop:
                await asyncio.to_thread(self._store.write, [], drop)
                self._forget(drop)

    async def finish(self) -> None:
        """Return when no change is under way."""
        await self._changes.finish()

    def _placed(self, guest: str, tenant: str, wanted: Wanted) -> Placed:
        mine = [order for order in self.open_of(guest) if order.tenant == tenant]
        for order in mine:
            if order.paths == wanted.paths:
                return Placed(guest, replace(order, due_at=min(order.due_at, wanted.due_at)), already=True)
        if len(mine) >= MOST_OPEN_OF_GUEST:
            why = f"{MOST_OPEN_OF_GUEST} scans of it are open, which is all: wait for one, or cancel one"
            return Placed(guest, None, why=why)
        now = int(self._clock())
        about = (guest, wanted.paths, wanted.actor, now, wanted.due_at)
        return Placed(guest, ScanOrder(self._draw(SCAN_BYTES), *about, tenant=tenant))

    def _aged(self) -> list[bytes]:
        since = self._clock() - self._keep_seconds
        return [order.id for order in self._orders.values() if order.ended_at and order.ended_at < since]

    def _to_drop(self, new: Sequence[ScanOrder]) -> list[bytes]:
        """What makes way for new ones: what is too old, and what ended first. Raises OrderRefused."""
        drop = self._aged()
        over = len(self._orders) - len(drop) + len(new) - MOST_ORDERS
        if over <= 0:
            return drop
        gone = set(drop)
        ended = [order for order in self._orders.values() if order.ended_at and order.id not in gone]
        if len(ended) < over and not self._are_first(new):
            raise OrderRefused(
                f"{MOST_ORDERS:,} scans are kept at the most, and so many are open: cancel some first"
            )
        return [*drop, *(order.id for order in sorted(ended, key=lambda order: order.ended_at)[:over])]

    def _are_first(self, new: Sequence[ScanOrder]) -> bool:
        """Whether each is of a tenant that has few: there are as many tenants as the provider has made."""
        return all(
            count + sum(order.is_open for order in self._of_tenant.get(tenant, {}).values())
            <= FIRST_OF_TENANT
            for tenant, count in Counter(order.tenant for order in new).items()
        )

    def _note(self, order: ScanOrder) -> None:
        self._orders[order.id] = order
        self._of_tenant.setdefault(order.tenant, {})[order.id] = order
        if order.is_open:
            self._open.setdefault(order.guest, {})[order.id] = order
        elif mine := self._open.get(order.guest):
            mine.pop(order.id, None)
            if not mine:
                del self._open[order.guest]

    def _forget(self, scans: Iterable[bytes]) -> None:
        for scan in scans:
            tenant = self._orders.pop(scan).tenant
            del self._of_tenant[tenant][scan]
            if not self._of_tenant[tenant]:
                del self._of_tenant[tenant]
            for told in self.on_forgotten:
                told(scan)


def _audited(action: str, orders: Sequence[ScanOrder], actor: str, at: float) -> list[AuditEntry]:
    """What stands in the audit when orders are made or called off together: an entry for each tenant."""
    entries = []
    for tenant, mine in by_tenant(orders).items():
        whose = f"guest {mine[0].guest}" if len(mine) == 1 else f"{len(mine):,} guests"
        words = shown_paths(mine[0].paths)
        made = mine[0].is_open
        entries.append(
            AuditEntry(
                at,
                actor,
                action,
                tenant=tenant,
                subject=whose,
                before="" if made else words,
                after=words if made else "",
            )
        )
    return entries
