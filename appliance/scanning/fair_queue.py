"""A queue of many owners who are served in turn: one that queues much waits for itself.

An owner is a guest of a tenant: tenants take turns, and the guests of one take turns among themselves. A turn
is that of who has had least of the workers' time; so many guests of one tenant, or contents that take long,
do not slow down another.

It has two levels. What is urgent, since somebody's open waits for it, goes before the rest; but of
`URGENT_IN_A_ROW` + 1 items that are taken while both wait, one is of the rest, which so goes on however much
is urgent.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from appliance.domain.guest import NOBODY, Owner
from appliance.scanning.least_served import LeastServed

Item = TypeVar("Item")

URGENT_IN_A_ROW: Final = 8
TURN_SECONDS: Final = 0.001  # that a turn is taken for until it is known what it took


class _Tenant(Generic[Item]):
    """The items of a tenant's guests: by guest, none of them without any, and by the number of each."""

    def __init__(self) -> None:
        self.count = 0
        self.by_guest: dict[str, OrderedDict[int, Item]] = {}
        self.turns = LeastServed[str]()


class _Level(Generic[Item]):
    """Items by owner. Tenants that have none stay for as long as what they have had is remembered."""

    def __init__(self) -> None:
        self.count = 0
        self._tenants: dict[int, _Tenant[Item]] = {}
        self._turns = LeastServed[int]()

    def put(self, owner: Owner, number: int, item: Item, first: bool = False) -> None:
        """Enter an item behind, or (first) before, all others of its owner."""
        tenant = self._tenants.get(owner.scope)
        if tenant is None:
            tenant = self._tenants[owner.scope] = _Tenant()
        items = tenant.by_guest.setdefault(owner.guest_id, OrderedDict())
        items[number] = item
        if first:
            items.move_to_end(number, last=False)
        tenant.turns.enter(owner.guest_id)
        self._turns.enter(owner.scope)
        tenant.count += 1
        self.count += 1

    def take(self, may: Callable[[Owner], bool]) -> tuple[int, Item] | None:
        """Take out the next item of an owner that may have a turn."""
        guest_id: str | None = None

        def has_one(scope: int) -> bool:
            nonlocal guest_id
            guest_id = self._tenants[scope].turns.first(lambda name: may(Owner(scope, name)))
            return guest_id is not None

        scope = self._turns.first(has_one)
        if scope is None or guest_id is None:
            return None
        tenant = self._tenants[scope]
        number = next(iter(tenant.by_guest[guest_id]))
        item = tenant.by_guest[guest_id][number]
        tenant.turns.served(guest_id, TURN_SECONDS)
        self._turns.served(scope, TURN_SECONDS)
        self.remove(Owner(scope, guest_id), number)
        return number, item

    def charge(self, owner: Owner, seconds: float) -> None:
        """An item of the owner took so long."""
        if owner.scope in self._tenants:
            self._tenants[owner.scope].turns.charge(owner.guest_id, seconds)
        self._turns.charge(owner.scope, seconds)

    def remove(self, owner: Owner, number: int) -> Item | None:
        """Take out one item; None where it is not here."""
        tenant = self._tenants.get(owner.scope)
        items = tenant.by_guest.get(owner.guest_id) if tenant is not None else None
        if tenant is None or items is None or number not in items:
            return None
        item = items.pop(number)
        tenant.count -= 1
        self.count -= 1
        if not items:
            del tenant.by_guest[owner.guest_id]
            tenant.turns.leave(owner.guest_id)
        if not tenant.count:
            self._turns.leave(owner.scope)
        return item

    def size_of(self, scope: int, guest_id: str | None = None) -> int:
        """How many items of a tenant, or of one guest of it, wait."""
        tenant = self._tenants.get(scope)
        if tenant is None:
            return 0
        return tenant.count if guest_id is None else len(tenant.by_guest.get(guest_id, ()))

    def scopes(self) -> list[int]:
        """The tenants that have items."""
        return [scope for scope, tenant in self._tenants.items() if tenant.count]

    def guests(self, scope: int) -> list[str]:
        """The guests of a tenant that have items."""
        return list(self._tenants[scope].by_guest) if scope in self._tenants else []

    def items_of(self, owner: Owner) -> OrderedDict[int, Item]:
        """The items of an owner, the next one first."""
        return self._tenants[owner.scope].by_guest[owner.guest_id]

    def owners(self) -> list[Owner]:
        """All who have items."""
        return [Owner(scope, guest_id) for scope in self._tenants for guest_id in self.guests(scope)]

    def __iter__(self) -> Iterator[Item]:
        for owner in self.owners():
            yield from self.items_of(owner).values()


