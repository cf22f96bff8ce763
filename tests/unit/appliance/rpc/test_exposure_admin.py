"""The ExposureAdministration service over real gRPC, asked by a client that does not keep the rules."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import exposure_pb2, exposure_pb2_grpc

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.rpc.exposure_admin import GuestSeen, HolderView
from tests.support.admin_side_server import Caller, read_on_after_the_place_is_free, refused
from tests.support.exposure_side_server import ExposureSide, exposure_side

DIGEST = b"d" * 32
BAD = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, 0, threat="Worm")
FINE = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 0)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ExposureSide]:
    """A running administration side."""
    with exposure_side(tmp_path) as running:
        yield running


@pytest.fixture
def caller(side: ExposureSide) -> Iterator[Caller]:
    """Somebody who may call."""
    somebody = Caller(side, exposure_pb2_grpc.ExposureAdministrationStub)
    yield somebody
    somebody.close()


def files(caller: Caller, **fields: object) -> list[exposure_pb2.GuestFile]:
    """All files of one call."""
    request = exposure_pb2.ListGuestFilesRequest(**fields)  # type: ignore[arg-type]
    return [file for reply in caller.call("ListGuestFiles", request) for file in reply.files]


def number(count: int) -> bytes:
    """A digest."""
    return count.to_bytes(32, "big")


def test_holders_are_told_with_their_times(side: ExposureSide, caller: Caller) -> None:
    """In the order in which they come."""
    side.exposure.held_by[DIGEST] = [HolderView("ip-1", 3600, 7200, True), HolderView("ip-2", 0, 3600, False)]
    reply = caller.call("GetExposure", exposure_pb2.GetExposureRequest(sha256=DIGEST))
    first, second = reply.holders
    assert (first.guest, first.first.seconds, first.last.seconds, first.attached) == (
        "ip-1",
        3600,
        7200,
        True,
    )
    assert (second.guest, second.attached) == ("ip-2", False)
    assert not caller.call("GetExposure", exposure_pb2.GetExposureRequest(sha256=b"e" * 32)).holders


def test_guests_are_told_as_many_as_are_asked_for(side: ExposureSide, caller: Caller) -> None:
    """A hundred where no number is given."""
    side.exposure.known = [GuestSeen(f"ip-{each}", each < 2, "vm", 3600, 7200, each) for each in range(200)]
    reply = caller.call("ListGuests", exposure_pb2.ListGuestsRequest())
    assert len(reply.guests) == 100
    guest = caller.call("ListGuests", exposure_pb2.ListGuestsRequest(limit=1)).guests[0]
    assert (guest.guest, guest.attached, guest.host_name, guest.files) == ("ip-0", True, "vm", 0)


def test_files_are_told_with_what_is_known_of_them(side: ExposureSide, caller: Caller) -> None:
    """All of them, or those that are malicious; the limit counts what is chosen."""
    side.exposure.held["ip-1"] = [(number(each), 3600, 7200) for each in range(5000)]
    side.exposure.verdicts = {number(each): BAD if each % 100 == 0 else FINE for each in range(4000)}
    found = files(caller, guest="ip-1", limit=5000)
    assert [file.sha256 for file in found] == list(map(number, range(5000)))
    assert (found[0].outcome, found[0].threat, found[1].outcome, found[4999].outcome) == (1, "Worm", 4, 0)
    bad = files(caller, guest="ip-1", malicious=True)
    assert [file.sha256 for file in bad] == [number(each * 100) for each in range(40)]
    assert len(files(caller, guest="ip-1", malicious=True, limit=7)) == 7
    assert len(files(caller, guest="ip-1")) == 100


def test_a_reader_who_takes_nothing_is_cut(side: ExposureSide, caller: Caller) -> None:
    """His place is free for another, and his call ends by a sentence when he reads on."""
    side.exposure.held["ip-1"] = [(number(count), 0, 0) for count in range(200_000)]
    call = caller.call("ListGuestFiles", exposure_pb2.ListGuestFilesRequest(guest="ip-1", limit=200_000))
    error = read_on_after_the_place_is_free(call, side.service.places)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "read faster" in (error.details() or "")


def test_what_breaks_a_rule_is_refused(side: ExposureSide, caller: Caller) -> None:
    """By a sentence that says what is allowed."""
    bad = exposure_pb2.GetExposureRequest(sha256=b"short")
    assert refused(caller, "GetExposure", bad)[0] is grpc.StatusCode.INVALID_ARGUMENT
    too_many = exposure_pb2.ListGuestsRequest(limit=5000)
    assert "at most 4096" in refused(caller, "ListGuests", too_many)[1]
    side.exposure.held["ip-1"] = []
    with pytest.raises(grpc.RpcError) as caught:
        files(caller, guest="ip-1", limit=2**31)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        files(caller, guest="nobody")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "svm guests list" in (caught.value.details() or "")


def test_nobody_asks_without_a_ticket(side: ExposureSide, caller: Caller) -> None:
    """As with every call of an administrator."""
    caller.metadata = ()  # type: ignore[assignment]
    with pytest.raises(grpc.RpcError) as caught:
        files(caller, guest="ip-1")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
