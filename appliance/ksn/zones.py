"""What a zone means here and for how long: the one table of it. Pure.

Zones are the colours of the OpenTIP interface (https://opentip.kaspersky.com/Help/Doc_data/). Green and
Red age differently: a wrong Green lets something through, a wrong Red is in somebody's way, and both heal
when the service has changed its mind. What nobody knows yet is asked for again soon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from appliance.domain.outcome import Disposition

HOUR = 3600
JITTER = 0.1  # of the time, either way: what was learnt together is not asked for again together


class Zone(StrEnum):
    """What a service says of a subject, worst first."""

    RED = "Red"
    ORANGE = "Orange"  # of addresses, domains and URLs only
    YELLOW = "Yellow"
    GREY = "Grey"
    GREEN = "Green"
    NOT_FOUND = "not found"  # the service has nothing: HTTP 404, no colour of its own


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from a zone.

    disposition: None where it decides nothing, and the content is looked at here. ttl_seconds: how long
    the answer may be kept, before jitter.
    """

    disposition: Disposition | None
    ttl_seconds: int


RULINGS: dict[Zone, Ruling] = {
    Zone.RED: Ruling(Disposition.MALICIOUS, 12 * HOUR),
    Zone.ORANGE: Ruling(Disposition.SUSPICIOUS, 12 * HOUR),
    Zone.YELLOW: Ruling(Disposition.SUSPICIOUS, 12 * HOUR),
    Zone.GREEN: Ruling(Disposition.CLEAN, 24 * HOUR),
    Zone.GREY: Ruling(None, HOUR // 2),
    Zone.NOT_FOUND: Ruling(None, HOUR // 2),
}

# What `FileStatus` says where an answer lacks its zone; compared in lower case and without spaces.
FILE_STATUSES: dict[str, Zone] = {
    "malware": Zone.RED,
    "adwareandother": Zone.YELLOW,
    "clean": Zone.GREEN,
    "nothreats": Zone.GREY,  # looked at and nothing found, which is not the same as vouched for
    "notcategorized": Zone.GREY,
}

_COLOURS = {zone.lower(): zone for zone in Zone if zone is not Zone.NOT_FOUND}
_SEVERITY = {zone: place for place, zone in enumerate(Zone)}


def zone_named(text: str) -> Zone | None:
    """Return the zone that a service names, in whatever case; None for a colour nobody told us of."""
    return _COLOURS.get(text.strip().lower())


def zone_of_status(text: str) -> Zone | None:
    """Return the zone that a `FileStatus` stands for, or None."""
    return FILE_STATUSES.get("".join(text.split()).lower())


def severity(zone: Zone) -> int:
    """Return a number that is the smaller the worse the zone is."""
    return _SEVERITY[zone]


def keep_seconds(zone: Zone, random: Callable[[], float]) -> int:
    """Return how long an answer is kept. random: gives numbers from 0 up to 1, such as random.random."""
    return round(RULINGS[zone].ttl_seconds * (1 - JITTER + 2 * JITTER * random()))
