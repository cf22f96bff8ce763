"""Events as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.event import Event, EventKind, Said
from appliance.state.event_record import DamagedEvent, decode, encode, sieve

EVENTS = st.builds(
    Event,
    at=st.floats(0, 4e9),
    kind=st.sampled_from(EventKind),
    guest=st.text(max_size=20),
    sha256=st.sampled_from([b"", b"d" * 32]),
    threat=st.text(max_size=20),
    text=st.text(max_size=20),
    actor=st.text(max_size=9),
    count=st.integers(0, 2**32),
    guests=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    scope=st.integers(0, 2**32),
    said=st.none()
    | st.builds(
        Said, number=st.integers(1, 2**64 - 1), path=st.binary(max_size=40), action=st.text(max_size=9)
    ),
    tenant=st.sampled_from(["", "default", "acme", "\N{SNOWMAN}"]),
)


@given(EVENTS)
def test_what_is_read_is_what_was_written(event: Event) -> None:
    """Paths that are no UTF-8 among it."""
    assert decode(encode(event)) == event


@given(EVENTS, st.sampled_from(EventKind), st.sampled_from(["acme", "default", "\N{SNOWMAN}"]))
def test_a_sieve_holds_back_nothing_that_is_wanted(event: Event, other: EventKind, tenant: str) -> None:
    """Of several kinds, of one tenant; and without a word of either it holds back nothing."""
    record = encode(event)
    assert sieve((), "")(record)
    assert sieve((other, event.kind), event.tenant)(record)
    if sieve((other,), tenant)(record) is False:
        assert event.kind != other or event.tenant != tenant


def test_a_sieve_holds_back_other_kinds_and_tenants() -> None:
    """So that a listing of few among very many costs little."""
    record = encode(Event(1.0, EventKind.NOTE, tenant="acme"))
    assert not sieve((EventKind.ATTACH, EventKind.DETACH), "acme")(record)
    assert not sieve((EventKind.NOTE,), "umbrella")(record)


@given(st.binary(max_size=60))
def test_other_bytes_are_damaged(data: bytes) -> None:
    """Nothing else is raised."""
    with pytest.raises(DamagedEvent):
        decode(data)


def test_one_changed_byte_is_seen() -> None:
    """By the checksum."""
    record = bytearray(encode(Event(1.0, EventKind.NOTE, text="abc")))
    record[10] ^= 1
    with pytest.raises(DamagedEvent, match="checksum"):
        decode(bytes(record))


def test_an_event_of_an_earlier_version_is_the_usual_tenants_where_a_guest_is_named() -> None:
    """It says nothing of tenants; what names no guest is nobody's."""
    guests = Event(5.0, EventKind.ATTACH, "ip-1", tenant="default")
    assert b"tenant" not in encode(guests)
    assert decode(encode(guests)) == guests
    for tenant, guest in (("", ""), ("", "ip-1"), ("acme", ""), ("acme", "ip-1"), ("default", "")):
        event = Event(5.0, EventKind.LOSS, guest, tenant=tenant)
        assert decode(encode(event)) == event
