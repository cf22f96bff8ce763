"""Puts the events together from the settings: their file, the log, and the witness that fills it."""

import time
from pathlib import Path

from appliance.config_events import EventSettings
from appliance.events.budget import BudgetTerms
from appliance.events.log import EventLog, LogTerms
from appliance.events.outbreak import OutbreakTerms
from appliance.state.events import EventStore, EventTerms
from appliance.witness import Witness

_DAY = 86400.0


def assemble_events(settings: EventSettings, directory: Path) -> Witness:
    """Return a witness whose log is open; who asked for it closes that. Raises StateError."""
    terms = EventTerms(settings.max_mib << 20, settings.keep_days * _DAY)
    store = EventStore.open(directory, terms, time.time())
    budget = BudgetTerms(day_bytes=settings.guest_daily_mib << 20)
    log = EventLog(store, LogTerms(budget=budget), time.time, time.monotonic)
    outbreak = OutbreakTerms(settings.outbreak_detections, settings.outbreak_minutes * 60)
    return Witness(log, outbreak, time.monotonic)
