"""Which guests hold a digest, as bytes."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.verdicts.exposure_record import MOST_HOLDERS, Holding, entry_of, holdings, seen, without


def test_a_guest_is_written_once_a_day() -> None:
    """New the first time; again when it was not written for a day, keeping when it came first."""
    record, is_new = seen(None, 7, 0, 1000)
    assert (record, is_new) == (entry_of(7, 1000, 1000), True)
    assert seen(record, 7, 0, 1023) == (None, False)
    later, is_new = seen(record, 7, 0, 1024)
    assert (holdings(later), is_new) == ([Holding(7, 1000, 1024)], False)


def test_guests_stand_beside_each_other() -> None:
    """Each with times of its own."""
    record, _ = seen(entry_of(7, 1, 2), 8, 0, 9)
    assert holdings(record) == [Holding(7, 1, 2), Holding(8, 9, 9)]


def test_a_number_that_was_another_guests_begins_anew() -> None:
    """What was seen under it before the guest had it does not count for it."""
    record, is_new = seen(entry_of(7, 1000, 1010), 7, 1011, 1011)
    assert (holdings(record), is_new) == ([Holding(7, 1011, 1011)], True)


def test_a_digest_that_all_have_keeps_those_that_were_seen_last() -> None:
    """A record does not grow without end."""
    record: bytes | None = None
    for number in range(MOST_HOLDERS + 10):
        record, _ = seen(record, number, 0, 1000 + number)
    found = holdings(record)
    assert len(found) == MOST_HOLDERS
    assert min(holding.number for holding in found) == 10


def test_what_is_old_goes() -> None:
    """Nothing is left of a record whose guests were all seen long ago."""
    record = entry_of(1, 5, 10) + entry_of(2, 5, 20)
    assert without(record, 10) == (record, [])
    assert without(record, 11) == (entry_of(2, 5, 20), [1])
    assert without(record, 21) == (b"", [1, 2])


@given(st.binary(max_size=50), st.integers(0, 65535), st.integers(0, 2**24 - 1))
def test_no_bytes_raise(record: bytes, number: int, hour: int) -> None:
    """The file may be damaged."""
    holdings(record)
    without(record, hour)
    changed, _ = seen(record, number, 0, hour)
    assert changed is None or len(changed) % 8 == 0


@given(st.integers(0, 65535), st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1))
def test_what_is_read_is_what_was_written(number: int, first: int, last: int) -> None:
    """Up to the largest of each."""
    assert holdings(entry_of(number, first, last)) == [Holding(number, first, last)]
