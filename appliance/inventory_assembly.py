"""Puts together what is known of the hosts' virtual machines, and has it looked at."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import count

from appliance.config import Settings
from appliance.domain.scan import ScanOrder, ScanState
from appliance.identity_assembly import IdentityParts
from appliance.inventory.register import RegisterTerms, VmRegister
from appliance.inventory.watch import Guests, VmWatch
from appliance.rpc.admin_turns import Turns
from appliance.rpc.sessions import Sessions
from appliance.scans.orders import Orders
from appliance.state.environment import StateEnvironment, StateError
from appliance.state.vms import VmStore
from appliance.witness import Witness

LEASES = 3  # so many times the report's interval a host stays with its agent

_LOOK_SECONDS = 5.0
_AGE_LOOKS = 720


@dataclass(frozen=True, slots=True)
class KnownGuests:
    """Implements Guests over the sessions and the register of who is who."""

    sessions: Sessions
    identity: IdentityParts | None

    def attached(self, uuid: str) -> bool:
        """Whether the daemon is."""
        return any(session.is_daemon for session in self.sessions.of_guest(uuid))

    def tenant(self, uuid: str) -> str | None:
        """By the certificate."""
        guest = None if self.identity is None else self.identity.registry.guest_known(uuid)
        return None if guest is None else guest.tenant


class Inventory:
    """watch: the machines. problem: why what is noted cannot be written, "" while it can."""

    def __init__(self, watch: VmWatch, orders: Orders) -> None:
        """orders: of scans, of which those of whole guests are noted."""
        self.watch = watch
        self.problem = ""
        self._scanned: dict[str, float] = {}
        for order in orders.all():  # of which a kill may have kept the note
            self._scan_ended(order)
        orders.on_ended.append(self._scan_ended)

    async def run(self, turns: Turns) -> None:
        """Look at the machines, until cancelled."""
        for look in count():
            await self.look(turns)
            if look % _AGE_LOOKS == 0:
                await self._written(self.watch.register.age(self.watch.clock()))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, turns: Turns) -> None:
        """Look at them once, and note what was scanned."""
        scanned, self._scanned = self._scanned, {}
        for uuid, at in scanned.items():
            if not await self._written(self.watch.register.scanned(uuid, at)):
                self._scanned.setdefault(uuid, at)
        await self._written(self.watch.look(turns.each))

    async def _written(self, work: Awaitable[None]) -> bool:
        """Do what is written; whether it could be."""
        try:
            await work
        except StateError as error:
            self.problem = str(error)
            return False
        self.problem = ""
        return True

    def _scan_ended(self, order: ScanOrder) -> None:
        if order.state is ScanState.DONE and not order.paths:
            self._scanned[order.guest] = max(order.ended_at, self._scanned.get(order.guest, 0))


def assemble_inventory(
    settings: Settings,
    environment: StateEnvironment,
    guests: Guests,
    orders: Orders,
    witness: Witness,
) -> Inventory:
    """Return the watch over the machines, whose events the witness notes. Raises StateError."""
    inventory = settings.inventory
    terms = RegisterTerms(LEASES * inventory.report_seconds, inventory.keep_days)
    register = VmRegister(VmStore(environment), terms)
    watch = VmWatch(register, guests, inventory.grace_seconds, time.time)
    watch.on_event.append(witness.vm_changed)
    return Inventory(watch, orders)
