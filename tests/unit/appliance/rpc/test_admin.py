"""The Administration service over real gRPC, asked by a client that does not keep the rules."""

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import admin_pb2, admin_pb2_grpc

from appliance.domain.override import Override
from appliance.scanning.result import SignatureSource
from appliance.state.store import AuditEntry
from tests.support.admin_side_server import AdminSide, Caller, admin_side, refused

DIGEST = b"d" * 32
FUTURE = Timestamp(seconds=4_000_000_000)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[AdminSide]:
    """A running administration side."""
    with admin_side(tmp_path) as running:
        yield running


@pytest.fixture
def caller(side: AdminSide) -> Iterator[Caller]:
    """Somebody who may call."""
    somebody = Caller(side, admin_pb2_grpc.AdministrationStub)
    yield somebody
    somebody.close()


REQUESTS = {
    "GetStatus": admin_pb2.GetStatusRequest(),
    "GetVerdict": admin_pb2.GetVerdictRequest(sha256=DIGEST),
    "SetOverride": admin_pb2.SetOverrideRequest(sha256=DIGEST, allow=True, reason="why"),
    "ClearVerdict": admin_pb2.ClearVerdictRequest(sha256=DIGEST),
    "ListAudit": admin_pb2.ListAuditRequest(),
    "ListSignatures": admin_pb2.ListSignaturesRequest(),
    "ReloadSignatures": admin_pb2.ReloadSignaturesRequest(),
}


def test_every_method_of_the_service_is_tried_here() -> None:
    """A method that is added to the wire is added to these tests."""
    service = admin_pb2.DESCRIPTOR.services_by_name["Administration"]
    assert set(REQUESTS) == {method.name for method in service.methods}


@pytest.mark.parametrize("name", REQUESTS)
def test_nobody_without_a_ticket_is_answered(side: AdminSide, caller: Caller, name: str) -> None:
    """A ticket that the SVM did not hand out counts for nothing, and nothing is changed."""
    caller.metadata = (("ticket", "0" * 32),)
    code, sentence = refused(caller, name, REQUESTS[name])
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "ticket" in sentence
    assert side.control.overrides == {}


@pytest.mark.parametrize("name", REQUESTS)
def test_everybody_with_a_ticket_is_answered(caller: Caller, name: str) -> None:
    """Each method answers a sound request."""
    assert caller.call(name, REQUESTS[name]) is not None


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_digest_of_a_wrong_length_is_refused(caller: Caller, length: int) -> None:
    """The sentence tells both lengths."""
    sha256 = b"d" * length
    for name, request in (
        ("GetVerdict", admin_pb2.GetVerdictRequest(sha256=sha256)),
        ("SetOverride", admin_pb2.SetOverrideRequest(sha256=sha256, reason="why")),
        ("ClearVerdict", admin_pb2.ClearVerdictRequest(sha256=sha256)),
    ):
        assert refused(caller, name, request) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            f"sha256 has {length} bytes: give exactly 32",
        )


@pytest.mark.parametrize("seconds", [-5, 0, 1_000_000_000, 253_402_300_800, (1 << 63) - 1])
def test_an_override_must_end_in_the_future(side: AdminSide, caller: Caller, seconds: int) -> None:
    """A time that is past, zero or beyond all calendars is refused and changes nothing."""
    request = admin_pb2.SetOverrideRequest(sha256=DIGEST, reason="why", expires=Timestamp(seconds=seconds))
    code, sentence = refused(caller, "SetOverride", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "future" in sentence
    assert side.control.overrides == {}


@pytest.mark.parametrize(("reason", "size"), [("", 0), (" \n", 0), ("ä" * 257, 514)])
def test_an_override_needs_a_reason_of_bounded_length(caller: Caller, reason: str, size: int) -> None:
    """Blanks are no reason; the length is counted in bytes."""
    request = admin_pb2.SetOverrideRequest(sha256=DIGEST, reason=reason)
    assert refused(caller, "SetOverride", request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"reason has {size} bytes: give 1 to 512",
    )


def test_an_override_is_made_in_the_name_of_the_caller(side: AdminSide, caller: Caller) -> None:
    """The author is what the kernel says of the connection, the time is the SVM's."""
    request = admin_pb2.SetOverrideRequest(sha256=DIGEST, allow=True, reason=" why ", expires=FUTURE)
    reply = caller.call("SetOverride", request)
    assert isinstance(reply, admin_pb2.SetOverrideReply)
    override = side.control.overrides[DIGEST]
    assert (override.allow, override.reason, override.expires_at) == (True, "why", FUTURE.seconds)
    assert override.author.startswith(f"uid-{os.getuid()}.pid-{os.getpid()}")
    assert override.set_at > 1_700_000_000
    assert (reply.override.author, reply.override.set.seconds) == (override.author, override.set_at)


def test_clearing_says_whether_there_was_anything(side: AdminSide, caller: Caller) -> None:
    """An empty reason is allowed here."""
    side.control.overrides[DIGEST] = Override(True, "why", "who", 5)
    first = caller.call("ClearVerdict", REQUESTS["ClearVerdict"])
    second = caller.call("ClearVerdict", REQUESTS["ClearVerdict"])
    assert first == admin_pb2.ClearVerdictReply(cleared=True)
    assert second == admin_pb2.ClearVerdictReply(cleared=False)


def test_the_audit_is_bounded(side: AdminSide, caller: Caller) -> None:
    """0 asks for 100; more than 1,000 is refused."""
    side.control.entries = [AuditEntry(5.0, "who", "clear", DIGEST, "")] * 1500
    for limit, count in ((0, 100), (1, 1), (1000, 1000)):
        reply = caller.call("ListAudit", admin_pb2.ListAuditRequest(limit=limit))
        assert isinstance(reply, admin_pb2.ListAuditReply)
        assert len(reply.entries) == count
    code, _ = refused(caller, "ListAudit", admin_pb2.ListAuditRequest(limit=1001))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["SetOverride", "ClearVerdict", "ReloadSignatures"])
def test_what_the_svm_cannot_do_is_a_failed_precondition(side: AdminSide, caller: Caller, name: str) -> None:
    """The sentence of the part that refused is passed on."""
    side.control.refusal = "the disk is full: make room"
    assert refused(caller, name, REQUESTS[name]) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "the disk is full: make room",
    )


def test_a_reload_answers_with_what_is_in_use_then(side: AdminSide, caller: Caller) -> None:
    """Both generations and the sources."""
    side.control.loaded = [SignatureSource("yara", "/f", 5)]
    reply = caller.call("ReloadSignatures", REQUESTS["ReloadSignatures"])
    assert isinstance(reply, admin_pb2.ReloadSignaturesReply)
    assert (reply.generation_before, reply.generation) == (0xAB, 0xAC)
    assert [source.path for source in reply.sources] == ["/f"]
