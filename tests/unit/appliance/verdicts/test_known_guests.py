"""Guests and their numbers."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.verdicts.known_guests import KnownGuest, KnownGuests, read_guest


def test_a_guest_keeps_its_number() -> None:
    """When it comes back; its record is written when there is news of it."""
    guests = KnownGuests([])
    one, two = guests.met("ip-1", 10, set()), guests.met("ip-2", 10, set())
    assert one is not None
    assert two is not None
    assert one.number != two.number
    assert len(guests.take_changed()) == 2
    assert guests.met("ip-1", 10, set()) is one
    assert guests.take_changed() == []
    guests.met("ip-1", 11, set())
    assert [(guest.name, guest.first, guest.last) for guest in guests.take_changed()] == [("ip-1", 10, 11)]


def test_when_all_numbers_are_taken_the_one_that_is_away_longest_gives_its_own() -> None:
    """What is left under it does not count for the new one, whatever hour it is."""
    guests = KnownGuests([], most=2)
    guests.met("ip-1", 10, set())
    guests.met("ip-2", 12, set())
    new = guests.met("ip-3", 12, {"ip-2"})
    assert new is not None
    assert guests.named("ip-1") is None
    assert (new.number, new.since) == (0, 13)
    assert guests.of_number(0, 12) is None
    assert guests.of_number(0, 13) is new


def test_a_number_that_is_given_away_twice_within_an_hour_mixes_nobody_up() -> None:
    """What the second guest left counts neither for the third nor for one that comes much later."""
    guests = KnownGuests([], most=1)
    guests.met("ip-1", 10, set())
    second = guests.met("ip-2", 10, set())
    third = guests.met("ip-3", 10, set())
    assert second is not None
    assert third is not None
    left = max(10, second.since)
    assert guests.of_number(0, left) is None
    assert third.since > left
    assert guests.forget(third.since, set()) == []
    assert guests.forget(third.since + 1, set()) == [0]


def test_attached_guests_keep_their_numbers() -> None:
    """Then there is none for another."""
    guests = KnownGuests([], most=1)
    guests.met("ip-1", 10, set())
    assert guests.met("ip-2", 11, {"ip-1"}) is None


def test_who_was_away_for_long_is_forgotten() -> None:
    """Its number is free; who is attached stays."""
    guests = KnownGuests([])
    for name in ("ip-1", "ip-2", "ip-3"):
        guests.met(name, 10, set())
    guests.met("ip-2", 99, set())
    assert guests.forget(50, {"ip-3"}) == [0]
    assert [guest.name for guest in guests.all()] == ["ip-2", "ip-3"]
    again = guests.met("ip-4", 100, set())
    assert again is not None
    assert again.number == 0


@given(st.text(max_size=30), st.integers(0, 2**32 - 1))
def test_what_is_read_is_what_was_written(name: str, number: int) -> None:
    """Names of any letters."""
    guest = KnownGuest(7, name, number, 1, 2, 3)
    assert read_guest(7, guest.record()) == guest


@given(st.binary(max_size=40))
def test_other_bytes_are_no_guest_or_one(data: bytes) -> None:
    """Nothing is raised."""
    read_guest(1, data)


def test_a_guest_that_is_another_tenants_now_begins_anew() -> None:
    """What it held before counts for nobody any more; across its record too."""
    guests = KnownGuests([])
    before = guests.met("g", 10, set(), "acme")
    assert before is not None
    before.files = 5
    again = guests.met("g", 12, set(), "other")
    assert again is not None
    assert (again.tenant, again.files, again.since) == ("other", 0, 13)
    assert guests.of_number(again.number, 12) is None
    assert read_guest(again.number, again.record()) == again


def test_a_record_of_an_earlier_version_is_of_the_usual_tenant() -> None:
    """It has a name and nothing behind it."""
    record = KnownGuest(7, "uid-0", 1, 2, 3).record()
    assert record.endswith(b"uid-0")
    guest = read_guest(7, record)
    assert guest is not None
    assert guest.tenant == "default"
