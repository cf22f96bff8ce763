"""How a time is written for people: in the commands, in sentences, in the audit."""

from datetime import UTC, datetime


def utc(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as 2030-01-31 12:00:00 UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
