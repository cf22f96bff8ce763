"""Tests of appliance/rpc/scan_words.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightagent.v1 import guest_pb2

from appliance.domain.guest import Guest
from appliance.domain.scan import ScanCounts, ScanReport, ScanState
from appliance.rpc.calls import Breach, Refused, parser
from appliance.rpc.scan_words import (
    MOST_COUNTED,
    NOBODY_SCANS,
    STATUSES_PER_SECOND,
    ScanStatuses,
    read_status,
    scan_replies,
)
from appliance.rpc.sessions import Labels, Session, Sessions
from appliance.scans.desk import TooManyScans
from appliance.scans.news import ScanNews

ID = b"i" * 16


def status(**fields: object) -> guest_pb2.ScanStatus:
    """A status that keeps the rules but for what is given."""
    return guest_pb2.ScanStatus(**{"scan": ID, "state": guest_pb2.SCAN_STATE_RUNNING, **fields})  # type: ignore[arg-type]


def test_a_status_is_read() -> None:
    """Every field in its place."""
    said = status(files=1, bytes=2, malicious=3, suspicious=4, unanswered=5, expected_files=6, text="so\x1b")
    report = read_status(said)
    assert report == ScanReport(ID, ScanState.RUNNING, ScanCounts(1, 2, 3, 4, 5, 6), report.text)
    assert report.text.startswith("so")
    ends = ("DONE", "INCOMPLETE", "CANCELLED")
    states = [guest_pb2.ScanState.Value(f"SCAN_STATE_{name}") for name in ends]
    assert [read_status(status(state=state)).state.is_end for state in states] == [True] * 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"scan": b""}, "0 bytes"),
        ({"scan": b"x" * 17}, "17 bytes"),
        ({"state": 0}, "state 0"),
        ({"state": 99}, "state 99"),
    ],
)
def test_broken_rules_are_named(fields: dict[str, object], sentence: str) -> None:
    """The guest hears which."""
    with pytest.raises(Breach, match=sentence):
        read_status(status(**fields))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(said: bytes) -> None:
    """What is taken over is bounded."""
    try:
        report = read_status(parser(guest_pb2.ScanStatus)(said))
    except Breach:
        return
    assert len(report.text.encode()) <= 512
    assert max(report.counts.files, report.counts.bytes, report.counts.expected) <= MOST_COUNTED


def test_what_is_to_be_told_becomes_messages() -> None:
    """Orders first, so that a slot is for a scan that the guest knows; each is told once."""
    news = ScanNews({b"a": (b"/x",), b"b": None}, {b"a": True})
    first, second, third = scan_replies(news)
    assert (list(first.scan_task.paths), first.scan_task.cancelled) == ([b"/x"], False)
    assert (second.scan_task.scan, second.scan_task.cancelled) == (b"b", True)
    assert (third.scan_slot.scan, third.scan_slot.granted) == (b"a", True)
    assert list(scan_replies(news)) == []


class _Full:
    """A desk that takes no more."""

    def __init__(self) -> None:
        self.heard: list[ScanReport] = []

    def attached(self, _session: Session) -> None:
        """Do nothing."""

    def detached(self, _session: Session) -> None:
        """Do nothing."""

    async def said(self, _session: Session, report: ScanReport) -> None:
        """Refuse."""
        self.heard.append(report)
        raise TooManyScans("too many: end one")


async def test_too_many_scans_end_the_call() -> None:
    """With the desk's sentence; where nobody scans, nothing comes of a status."""
    session, sessions = Session(Guest("g"), Labels(), 0.0), Sessions(1, lambda: 0.0)
    desk = _Full()
    with pytest.raises(Refused, match="end one"):
        await ScanStatuses(session, sessions, desk).take(status())
    assert len(desk.heard) == 1
    await ScanStatuses(session, sessions, NOBODY_SCANS).take(status())


async def test_who_talks_too_fast_waits() -> None:
    """And is not cut off."""
    session, sessions = Session(Guest("g"), Labels(), 0.0), Sessions(1, lambda: 0.0)
    statuses = ScanStatuses(session, sessions, NOBODY_SCANS)
    for _ in range(STATUSES_PER_SECOND + 3):
        await statuses.take(status())
    assert sessions.counts["slowed"] >= 1
