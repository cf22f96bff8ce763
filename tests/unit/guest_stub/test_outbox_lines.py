"""Tests of the lines that the outbox is made of."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lightagent.v1 import guest_pb2

from guest_stub.outbox_lines import Waiting, event_of, kept_line, line_of, read, within_bounds, written
from guest_stub.svm_link.attach import event_message
from guest_stub.svm_link.values import EventKind, GuestEvent
from tests.support.properties import patient

A, B = b"a" * 16, b"b" * 16

events = st.builds(
    GuestEvent,
    st.integers(1, (1 << 64) - 1),
    st.sampled_from(EventKind),
    st.floats(),
    st.binary(max_size=64) | st.binary(min_size=32, max_size=32),
    st.binary(max_size=5000),
    *[st.text(st.characters(), max_size=700)] * 4,
    st.integers(),
)


def waiting(journal: bytes, *numbers: int) -> list[Waiting]:
    """Events of a journal."""
    return [
        Waiting(journal, number, line_of(GuestEvent(number, EventKind.ACTION, 1.5))) for number in numbers
    ]


@patient
@given(events)
@example(GuestEvent(1, EventKind.DETECTION, float("nan"), b"short", b"\xff\n\0" * 2000, "\ud800\n" * 500))
@example(GuestEvent(1, EventKind.DETECTION, 1e300, count=-1))
def test_no_svm_refuses_what_is_within_the_bounds(event: GuestEvent) -> None:
    """Whatever it was made of, it can be sent, and 32 of the largest are under 256 KiB; and is read again."""
    bounded = within_bounds(event)
    message = event_message(bounded)
    assert guest_pb2.GuestEvent.FromString(message.SerializeToString()) == message
    assert len(message.sha256) in (0, 32)
    assert max(len(word.encode()) for word in (message.process, message.threat, message.action)) <= 256
    assert len(message.text.encode()) <= 512
    assert 32 * (message.ByteSize() + 8) < 256 << 10
    line = line_of(bounded)
    assert line.count(b"\n") == 1
    assert event_of(line) == bounded


def test_a_line_says_what_it_means() -> None:
    """For other programs, and for people: what is empty is left out."""
    event = GuestEvent(7, EventKind.DETECTION, 2.5, path=b"/a\xff", action="blocked")
    assert json.loads(line_of(event)) == {
        "number": 7, "kind": 1, "at": 2.5, "path": "/a\udcff", "action": "blocked"
    }  # fmt: skip


def test_what_is_written_is_read_again() -> None:
    """Each under its journal, which is said once for those in a row."""
    said = waiting(A, 1, 2) + waiting(B, 1) + waiting(A, 5)
    lines = list(written(said, b""))
    assert read(b"".join(lines)) == said
    assert len(lines) == len(said) + 3
    assert len(list(written(waiting(A, 3), A))) == 1


def test_what_is_kept_waits_no_more() -> None:
    """Up to the number, of that journal alone."""
    lines = [*written(waiting(A, 1, 2, 3) + waiting(B, 1, 2), b""), kept_line(A, 2), kept_line(B, 1)]
    assert read(b"".join(lines)) == waiting(A, 3) + waiting(B, 2)


def test_a_last_line_without_an_end_is_no_line() -> None:
    """Wherever it was cut; the lines before it count."""
    whole = b"".join(written(waiting(A, 1, 2), b""))
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole)):
        assert read(whole[:cut]) == waiting(A, 1)


GOOD = line_of(GuestEvent(3, EventKind.ACTION, 1.0))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[1]",
        b"null",
        b"[" * 9000,
        b"\xff\xfe",
        b"\0" * 100,
        b'{"number": 0, "kind": 1}',
        b'{"number": true, "kind": 1}',
        b'{"number": 18446744073709551616, "kind": 1}',
        b'{"number": 1, "kind": 99}',
        b'{"number": 1}',
        b'{"number": 1, "kind": 1, "at": "x"}',
        b'{"number": 1, "kind": 1, "at": 1%s}' % (b"0" * 400),
        b'{"number": 1, "kind": 1, "path": 7}',
        b'{"number": 1, "kind": 1, "path": "\\ud800"}',
        b'{"number": 1, "kind": 1, "sha256": "zz"}',
        b'{"number": 1, "kind": 1, "count": []}',
        b'{"kept": "1", "journal": 7}',
        b'{"kept": 1, "journal": "zz"}',
        line_of(GuestEvent(1, EventKind.ACTION, 1.0)),  # it comes after 2
    ],
)
def test_a_line_of_no_sense_is_passed_over(bad: bytes) -> None:
    """Those around it count."""
    before = b"".join(written(waiting(A, 1, 2), b""))
    after = read(before + bad.rstrip(b"\n") + b"\n" + GOOD)
    assert [each.number for each in after] == ([1, 2, 3])


def test_events_of_no_journal_are_nobodys() -> None:
    """They could not be sent."""
    assert read(GOOD + b'{"journal": "ff"}\n' + GOOD + b'{"journal": null}\n' + GOOD) == []


@patient
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([GOOD, kept_line(A, 1), kept_line(B, 9)]), max_size=9)
)
def test_any_bytes_are_read(lines: list[bytes]) -> None:
    """Nothing is raised, and what comes of it can be sent."""
    for each in read(b"".join(written(waiting(A, 1), b"")) + b"".join(lines)):
        event = event_of(each.line)
        assert event is not None
        assert replace(within_bounds(event), number=each.number) == event