def anybody(_owner: Owner) -> bool:
    """Every owner may have a turn."""
    return True


class FairQueue(Generic[Item]):
    """Items by owner, each there once. Each owner's come out in the order they went in; owners take turns."""

    def __init__(self, most: int) -> None:
        """most: items that it holds, of all owners together."""
        self._most = most
        self._urgent: _Level[Item] = _Level()
        self._rest: _Level[Item] = _Level()
        self._numbers: dict[Item, tuple[Owner, int]] = {}  # of each item: owner, and its number
        self._next = 1
        self._in_a_row = 0  # urgent items that were taken while others waited

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[Item]:
        """All items, owner after owner, what is urgent first."""
        yield from self._urgent
        yield from self._rest

    @property
    def urgent(self) -> int:
        """How many of them are urgent."""
        return self._urgent.count

    def put(self, owner: Owner, item: Item, urgent: bool = False) -> Item | None:
        """Queue an item; the one that has no place for it any more, None where there is room.

        In a full queue the last item of the guest who has most of them goes, of the tenant that has most,
        which may be this one; an urgent one only where he has no other. Whoever asks for little finds a
        place, however much others ask.
        """
        self._enter(owner, item, urgent)
        if len(self) <= self._most:
            return None
        scopes = dict.fromkeys([*self._rest.scopes(), *self._urgent.scopes()])
        scope = max(scopes, key=lambda name: (self._size_of(name), self._rest.size_of(name)))
        guests = dict.fromkeys([*self._rest.guests(scope), *self._urgent.guests(scope)])
        guest_id = max(guests, key=lambda name: (self._size_of(scope, name), self._rest.size_of(scope, name)))
        return self._drop_last(Owner(scope, guest_id))

    def put_back(self, owner: Owner, item: Item, urgent: bool = False) -> None:
        """Queue an item that was taken before all others of its owner, even where the queue is full."""
        self._enter(owner, item, urgent, first=True)

    def hurry(self, item: Item) -> bool:
        """Make an item that waits urgent; whether it was there and was not."""
        owner, number = self._numbers.get(item, (NOBODY, 0))
        if self._rest.remove(owner, number) is None:
            return False
        self._urgent.put(owner, number, item)
        return True

    def take(self, may: Callable[[Owner], bool] = anybody) -> Item | None:
        """Take out the next item of an owner that may have a turn; None where none waits."""
        both = self._urgent.count and self._rest.count
        of_rest = not self._urgent.count or (both and self._in_a_row >= URGENT_IN_A_ROW)
        order = (self._rest, self._urgent) if of_rest else (self._urgent, self._rest)
        for level in order:
            taken = level.take(may) if level.count else None
            if taken is not None:
                self._in_a_row = self._in_a_row + 1 if both and level is self._urgent else 0
                del self._numbers[taken[1]]
                return taken[1]
        return None

    def charge(self, owner: Owner, seconds: float, urgent: bool = False) -> None:
        """An item of the owner took so long: others have their turns until they have had as much."""
        (self._urgent if urgent else self._rest).charge(owner, seconds)

    def take_first(self, condition: Callable[[Item], bool]) -> list[Item]:
        """Take out, of each owner and level, the first items for which the condition holds."""
        taken: list[Item] = []
        for level in (self._urgent, self._rest):
            for owner in level.owners():
                for number, item in list(level.items_of(owner).items()):
                    if not condition(item):
                        break
                    taken.append(item)
                    level.remove(owner, number)
        for item in taken:
            del self._numbers[item]
        return taken

    def clear(self) -> list[Item]:
        """Take out everything."""
        items = list(self)
        self._urgent, self._rest = _Level(), _Level()
        self._numbers.clear()
        return items

    def _enter(self, owner: Owner, item: Item, urgent: bool, first: bool = False) -> None:
        number, self._next = self._next, self._next + 1
        self._numbers[item] = (owner, number)
        (self._urgent if urgent else self._rest).put(owner, number, item, first)

    def _size_of(self, scope: int, guest_id: str | None = None) -> int:
        return self._urgent.size_of(scope, guest_id) + self._rest.size_of(scope, guest_id)

    def _drop_last(self, owner: Owner) -> Item:
        level = self._rest if self._rest.size_of(*owner) else self._urgent
        number, item = next(reversed(level.items_of(owner).items()))
        level.remove(owner, number)
        del self._numbers[item]
        return item
