"""The ScansAdministration service over real gRPC, asked by a client that does not keep the rules."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import scans_pb2, scans_pb2_grpc

from appliance.config_limits import Limits
from appliance.domain.scan import ScanState
from tests.support.admin_side_server import DEADLINE, Caller, refused
from tests.support.scan_desk import NOON
from tests.support.scans_side_server import ScansSide, scans_side


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ScansSide]:
    """A running administration side that knows two guests."""
    with scans_side(tmp_path) as running:
        running.known = ["ip-1", "ip-2"]
        yield running


@pytest.fixture
def caller(side: ScansSide) -> Iterator[Caller]:
    """Somebody who may call."""
    somebody = Caller(side, scans_pb2_grpc.ScansAdministrationStub)
    yield somebody
    somebody.close()


def order(caller: Caller, **fields: object) -> list[scans_pb2.PlacedScan]:
    """Order scans."""
    return list(caller.call("OrderScans", scans_pb2.OrderScansRequest(**fields)).scans)  # type: ignore[arg-type]


def scans(caller: Caller, **fields: object) -> list[scans_pb2.OrderedScan]:
    """All scans of one call."""
    request = scans_pb2.ListScansRequest(**fields)  # type: ignore[arg-type]
    return [scan for reply in caller.call("ListScans", request) for scan in reply.scans]


def test_scans_are_ordered_listed_and_called_off(side: ScansSide, caller: Caller) -> None:
    """For those who are named, or all that are known; each with its id."""
    side.attach("ip-3")
    (first,) = order(caller, guests=["ip-1"], paths=[b"/a", b"/a", b"/b"], at=Timestamp(seconds=NOON + 60))
    every = order(caller, all=True)
    assert [placed.guest for placed in every] == ["ip-3", "ip-1", "ip-2"]
    assert not any(placed.already or placed.why for placed in every)
    told = scans(caller)
    assert (told[0].scan, list(told[0].paths), told[0].state) == (first.scan, [b"/a", b"/b"], "scheduled")
    assert (told[0].ordered.seconds, told[0].due.seconds) == (NOON, NOON + 60)
    assert [scan.state for scan in told[1:]] == ["waiting", "away", "away"]
    assert [scan.guest for scan in scans(caller, guest="ip-1")] == ["ip-1", "ip-1"]
    assert [scan.guest for scan in scans(caller, limit=1)] == ["ip-2"]
    assert caller.call("CancelScans", scans_pb2.CancelScansRequest(scans=[first.scan])).cancelled == 1
    assert len(scans(caller, open=True)) == 3
    assert caller.call("CancelScans", scans_pb2.CancelScansRequest(all=True)).cancelled == 3
    ended = scans(caller, scans=[first.scan])
    assert [(scan.state, scan.ended.seconds) for scan in ended] == [("cancelled", NOON)]


def test_a_path_has_one_form(caller: Caller) -> None:
    """However it is written, it is the same scan."""
    (first,) = order(caller, guests=["ip-1"], paths=[b"/etc", b"/"])
    (again,) = order(caller, guests=["ip-1"], paths=[b"//etc/./", b"/./", b"/etc"])
    assert (again.already, again.scan) == (True, first.scan)
    assert [list(scan.paths) for scan in scans(caller)] == [[b"/etc", b"/"]]
    (other,) = order(caller, guests=["ip-1"], paths=[b"/etc.d/..x"])
    assert not other.already


def test_who_follows_hears_to_the_end(side: ScansSide, caller: Caller) -> None:
    """Of named scans until the last is over; what changes in between is told."""
    guest = side.attach("ip-1")
    (placed,) = order(caller, guests=["ip-1"])
    request = scans_pb2.ListScansRequest(scans=[placed.scan], follow=True)
    replies = caller.stub.ListScans(request, metadata=caller.metadata, timeout=DEADLINE)
    told = [next(replies).scans[0].state]
    side.says(guest, placed.scan, ScanState.RUNNING, files=3)
    while told[-1] != "running":
        told.append(next(replies).scans[0].state)
    side.says(guest, placed.scan, ScanState.DONE, "fine", files=5, malicious=1)
    last = [scan for reply in replies for scan in reply.scans][-1]
    assert (last.state, last.files, last.malicious, last.text) == ("done", 5, 1, "fine")


def test_who_follows_open_ones_hears_that_they_end(side: ScansSide, caller: Caller) -> None:
    """And of those that are ordered later."""
    guest = side.attach("ip-1")
    (placed,) = order(caller, guests=["ip-1"])
    request = scans_pb2.ListScansRequest(open=True, follow=True)
    replies = caller.stub.ListScans(request, metadata=caller.metadata, timeout=DEADLINE)
    assert next(replies).scans[0].scan == placed.scan
    side.says(guest, placed.scan, ScanState.DONE)
    assert next(replies).scans[0].state == "done"
    (later,) = order(caller, guests=["ip-2"])
    assert next(replies).scans[0].scan == later.scan
    replies.cancel()


def test_many_scans_come_in_messages_that_the_wire_takes(side: ScansSide, caller: Caller) -> None:
    """However long their paths are."""
    side.known = [f"ip-{number}" for number in range(300)]
    order(caller, all=True, paths=[b"/" + b"x" * 4000, b"/" + b"y" * 4000, b"/z" * 2000])
    replies = list(caller.call("ListScans", scans_pb2.ListScansRequest()))
    assert sum(len(reply.scans) for reply in replies) == 300
    assert max(reply.ByteSize() for reply in replies) < 512 * 1024


@pytest.mark.parametrize(
    ("name", "request_", "sentence"),
    [
        ("OrderScans", scans_pb2.OrderScansRequest(), "name 1 to 4096"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["a"], all=True), "name 1 to 4096"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["a"] * 4097), "name 1 to 4096"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-1"], paths=[b"x"]), "begin it with /"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-1"], paths=[b"/\0"]), "begin it with /"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-1"], paths=[b"/a/../b"]), "has .. in it"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-1"], paths=[b"/" * 4097]), "at most 4096"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-1"], paths=[b"/"] * 65), "at most 64"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-1"], paths=[b"/" * 4000] * 5), "16384 bytes"),
        (
            "OrderScans",
            scans_pb2.OrderScansRequest(guests=["ip-1"], at=Timestamp(seconds=NOON - 100)),
            "lies in the past",
        ),
        ("CancelScans", scans_pb2.CancelScansRequest(), "name some"),
        ("CancelScans", scans_pb2.CancelScansRequest(scans=[b"x"]), "exactly 16"),
        ("CancelScans", scans_pb2.CancelScansRequest(scans=[b"x" * 16] * 4097), "at most 4096"),
    ],
)
def test_broken_rules_are_named(caller: Caller, name: str, request_: object, sentence: str) -> None:
    """And nothing is ordered or called off."""
    status, said = refused(caller, name, request_)
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in said
    assert scans(caller) == []


def test_what_cannot_be_is_said(side: ScansSide, caller: Caller) -> None:
    """A guest that nobody knows, a process that is gone, a scan that is not kept."""
    side.known = ["uid-0.pid-7"]
    for name, request, sentence in [
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["ip-9"]), "no guest 'ip-9' is known"),
        ("OrderScans", scans_pb2.OrderScansRequest(guests=["uid-0.pid-7"]), "is gone, or is no daemon"),
        ("OrderScans", scans_pb2.OrderScansRequest(all=True), "no guest is known that could scan"),
        ("CancelScans", scans_pb2.CancelScansRequest(scans=[b"x" * 16]), "is kept: see"),
    ]:
        status, said = refused(caller, name, request)
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert sentence in said
    side.attach("uid-0.pid-7", daemon=False)
    assert refused(caller, "OrderScans", scans_pb2.OrderScansRequest(guests=["uid-0.pid-7"]))[1]
    side.attach("uid-0.pid-8")
    assert [placed.guest for placed in order(caller, all=True)] == ["uid-0.pid-8"]
    with pytest.raises(grpc.RpcError) as caught:
        list(caller.call("ListScans", scans_pb2.ListScansRequest(limit=1 << 20)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_readers_are_bounded(side: ScansSide, caller: Caller) -> None:
    """One more is refused, and has a place when another has gone."""
    order(caller, guests=["ip-1"])
    request = scans_pb2.ListScansRequest(follow=True)
    readers = [
        caller.stub.ListScans(request, metadata=caller.metadata, timeout=DEADLINE)
        for _ in range(Limits().scan_readers)
    ]
    for reader in readers:
        next(reader)
    with pytest.raises(grpc.RpcError) as caught:
        next(caller.stub.ListScans(request, metadata=caller.metadata, timeout=DEADLINE))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    ended = threading.Event()
    readers[0].add_callback(ended.set)
    readers[0].cancel()
    assert ended.wait(DEADLINE)
    for reader in readers[1:]:
        reader.cancel()
