"""Puts together what is remembered of guests: the events, who fills them, and which guests hold a digest."""

import time
from dataclasses import replace

from appliance.config import Settings
from appliance.domain.tenants import Tenants
from appliance.events.log import EventLog, LogTerms
from appliance.events.outbreak import OutbreakTerms
from appliance.state.events import EventStore, EventTerms
from appliance.verdicts.exposure import Exposure
from appliance.verdicts.exposure_store import ExposureStore, ExposureTerms
from appliance.witness import Witness

_DAY = 86400.0
_COMINGS_PART = 8  # of what a guest may fill beside that: coming and going says little


def assemble_events(settings: Settings) -> EventLog:
    """Return an open log; who asked for it closes it. Raises StateError."""
    events = settings.events
    terms = EventTerms(events.max_mib << 20, events.keep_days * _DAY)
    store = EventStore.open(settings.server.state_dir, terms, time.time())
    day_bytes = events.guest_daily_mib << 20
    usual = LogTerms()
    budgets = LogTerms(
        said=replace(usual.said, day_bytes=day_bytes),
        comings=replace(usual.comings, day_bytes=day_bytes // _COMINGS_PART),
        found=replace(usual.found, day_bytes=day_bytes),
    )
    return EventLog(store, budgets, time.time, time.monotonic)


def assemble_exposure(settings: Settings) -> Exposure:
    """Return an open exposure; who asked for it closes it. Raises StoreError."""
    exposure = settings.exposure
    terms = ExposureTerms(exposure.max_mib << 20, exposure.keep_days * 24, exposure.guest_files)
    return Exposure(ExposureStore.open(settings.server.state_dir, terms, time.time()), time.time)


def assemble_witness(settings: Settings, log: EventLog, exposure: Exposure, tenants: Tenants) -> Witness:
    """Return what notes what happens in a log."""
    events = settings.events
    outbreak = OutbreakTerms(events.outbreak_detections, events.outbreak_minutes * 60)
    return Witness(log, exposure, outbreak, time.monotonic, tenants.name_of)
