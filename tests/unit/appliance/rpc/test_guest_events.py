"""What a guest says happened, held to the rules of the wire."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from lightagent.v1 import guest_pb2

from appliance.domain.event import EventKind
from appliance.domain.guest import Guest
from appliance.rpc.calls import Breach
from appliance.rpc.guest_events import MAX_EVENTS, read_events

NOW = 1_900_000_000.0
GUEST = Guest("ip-1")
JOURNAL = b"j" * 16
ACTION = guest_pb2.GUEST_EVENT_KIND_ACTION


def said(number: int = 1, **fields: object) -> guest_pb2.GuestEvent:
    """A sound event."""
    return guest_pb2.GuestEvent(number=number, **{"kind": ACTION, **fields})  # type: ignore[arg-type]


def batch(*events: guest_pb2.GuestEvent, journal: bytes = JOURNAL) -> guest_pb2.GuestEvents:
    """A message."""
    return guest_pb2.GuestEvents(journal=journal, events=events)


def test_a_sound_event_is_taken_as_it_is() -> None:
    """The time is the SVM's, the guest's own stands beside it; the guest is its connection."""
    message = said(
        7,
        at=Timestamp(seconds=5),
        sha256=b"d" * 32,
        path=b"/tmp/\xff",
        process="bash",
        threat="Worm",
        action="quarantined",
        text="as the policy says",
        count=2,
    )
    [event] = read_events(batch(message), GUEST, NOW)
    assert (event.at, event.kind, event.guest, event.sha256) == (NOW, EventKind.ACTION, "ip-1", b"d" * 32)
    assert (event.threat, event.text, event.count) == ("Worm", "as the policy says", 2)
    assert event.said is not None
    assert (event.said.number, event.said.at, event.said.path) == (7, 5.0, b"/tmp/\xff")
    assert (event.said.process, event.said.action) == ("bash", "quarantined")


def test_words_are_cut_and_made_printable() -> None:
    """A guest's text steers no terminal and fills no disk."""
    message = said(path=b"p" * 9000, process="x" * 999, action="\x1b[2J", text="é" * 999)
    [event] = read_events(batch(message), GUEST, NOW)
    assert event.said is not None
    assert (len(event.said.path), len(event.said.process), event.said.action) == (4096, 256, "?[2J")
    assert len(event.text.encode()) == 512


def test_a_kind_of_a_later_stub_is_kept_as_a_note() -> None:
    """A newer stub is not refused."""
    [event] = read_events(batch(said(kind=99)), GUEST, NOW)
    assert event.kind is EventKind.NOTE


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (batch(said(), journal=b"short"), "journal has 5 bytes"),
        (batch(), "send 1 to 256"),
        (batch(*map(said, range(1, MAX_EVENTS + 2))), "send 1 to 256"),
        (batch(*(said(number, path=b"p" * 4000) for number in range(1, 80))), "262144 bytes"),
        (batch(said(2), said(2)), "let numbers rise"),
        (batch(said(0)), "from 1"),
        (batch(said(kind=0)), "has no kind"),
        (batch(said(sha256=b"d" * 31)), "sha256"),
    ],
)
def test_what_breaks_a_rule_is_refused(message: guest_pb2.GuestEvents, sentence: str) -> None:
    """By a sentence that says which."""
    with pytest.raises(Breach, match=sentence):
        read_events(message, GUEST, NOW)


@given(st.binary(max_size=300))
def test_no_message_raises_anything_else(data: bytes) -> None:
    """Whatever bytes a guest sends that make a message."""
    message = batch(said(at=Timestamp(seconds=-(2**62), nanos=-1)))
    try:
        message.MergeFromString(data)
    except Exception:  # that it is none is the parser's affair
        return
    try:
        events = read_events(message, GUEST, NOW)
    except Breach:
        return
    assert all(event.said is not None and event.said.at >= 0 for event in events)
