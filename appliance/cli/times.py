"""Times as an administrator writes and reads them: in UTC, unless a zone or only a time of day is written."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from appliance.domain.times import utc

_SPAN = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[mhdw])")
_TIME_OF_DAY = re.compile(r"(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_END_OF_TIME = 253_402_300_799  # the last second of the year 9999, where times on the wire end


class BadTime(ValueError):
    """The text is no time that can be used."""


def parse_expiry(text: str, now: float) -> int:
    """Return when "30d", "12h", "2w", "90m" or an ISO time is, in seconds since the epoch.

    now: seconds since the epoch. Raises BadTime for other forms and for what does not lie in the future.
    """
    expires = _moment(text, int(now), 1)
    if expires > _END_OF_TIME:
        raise BadTime(f"{text!r} lies beyond the year 9999: leave the expiry out for an override without end")
    if expires <= now:
        raise BadTime(f"{text!r} does not lie in the future: an override that ends now does nothing")
    return expires


def parse_past(text: str, now: float) -> int:
    """Return when an ISO time is, or was "30d", "12h", "2w" or "90m" ago, in seconds since the epoch.

    now: seconds since the epoch. Raises BadTime for other forms.
    """
    return _moment(text, int(now), -1)


def parse_later(text: str, now: float) -> int:
    """Return when "22:30" is next by this machine's clock, or an ISO time, or "90m", "12h", "3d" from now on.

    In seconds since the epoch; now: the same. Raises BadTime for other forms and for what lies in the past.
    """
    day = _TIME_OF_DAY.fullmatch(text)
    if day:
        return _next(int(day["hour"]), int(day["minute"]), now)
    later = _moment(text, int(now), 1)
    if later > _END_OF_TIME:
        raise BadTime(f"{text!r} lies beyond the year 9999: give an earlier time")
    if later < int(now):
        raise BadTime(f"{text!r} lies in the past: give a later time, or none to begin now")
    return later


def _next(hour: int, minute: int, now: float) -> int:
    """Return when the clock on the wall shows that next; also where a day has 23 or 25 hours."""
    local = datetime.fromtimestamp(now)
    today = local.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    days = (today, today + timedelta(days=1), today + timedelta(days=2))
    passes = (day.replace(fold=fold).timestamp() for day in days for fold in (0, 1))  # it may show it twice
    return next(int(moment) for moment in passes if moment > now)


def _moment(text: str, now: int, direction: int) -> int:
    """Return an ISO time, or now and a span. direction: 1 for a span to come, -1 for one that is past."""
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now + direction * int(span["count"]) * _UNIT_SECONDS[span["unit"]]
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise BadTime(
            f"{text[:40]!r} is no time: give a span such as 90m, 12h, 30d or 2w, "
            "or a time such as 2030-01-31 or 2030-01-31T12:00Z"
        ) from error


def iso(seconds: float) -> str:
    """Return a time as 2030-01-31T12:00:00Z, for programs."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(seconds: float) -> str:
    """Return a time as 2030-01-31 12:00:00 UTC, for people."""
    return utc(seconds)


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: "3 h 12 min"."""
    whole = max(0, int(seconds))
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for (size, name), (next_size, next_name) in pairwise(units):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // next_size} {next_name}"
    return f"{whole} s"
