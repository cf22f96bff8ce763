"""The EventsAdministration service over real gRPC, asked by a client that does not keep the rules."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import events_pb2, events_pb2_grpc

from appliance.config_limits import Limits
from appliance.domain.event import Event, EventKind, Said
from appliance.rpc.admin_turns import Turns
from tests.support.admin_side_server import DEADLINE, Caller, read_on_after_the_place_is_free
from tests.support.commands import NOON
from tests.support.events_side_server import EventsSide, events_side


@pytest.fixture
def side(tmp_path: Path) -> Iterator[EventsSide]:
    """A running administration side."""
    with events_side(tmp_path, patience_seconds=0.5) as running:
        yield running


@pytest.fixture
def caller(side: EventsSide) -> Iterator[Caller]:
    """Somebody who may call."""
    somebody = Caller(side, events_pb2_grpc.EventsAdministrationStub)
    yield somebody
    somebody.close()


def listed(caller: Caller, **fields: object) -> list[events_pb2.Event]:
    """All events of one call."""
    request = events_pb2.ListEventsRequest(**fields)  # type: ignore[arg-type]
    return [event for reply in caller.call("ListEvents", request) for event in reply.events]


def some(count: int, kind: EventKind = EventKind.NOTE, at: float = NOON, **fields: object) -> list[Event]:
    """Events that are told apart by their count."""
    return [Event(at, kind, count=number + 1, **fields) for number in range(count)]  # type: ignore[arg-type]


def test_the_newest_come_by_rising_number(side: EventsSide, caller: Caller) -> None:
    """A hundred where no number is given."""
    side.keep(*some(300))
    assert [event.number for event in listed(caller)] == list(range(201, 301))
    assert [event.count for event in listed(caller, limit=3)] == [298, 299, 300]
    assert len(listed(caller, limit=100_000)) == 300


def test_they_are_chosen_by_kind_guest_and_time(side: EventsSide, caller: Caller) -> None:
    """The limit counts what is chosen; an outbreak concerns the guests that it names."""
    side.keep(*some(5, EventKind.ATTACH, NOON - 1000, guest="ip-1"), *some(5, EventKind.ATTACH, guest="ip-2"))
    side.keep(*some(200), Event(NOON, EventKind.OUTBREAK, guests=("ip-1", "ip-3"), count=2))
    assert [event.count for event in listed(caller, kinds=["attach"], limit=7)] == [4, 5, 1, 2, 3, 4, 5]
    assert [event.kind for event in listed(caller, guest="ip-1")] == ["attach"] * 5 + ["outbreak"]
    since = Timestamp(seconds=int(NOON) - 10)
    assert len(listed(caller, kinds=["attach", "outbreak"], since=since)) == 6
    assert listed(caller, kinds=["policy"]) == []


def test_a_few_among_very_many_are_found(side: EventsSide, caller: Caller) -> None:
    """However far back they lie; the search ends at what is older than was asked for."""
    side.keep(*some(3, EventKind.ATTACH, NOON - 1000, guest="ip-1", tenant="acme"))
    for _ in range(5):
        side.keep(*some(1000))
    assert [event.count for event in listed(caller, kinds=["attach"], limit=2)] == [2, 3]
    assert [event.count for event in listed(caller, tenant="acme")] == [1, 2, 3]
    assert listed(caller, kinds=["policy"]) == []
    assert listed(caller, kinds=["attach"], since=Timestamp(seconds=int(NOON) - 10)) == []
    assert len(listed(caller, limit=4000)) == 4000


def test_all_of_an_event_is_told(side: EventsSide, caller: Caller) -> None:
    """What the SVM knows, and beside it what the guest says."""
    said = Said(7, NOON - 5, b"/tmp/\xff", "bash", "blocked")
    side.keep(
        Event(NOON + 0.25, EventKind.DETECTION, "ip-1", b"d" * 32, "Worm", "t", "me", 3, ("a",), 0, said)
    )
    [event] = listed(caller)
    assert (event.at.seconds, event.at.nanos) == (int(NOON), 250_000_000)
    assert (event.guest, event.sha256, event.threat, event.text) == ("ip-1", b"d" * 32, "Worm", "t")
    assert (event.author, event.count, list(event.guests)) == ("me", 3, ["a"])
    assert (event.said.number, event.said.path, event.said.process) == (7, b"/tmp/\xff", "bash")
    assert (event.said.action, event.said.at.seconds) == ("blocked", int(NOON) - 5)


def test_a_follower_gets_the_last_ones_and_then_each_as_it_comes(side: EventsSide, caller: Caller) -> None:
    """Without a gap, and only what he asked for."""
    side.keep(*some(20))
    request = events_pb2.ListEventsRequest(limit=2, follow=True, kinds=["note"])
    call = caller.call("ListEvents", request)
    got = [event.number for event in next(call).events]
    side.keep(Event(NOON, EventKind.POLICY), *some(3))
    while len(got) < 5:
        got += [event.number for event in next(call).events]
    assert got == [19, 20, 22, 23, 24]
    call.cancel()


def test_many_who_follow_have_an_event_read_once_and_each_is_told(
    side: EventsSide, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, the disk is asked as for one."""
    side.keep(*some(1))
    request = events_pb2.ListEventsRequest(limit=1, follow=True)
    calls = [caller.call("ListEvents", request) for _ in range(8)]
    assert [next(call).events[0].number for call in calls] == [1] * 8
    asked, reads, all_ask = list[int](), list[int](), threading.Event()
    ask_once, from_number = side.service._read, side.log.store.from_number

    async def ask(first: int) -> tuple[int, list[tuple[int, Event]]]:
        asked.append(first)
        if len(asked) == len(calls):
            asyncio.get_running_loop().call_soon(all_ask.set)
        return await ask_once(first)

    def read(first: int, limit: int) -> list[tuple[int, Event]]:
        reads.append(first)
        assert all_ask.wait(DEADLINE)
        return from_number(first, limit)

    monkeypatch.setattr(side.service, "_read", ask)
    monkeypatch.setattr(side.log.store, "from_number", read)
    side.keep(*some(1))
    assert [next(call).events[0].number for call in calls] == [2] * 8
    assert (asked, reads) == ([2] * 8, [2])
    for call in calls:
        call.cancel()


