"""Who has a slot, and who gets the next. No I/O, and no clock: times come in.

Tenants share fairly: the next slot goes to the tenant that has the fewest, of those to the one that got one
longest ago; within the tenant to its guest by the same rule; within the guest to the scan that waits longest.
Who comes counts as served just then, so that nobody gains by leaving and coming back.

A slot is kept for a turn at least. After a turn it is passed on when a tenant waits that has fewer, or a
guest of the same tenant that has fewer even with one more: nobody has two of them while another has none.
After a long one, of `TURNS_OF_A_LONG_ONE` turns, it is passed on to others of the same tenant anyway: a guest
that says for ever that it scans does not keep them out. Who loses a slot waits again.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

TURNS_OF_A_LONG_ONE: Final = 10


@dataclass(frozen=True, slots=True)
class Claim:
    """A scan that wants a slot. session, scan: which it is. scope: its tenant. guest: whose it is."""

    session: int
    scan: bytes
    scope: int
    guest: str


@dataclass(slots=True)
class _Guest:
    served: int
    waiting: OrderedDict[Claim, None] = field(default_factory=OrderedDict)
    running: dict[Claim, float] = field(default_factory=dict)  # since when


@dataclass(slots=True)
class _Tenant:
    """running, waiting: how many claims of all its guests do."""

    served: int
    running: int = 0
    waiting: int = 0
    guests: dict[str, _Guest] = field(default_factory=dict)


class Slots:
    """The slots of an SVM. Nothing is given or taken but by `settle`."""

    def __init__(self, allowed: int, turn_seconds: float) -> None:
        """allowed: how many slots there are. turn_seconds: how long one is kept at least."""
        self.allowed = allowed
        self._turn_seconds = turn_seconds
        self._tenants: dict[int, _Tenant] = {}
        self._grants = 0  # and arrivals, and slots that were taken: the clock of `served`

    @property
    def running(self) -> int:
        """Claims that have a slot."""
        return sum(tenant.running for tenant in self._tenants.values())

    @property
    def waiting(self) -> int:
        """Claims that wait for one."""
        return sum(tenant.waiting for tenant in self._tenants.values())

    def has(self, claim: Claim) -> bool:
        """Whether a claim has a slot."""
        guest = self._guest(claim)
        return guest is not None and claim in guest.running

    def knows(self, claim: Claim) -> bool:
        """Whether a claim has a slot or waits for one."""
        guest = self._guest(claim)
        return guest is not None and (claim in guest.running or claim in guest.waiting)

    def enter(self, claim: Claim) -> None:
        """Let a claim wait, unless it does or has a slot."""
        if self.knows(claim):
            return
        self._grants += 1
        tenant = self._tenants.setdefault(claim.scope, _Tenant(self._grants))
        guest = tenant.guests.setdefault(claim.guest, _Guest(self._grants))
        guest.waiting[claim] = None
        tenant.waiting += 1

    def leave(self, claim: Claim) -> None:
        """Forget a claim; its slot is free then."""
        guest = self._guest(claim)
        if guest is None:
            return
        tenant = self._tenants[claim.scope]
        if guest.running.pop(claim, None) is not None:
            tenant.running -= 1
        elif claim in guest.waiting:
            del guest.waiting[claim]
            tenant.waiting -= 1
        if not guest.running and not guest.waiting:
            del tenant.guests[claim.guest]
        if not tenant.guests:
            del self._tenants[claim.scope]

    def settle(self, now: float) -> tuple[list[Claim], list[Claim]]:
        """Take slots, and give them: the claims that lost one, and those that got one.

        now: monotonic seconds.
        """
        lost, given = [], []
        while self.running > self.allowed:
            lost.append(self._take(self._richest()))
        while self.running < self.allowed and self.waiting:
            given.append(self._give(now))
        before = {scope: tenant.running for scope, tenant in self._tenants.items()}
        for claim in self._due(now):
            if self._is_to_pass_on(claim, before, now):
                lost.append(self._take(claim))
                given.append(self._give(now))
        for claim in lost:  # not before: those that waited already have the slots that these had
            self._tenants[claim.scope].guests[claim.guest].waiting[claim] = None
            self._tenants[claim.scope].waiting += 1
        return lost, given

    def _guest(self, claim: Claim) -> _Guest | None:
        tenant = self._tenants.get(claim.scope)
        return None if tenant is None else tenant.guests.get(claim.guest)

    def _give(self, now: float) -> Claim:
        """Give a slot to whose turn it is; somebody waits."""
        tenant = min(
            (tenant for tenant in self._tenants.values() if tenant.waiting),
            key=lambda tenant: (tenant.running, tenant.served),
        )
        guest = min(
            (guest for guest in tenant.guests.values() if guest.waiting),
            key=lambda guest: (len(guest.running), guest.served),
        )
        claim, _ = guest.waiting.popitem(last=False)
        self._grants += 1
        tenant.served = guest.served = self._grants
        guest.running[claim] = now
        tenant.running += 1
        tenant.waiting -= 1
        return claim

    def _take(self, claim: Claim) -> Claim:
        """Take a claim's slot; it counts as served until now."""
        tenant = self._tenants[claim.scope]
        guest = tenant.guests[claim.guest]
        self._grants += 1
        tenant.served = guest.served = self._grants
        del guest.running[claim]
        tenant.running -= 1
        return claim

    def _richest(self) -> Claim:
        """The claim that loses its slot when there are too many: of who has most, who had it longest."""
        tenant = max(self._tenants.values(), key=lambda tenant: (tenant.running, -tenant.served))
        guest = max(tenant.guests.values(), key=lambda guest: (len(guest.running), -guest.served))
        return min(guest.running, key=lambda claim: guest.running[claim])

    def _due(self, now: float) -> list[Claim]:
        """The claims that have had their turn, who had it longest first."""
        since = {
            claim: began
            for tenant in self._tenants.values()
            if tenant.running
            for guest in tenant.guests.values()
            for claim, began in guest.running.items()
            if now - began >= self._turn_seconds
        }
        return sorted(since, key=lambda claim: since[claim])

    def _is_to_pass_on(self, claim: Claim, before: dict[int, int], now: float) -> bool:
        """Whether somebody waits who is to have this slot, which has been kept for a turn.

        before: how many slots each tenant had when it was begun to pass some on: none goes back at once.
        """
        mine = self._tenants[claim.scope]
        guest = mine.guests[claim.guest]
        if any(
            tenant.waiting and tenant.running < mine.running and before[scope] < before[claim.scope]
            for scope, tenant in self._tenants.items()
        ):
            return True
        if any(
            other.waiting and len(other.running) + 1 < len(guest.running) for other in mine.guests.values()
        ):
            return True
        if now - guest.running[claim] < TURNS_OF_A_LONG_ONE * self._turn_seconds:
            return False
        return any(
            other.waiting and (other is guest or len(other.running) < len(guest.running))
            for other in mine.guests.values()
        )
