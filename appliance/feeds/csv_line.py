"""A line of CSV, and the times that feeds write."""

import csv
from datetime import UTC, datetime


def csv_fields(line: str) -> list[str]:
    """The fields of one line; blanks behind a comma do not count. Raises ValueError for odd quotes."""
    try:
        return next(csv.reader([line], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"it is no line of CSV: {error}") from error


def seconds_of(text: str) -> int:
    """Seconds since the epoch of "2026-05-01 12:00:00", UTC; 0 where it is no such time."""
    try:
        return int(datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return 0
