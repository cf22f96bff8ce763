"""The settings of scans of whole guests: a part of `config`, and used through it."""

from dataclasses import dataclass
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class ScansSettings:
    """How many guests scan at once, and what is kept of scans that were ordered.

    slots: 0 for twice as many as there are workers. least_slots: that are left under any pressure.
    turn_seconds: how long a slot is kept while a tenant with fewer waits. cpu_pressure, io_pressure,
    memory_pressure, steal: percent from which on slots are taken, 0 for never. wait_days: how long an order
    waits for its guest. keep_days: one that is over.
    """

    slots: Annotated[int, Range(0, 4096)] = 0
    least_slots: Annotated[int, Range(0, 4096)] = 1
    turn_seconds: Annotated[float, Range(1, 3600)] = 60.0
    cpu_pressure: Annotated[float, Range(0, 100)] = 60.0
    io_pressure: Annotated[float, Range(0, 100)] = 40.0
    memory_pressure: Annotated[float, Range(0, 100)] = 10.0
    steal: Annotated[float, Range(0, 100)] = 10.0
    wait_days: Annotated[float, Range(0.01, 365)] = 7.0
    keep_days: Annotated[float, Range(0.01, 3650)] = 30.0
