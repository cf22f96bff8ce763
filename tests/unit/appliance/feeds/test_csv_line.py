"""Lines of CSV, and times."""

import pytest

from appliance.feeds.csv_line import csv_fields, seconds_of


def test_quoted_fields_with_blanks_between() -> None:
    """As MalwareBazaar writes them; a quote that does not end is refused."""
    assert csv_fields('"a", "b, c", "d ""e"""') == ["a", "b, c", 'd "e"']
    with pytest.raises(ValueError, match="no line of CSV"):
        csv_fields('"a')


def test_times() -> None:
    """In UTC, with or without saying so; what is none is 0."""
    assert seconds_of("2030-03-17 17:46:40") == seconds_of("2030-03-17 17:46:40 UTC") == 1_900_000_000
    assert seconds_of("n/a") == 0
