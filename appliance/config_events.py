"""The settings of what is remembered of guests: a part of `config`, and used through it."""

from dataclasses import dataclass
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class EventSettings:
    """What happened, how long that is kept, and what is an outbreak.

    guest_daily_mib: of one guest, in 24 hours: of its words, and of what is found in it.
    """

    max_mib: Annotated[int, Range(1, 65536)] = 256
    keep_days: Annotated[int, Range(1, 3650)] = 365
    guest_daily_mib: Annotated[int, Range(1, 65536)] = 16
    outbreak_detections: Annotated[int, Range(2, 1000)] = 10
    outbreak_minutes: Annotated[float, Range(0.1, 1440)] = 10.0


@dataclass(frozen=True, slots=True)
class ExposureSettings:
    """Which guests hold a digest. guest_files: digests of one guest that are kept."""

    max_mib: Annotated[int, Range(8, 65536)] = 512
    keep_days: Annotated[int, Range(1, 3650)] = 90
    guest_files: Annotated[int, Range(1000, 100_000_000)] = 1_000_000
