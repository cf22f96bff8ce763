"""What a guest says happened, as events; and the rules that its batches keep."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import guest_pb2

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.event import (
    JOURNAL_BYTES,
    MAX_LABEL_BYTES,
    MAX_PATH_BYTES,
    MAX_TEXT_BYTES,
    Event,
    EventKind,
    Said,
)
from appliance.domain.guest import Guest
from appliance.rpc import wire
from appliance.rpc.calls import Breach

MAX_EVENTS = 256
MAX_EVENTS_BYTES = 256 * 1024

_KINDS = {
    guest_pb2.GUEST_EVENT_KIND_DETECTION: EventKind.DETECTION,
    guest_pb2.GUEST_EVENT_KIND_ACTION: EventKind.ACTION,
    guest_pb2.GUEST_EVENT_KIND_FALLBACK: EventKind.FALLBACK,
    guest_pb2.GUEST_EVENT_KIND_OVERFLOW: EventKind.OVERFLOW,
    guest_pb2.GUEST_EVENT_KIND_STUB_STARTED: EventKind.STUB_START,
    guest_pb2.GUEST_EVENT_KIND_STUB_STOPPED: EventKind.STUB_STOP,
}


class Keeping(Protocol):
    """Who keeps events."""

    def now(self) -> float:
        """Seconds since the epoch."""

    async def keep(self, guest_id: str, journal: bytes, events: Sequence[Event], /) -> None:
        """Keep a guest's events; returns when it may forget them."""


class _Nobody:
    """Keeps nothing, and says so to no guest."""

    def now(self) -> float:
        """Return the time."""
        return time.time()

    async def keep(self, _guest_id: str, _journal: bytes, _events: Sequence[Event]) -> None:
        """Never return: nothing is kept."""
        await asyncio.Event().wait()


NOBODY_KEEPS: Keeping = _Nobody()


def read_events(message: guest_pb2.GuestEvents, guest: Guest, now: float) -> list[Event]:
    """Return a batch's events; raises Breach where it breaks a rule. now: seconds since the epoch."""
    if len(message.journal) != JOURNAL_BYTES:
        raise Breach(f"journal has {len(message.journal)} bytes: give exactly {JOURNAL_BYTES}")
    if not 0 < len(message.events) <= MAX_EVENTS or message.ByteSize() > MAX_EVENTS_BYTES:
        raise Breach(
            f"{len(message.events)} events of {message.ByteSize()} bytes in one message: "
            f"send 1 to {MAX_EVENTS}, of {MAX_EVENTS_BYTES} bytes at the most"
        )
    last = 0
    for said in message.events:
        if said.number <= last:
            raise Breach(f"event {said.number} comes after {last}: let numbers rise, from 1")
        last = said.number
    return [_event(said, guest, now) for said in message.events]


def _event(said: guest_pb2.GuestEvent, guest: Guest, now: float) -> Event:
    if said.kind == guest_pb2.GUEST_EVENT_KIND_UNSPECIFIED:
        raise Breach(f"event {said.number} has no kind: give one")
    if len(said.sha256) not in {0, DIGEST_BYTES}:
        raise Breach(
            f"event {said.number}: sha256 has {len(said.sha256)} bytes: give {DIGEST_BYTES}, or none"
        )
    return Event(
        now,
        _KINDS.get(said.kind, EventKind.NOTE),
        guest.id,
        said.sha256,
        wire.label(said.threat, MAX_LABEL_BYTES),
        wire.label(said.text, MAX_TEXT_BYTES),
        count=said.count,
        said=Said(
            said.number,
            _seconds(said.at),
            said.path[:MAX_PATH_BYTES],
            wire.label(said.process, MAX_LABEL_BYTES),
            wire.label(said.action, MAX_LABEL_BYTES),
        ),
        tenant=guest.tenant,
    )


def _seconds(at: Timestamp) -> float:
    """Seconds since the epoch of a time that a guest made up; 0 for one beyond all use."""
    seconds = at.seconds + at.nanos / 1e9
    return seconds if math.isfinite(seconds) and 0 < seconds < 253_402_300_800 else 0.0
