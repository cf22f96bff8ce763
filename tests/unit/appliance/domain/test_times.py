"""How a time is written for people."""

from appliance.domain.times import utc


def test_a_time_is_written_in_utc_to_the_second() -> None:
    """Wherever it is read."""
    assert utc(1_900_000_000.9) == "2030-03-17 17:46:40 UTC"