def test_who_has_dealt_with_some_goes_on_after_them(side: EventsSide, caller: Caller) -> None:
    """All that are kept, whatever the limit; from the first where the events have begun anew."""
    side.keep(*some(300))
    assert [event.number for event in listed(caller, after=100, limit=1)] == list(range(101, 301))
    assert listed(caller, after=300) == []
    assert [event.number for event in listed(caller, after=5000)] == list(range(1, 301))
    call = caller.call("ListEvents", events_pb2.ListEventsRequest(after=300, follow=True))
    side.keep(*some(1))
    assert [event.number for event in next(call).events] == [301]
    call.cancel()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"limit": 100_001}, "at most 100000"),
        ({"kinds": ["nonsense"]}, "outbreak"),
        ({"kinds": ["note"] * 33}, "at most 32"),
    ],
)
def test_what_breaks_a_rule_is_refused(caller: Caller, fields: dict[str, object], sentence: str) -> None:
    """By a sentence that says what is allowed."""
    with pytest.raises(grpc.RpcError) as caught:
        listed(caller, **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in (caught.value.details() or "")


def test_nobody_reads_without_a_ticket(side: EventsSide, caller: Caller) -> None:
    """As with every call of an administrator."""
    caller.metadata = ()  # type: ignore[assignment]
    with pytest.raises(grpc.RpcError) as caught:
        listed(caller)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_more_readers_than_there_may_be_are_refused(side: EventsSide, caller: Caller) -> None:
    """And when one ends, the next may come."""
    side.service.places = Turns(Limits(event_readers=1)).events
    side.keep(*some(1))
    request = events_pb2.ListEventsRequest(follow=True)
    first = caller.call("ListEvents", request)
    next(first)
    with pytest.raises(grpc.RpcError) as caught:
        next(caller.call("ListEvents", request))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    first.cancel()
    end = time.monotonic() + DEADLINE
    while side.service.places.taken:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len(listed(caller)) == 1


def test_a_reader_who_takes_nothing_is_cut(side: EventsSide, caller: Caller) -> None:
    """His place is free for another at once, and his call ends by a sentence when he reads on."""
    side.keep(*some(600, text="x" * 100_000))  # more than gRPC takes over for him
    call = caller.call("ListEvents", events_pb2.ListEventsRequest(limit=100_000, follow=True))
    error = read_on_after_the_place_is_free(call, side.service.places)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "read faster" in (error.details() or "")
