"""What a guest says of its scans, and what it is told of them, as messages; and the rules of that."""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from lightagent.v1 import guest_pb2

from appliance.domain.scan import MAX_SENTENCE_BYTES, SCAN_BYTES, ScanCounts, ScanReport, ScanState
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Refused
from appliance.rpc.flood import Flood
from appliance.rpc.sessions import Session, Sessions
from appliance.scans.desk import TooManyScans
from appliance.scans.news import ScanNews

STATUSES_PER_SECOND = 10  # of one session; over this the guest is made to wait
_BOUND = f"{STATUSES_PER_SECOND} statuses of scans a second"
MOST_COUNTED = (1 << 53) - 1  # what every reader of JSON can hold; more is a guest that makes it up

_STATES = {
    guest_pb2.SCAN_STATE_WAITING: ScanState.WAITING,
    guest_pb2.SCAN_STATE_RUNNING: ScanState.RUNNING,
    guest_pb2.SCAN_STATE_DONE: ScanState.DONE,
    guest_pb2.SCAN_STATE_INCOMPLETE: ScanState.INCOMPLETE,
    guest_pb2.SCAN_STATE_CANCELLED: ScanState.CANCELLED,
}


class ScanDesk(Protocol):
    """Who hands out slots, and has orders for guests."""

    def attached(self, session: Session, /) -> None:
        """A program of a guest attached."""

    def detached(self, session: Session, /) -> None:
        """It went."""

    async def said(self, session: Session, report: ScanReport, /) -> None:
        """It says how a scan stands. Raises TooManyScans."""


class _Nobody:
    """Orders nothing and has no slots."""

    def attached(self, _session: Session) -> None:
        """Do nothing."""

    def detached(self, _session: Session) -> None:
        """Do nothing."""

    async def said(self, _session: Session, _report: ScanReport) -> None:
        """Do nothing: its scan waits."""


NOBODY_SCANS: ScanDesk = _Nobody()


class ScanStatuses:
    """The statuses of one session, at a bounded pace."""

    def __init__(self, session: Session, sessions: Sessions, desk: ScanDesk) -> None:
        self._session = session
        self._sessions = sessions
        self._desk = desk
        self._flood = Flood(STATUSES_PER_SECOND, asyncio.get_running_loop().time)

    async def take(self, said: guest_pb2.ScanStatus) -> None:
        """Hand a status on; raises Breach where it breaks a rule, and Refused over the number of scans."""
        report = read_status(said)
        await self._flood.take(1, lambda: self._sessions.slowed(self._session, _BOUND))
        try:
            await self._desk.said(self._session, report)
        except TooManyScans as error:
            raise Refused(str(error)) from error


def read_status(said: guest_pb2.ScanStatus) -> ScanReport:
    """Return what a guest says of a scan; raises Breach where that breaks a rule."""
    if len(said.scan) != SCAN_BYTES:
        raise Breach(f"the scan's id has {len(said.scan)} bytes: give exactly {SCAN_BYTES}")
    state = _STATES.get(said.state)
    if state is None:
        raise Breach(f"state {said.state} of a scan is none that this SVM knows: say how it stands")
    counts = ScanCounts(
        *(
            min(number, MOST_COUNTED)
            for number in (
                said.files,
                said.bytes,
                said.malicious,
                said.suspicious,
                said.unanswered,
                said.expected_files,
            )
        )
    )
    return ScanReport(said.scan, state, counts, wire.label(said.text, MAX_SENTENCE_BYTES))


def scan_replies(news: ScanNews) -> Iterator[guest_pb2.AttachReply]:
    """Yield what a session is to be told, orders before slots; what is yielded is not told again."""
    while (task := news.take_task()) is not None:
        scan, paths = task
        yield guest_pb2.AttachReply(
            scan_task=guest_pb2.ScanTask(scan=scan, paths=paths, cancelled=paths is None)
        )
    while (slot := news.take_slot()) is not None:
        scan, granted = slot
        yield guest_pb2.AttachReply(scan_slot=guest_pb2.ScanSlot(scan=scan, granted=granted))
