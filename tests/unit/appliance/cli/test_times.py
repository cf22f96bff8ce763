"""Times as an administrator writes and reads them."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from appliance.cli.times import BadTime, iso, parse_expiry, parse_later, parse_past, shown, span

NOW = 1_900_000_000.5  # 2030-03-17 17:46:40 UTC


@pytest.mark.parametrize(
    ("text", "expires"),
    [
        ("90m", 1_900_005_400),
        ("12h", 1_900_043_200),
        ("30d", 1_902_592_000),
        ("2w", 1_901_209_600),
        ("2031-01-31", 1_927_584_000),
        ("2031-01-31T12:00", 1_927_627_200),
        ("2031-01-31T12:00Z", 1_927_627_200),
        ("2031-01-31T13:00+01:00", 1_927_627_200),
    ],
)
def test_spans_and_times_are_understood(text: str, expires: int) -> None:
    """A span counts from now; a time without a zone is UTC."""
    assert parse_expiry(text, NOW) == expires


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no time"),
        ("soon", "give a span such as 90m, 12h, 30d or 2w"),
        ("-5d", "is no time"),
        ("5y", "is no time"),
        ("٣d", "is no time"),
        ("0d", "does not lie in the future"),
        ("2020-01-01", "does not lie in the future"),
        ("2030-03-17T17:46:40Z", "does not lie in the future"),
        ("999999w", "beyond the year 9999"),
        ("9999-12-31T23:59-12:00", "beyond the year 9999"),
        ("0001-01-01T00:00+14:00", "is no time|does not lie in the future"),
    ],
)
def test_what_is_no_future_time_is_refused(text: str, said: str) -> None:
    """The sentence says what is wrong and what can be given."""
    with pytest.raises(BadTime, match=said):
        parse_expiry(text, NOW)


def test_times_are_shown_in_utc() -> None:
    """One form for programs, one for people."""
    assert iso(NOW) == "2030-03-17T17:46:40Z"
    assert shown(NOW) == "2030-03-17 17:46:40 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3 * 3600 + 12 * 60 + 5, "3 h 12 min"),
        (86400 * 40 + 3600, "40 d 1 h"),
    ],
)
def test_a_length_of_time_has_two_units(seconds: float, text: str) -> None:
    """The two largest that matter; a clock that was set back gives no negative one."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90m", 1_899_994_600),
        ("2w", 1_898_790_400),
        ("2020-01-31T12:00Z", 1_580_472_000),
        ("2031-01-31", 1_927_584_000),
    ],
)
def test_a_span_can_count_back(text: str, at: int) -> None:
    """So long ago, or a time as it is written."""
    assert parse_past(text, NOW) == at


def test_what_is_no_time_that_is_past_is_said_so() -> None:
    """With the forms that can be used."""
    with pytest.raises(BadTime, match="'yesterday' is no time: give a span"):
        parse_past("yesterday", NOW)


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is in Berlin, one hour before UTC in winter, two in summer."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2030-03-17T17:46:40+00:00", "19:00", "2030-03-17T18:00:00Z"),
        ("2030-03-17T17:46:40+00:00", "18:46", "2030-03-18T17:46:00Z"),
        ("2030-03-17T17:46:40+00:00", "6:05", "2030-03-18T05:05:00Z"),
        ("2030-03-30T22:00:00+00:00", "22:00", "2030-03-31T20:00:00Z"),
        ("2030-10-26T20:30:00+00:00", "22:00", "2030-10-27T21:00:00Z"),
        ("2030-10-27T00:15:00+00:00", "2:30", "2030-10-27T00:30:00Z"),
        ("2030-10-27T00:45:00+00:00", "2:30", "2030-10-27T01:30:00Z"),
        ("2030-10-27T01:15:00+00:00", "2:30", "2030-10-27T01:30:00Z"),
        ("2030-10-27T01:45:00+00:00", "2:30", "2030-10-28T01:30:00Z"),
        ("2030-03-31T00:15:00+00:00", "2:30", "2030-03-31T01:30:00Z"),
        ("2030-03-17T17:46:40+00:00", "2h", "2030-03-17T19:46:40Z"),
        ("2030-03-17T17:46:40+00:00", "2030-03-17T19:00+01:00", "2030-03-17T18:00:00Z"),
    ],
)
@pytest.mark.usefixtures("wall_clock")
def test_a_time_of_day_is_the_next_on_the_wall(now: str, text: str, expected: str) -> None:
    """Also over the night in which the clock is changed."""
    assert iso(parse_later(text, datetime.fromisoformat(now).timestamp())) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2030-03-17T17:46:39Z", "lies in the past"),
        ("24:00", "is no time"),
        ("12:60", "is no time"),
        ("99999999w", "is no time"),
        ("999999w", "beyond the year 9999"),
    ],
)
def test_what_is_no_later_time_is_refused(text: str, said: str) -> None:
    """With what is allowed."""
    with pytest.raises(BadTime, match=said):
        parse_later(text, NOW)
