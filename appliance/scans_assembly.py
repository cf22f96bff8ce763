"""Puts together scans of whole guests: the orders, the slots, and who looks at the pressure."""

import asyncio
import os
import time
from itertools import count
from pathlib import Path

from appliance.config import Settings
from appliance.rpc.admin_calls import CallerOf
from appliance.rpc.admin_turns import Turns
from appliance.rpc.scans_admin import ScansAdministrationService
from appliance.scanning.scanner import Scanner
from appliance.scans.capacity import CapacityTerms
from appliance.scans.desk import Clocks, Desk, DeskTerms
from appliance.scans.orders import Orders
from appliance.scans.pressure import Pressure, PressureReader
from appliance.scans_control import ScanControl
from appliance.state.environment import StateEnvironment
from appliance.state.scan_orders import ScanOrderStore
from appliance.witness import Witness

PROC = Path("/proc")

_TICK_SECONDS = 1.0
_TICKS_OF_AGE = 3600  # so often it is looked what is too old to be kept
_DAY = 86400.0
_SLOTS_OF_WORKER = 2  # what the cache knows needs no worker: a scan mostly hashes and asks


def assemble_scans(
    settings: Settings, environment: StateEnvironment, scanner: Scanner, witness: Witness, proc: Path = PROC
) -> Desk:
    """Return the desk, whose orders become events. proc: where the kernel tells. Raises StateError."""
    scans = settings.scans
    workers = settings.scanning.workers or len(os.sched_getaffinity(0))
    most = scans.slots or max(_SLOTS_OF_WORKER * workers, scans.least_slots)
    limits = Pressure(scans.cpu_pressure, scans.io_pressure, scans.memory_pressure, scans.steal)
    terms = DeskTerms(
        CapacityTerms(most, scans.least_slots, limits), scans.turn_seconds, scans.wait_days * _DAY
    )
    orders = Orders(ScanOrderStore(environment), scans.keep_days * _DAY, time.time)
    orders.on_ordered.append(witness.scans_ordered)
    orders.on_ended.append(witness.scan_ended)
    clocks = Clocks(time.time, time.monotonic)
    return Desk(orders, terms, clocks, PressureReader(proc), lambda: scanner.urgent_queued)


async def run_scans(desk: Desk) -> None:
    """Have the desk look at the pressure and the time, until cancelled."""
    for number in count(1):
        await asyncio.sleep(_TICK_SECONDS)
        await desk.tick()
        if number % _TICKS_OF_AGE == 0:
            await desk.age()


def scans_service(desk: Desk, witness: Witness, caller: CallerOf, turns: Turns) -> ScansAdministrationService:
    """Return the service for administrators."""

    def known(tenant: str) -> dict[str, str]:
        return {guest.name: guest.tenant for guest in witness.exposure.guests(tenant)}

    control = ScanControl(desk, known, time.time)
    return ScansAdministrationService(control, caller, turns=turns)
