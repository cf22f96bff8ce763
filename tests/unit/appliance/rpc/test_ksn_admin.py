"""The KsnAdministration service over real gRPC, asked by a client that does not keep the rules."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import admin_pb2, admin_pb2_grpc, verdict_pb2

from appliance.domain.policy import Decision, KsnType, Mode, is_tenant
from appliance.rpc.ksn_admin import MAX_HISTORY
from appliance.rpc.ksn_views import PolicyChange, PolicyDraft, StatementDecision
from tests.support.admin_side_server import Caller, refused
from tests.support.ksn_side_server import KsnSide, ksn_side

DIGEST = b"d" * 32
ACCEPT = admin_pb2.KsnDecision(accept=True, type=verdict_pb2.KSN_TYPE_GLOBAL, version=1, sha256=DIGEST)
ACCEPTED = StatementDecision(Decision.ACCEPT, KsnType.GLOBAL, 1, DIGEST.hex())
UNKNOWN = 99


@pytest.fixture
def side(tmp_path: Path) -> Iterator[KsnSide]:
    """A running administration side."""
    with ksn_side(tmp_path) as running:
        yield running


@pytest.fixture
def caller(side: KsnSide) -> Iterator[Caller]:
    """Somebody who may call."""
    somebody = Caller(side, admin_pb2_grpc.KsnAdministrationStub)
    yield somebody
    somebody.close()


def bad(caller: Caller, name: str, request: object) -> str:
    """The sentence with which a request that breaks a rule was refused."""
    code, sentence = refused(caller, name, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    return sentence


def create(tenant: str = "acme", decision: admin_pb2.KsnDecision = ACCEPT) -> admin_pb2.CreatePolicyRequest:
    """A request that is sound unless the arguments are not."""
    return admin_pb2.CreatePolicyRequest(tenant=tenant, decision=decision)


REQUESTS: dict[str, Any] = {
    "ListPolicies": admin_pb2.ListPoliciesRequest(),
    "CreatePolicy": create(),
    "ChangePolicy": admin_pb2.ChangePolicyRequest(tenant="acme", active=False),
    "ListHistory": admin_pb2.ListHistoryRequest(),
    "GetStatementText": admin_pb2.GetStatementTextRequest(sha256="d" * 8),
    "GetKsnStatus": admin_pb2.GetKsnStatusRequest(),
    "CheckKsn": admin_pb2.CheckKsnRequest(tenant="acme"),
    "LookUp": admin_pb2.LookUpRequest(tenant="acme", sha256=DIGEST),
}
NO_TENANT_AT_ALL = {"ListPolicies", "GetStatementText"}
NEEDS_NO_TENANT = {"ListHistory", "GetKsnStatus"}  # none is all of them, or the usual one
BAD_NAMES = ["", "a" * 65, "a b", "a/b", "ä", "a\n", "a\0"]
BADLY_NAMED = [
    (name, tenant)
    for name in REQUESTS.keys() - NO_TENANT_AT_ALL
    for tenant in BAD_NAMES
    if tenant or name not in NEEDS_NO_TENANT
]


def test_every_method_of_the_service_is_tried_here() -> None:
    """A method that is added to the wire is added to these tests."""
    service = admin_pb2.DESCRIPTOR.services_by_name["KsnAdministration"]
    assert set(REQUESTS) == {method.name for method in service.methods}


@pytest.mark.parametrize("name", REQUESTS)
def test_nobody_without_a_ticket_is_answered(side: KsnSide, caller: Caller, name: str) -> None:
    """A ticket that the SVM did not hand out counts for nothing, and nothing is asked or changed."""
    caller.metadata = (("ticket", "0" * 32),)
    code, sentence = refused(caller, name, REQUESTS[name])
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "ticket" in sentence
    assert side.ksn.asked == []


def test_everybody_with_a_ticket_is_answered(caller: Caller) -> None:
    """Each method answers a sound request; a policy that was created can be changed."""
    for name, request in sorted(REQUESTS.items(), key=lambda item: item[0] != "CreatePolicy"):
        assert caller.call(name, request) is not None


@pytest.mark.parametrize("name", ["CreatePolicy", "ChangePolicy", "GetStatementText", "CheckKsn", "LookUp"])
def test_what_cannot_be_done_as_things_are_is_told(side: KsnSide, caller: Caller, name: str) -> None:
    """The control's sentence reaches who asked."""
    side.ksn.refusal = "it is locked"
    assert refused(caller, name, REQUESTS[name]) == (grpc.StatusCode.FAILED_PRECONDITION, "it is locked")


@pytest.mark.parametrize(("name", "tenant"), sorted(BADLY_NAMED))
def test_what_is_no_name_of_a_tenant_is_refused(
    side: KsnSide, caller: Caller, name: str, tenant: str
) -> None:
    """By each method that is given one."""
    request: Any = type(REQUESTS[name])()
    request.CopyFrom(REQUESTS[name])
    request.tenant = tenant
    assert bad(caller, name, request).startswith("tenant is ")
    assert side.ksn.asked == []


def test_a_tenant_has_a_name_of_one_to_64_letters() -> None:
    """Digits, dots, underscores and hyphens too."""
    assert is_tenant("a")
    assert is_tenant("A-1_b.c" + "x" * 57)
    assert not is_tenant("x" * 65)


def test_a_policy_begins_with_a_decision(side: KsnSide, caller: Caller) -> None:
    """Without one there is no policy; with one it reaches the control with who made it, and no mode."""
    request = admin_pb2.CreatePolicyRequest(tenant="acme")
    assert "begins with a decision" in bad(caller, "CreatePolicy", request)
    assert side.ksn.asked == []
    reply = caller.call("CreatePolicy", create())
    [(what, draft, actor)] = side.ksn.asked
    assert (what, draft) == ("create", PolicyDraft("acme", ACCEPTED, None))
    assert str(actor).startswith(f"uid-{os.getuid()}.pid-{os.getpid()}")
    assert reply.policy.tenant == "acme"
    assert reply.policy.decided[0].decision == ACCEPT


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": 0}, "type is 0: give KSN_TYPE_GLOBAL or KSN_TYPE_PRIVATE"),
        ({"type": UNKNOWN}, "type is 99"),
        ({"version": 0}, "version is 0"),
        ({"sha256": b""}, "sha256 has 0 bytes: give exactly 32"),
        ({"sha256": b"d" * 31}, "sha256 has 31 bytes"),
        ({"sha256": b"d" * 64}, "sha256 has 64 bytes"),
    ],
)
def test_a_decision_that_is_not_whole_is_refused(
    side: KsnSide, caller: Caller, fields: dict[str, object], said: str
) -> None:
    """A decline is a decision on a text too."""
    for accept in (True, False):
        decision = admin_pb2.KsnDecision()
        decision.CopyFrom(ACCEPT)
        decision.accept = accept
        for name, value in fields.items():
            setattr(decision, name, value)
        assert said in bad(caller, "CreatePolicy", create(decision=decision))
        change = admin_pb2.ChangePolicyRequest(tenant="acme", decision=decision)
        assert said in bad(caller, "ChangePolicy", change)
    assert side.ksn.asked == []


def test_documents_are_allowed_where_that_is_said(side: KsnSide, caller: Caller) -> None:
    """The control is told so, and the reply has it."""
    request = create()
    request.documents = True
    assert caller.call("CreatePolicy", request).policy.documents
    assert side.ksn.asked[0][1] == PolicyDraft("acme", ACCEPTED, documents=True)


def test_a_mode_that_nobody_knows_is_refused(side: KsnSide, caller: Caller) -> None:
    """A newer client's mode is not taken for a narrower one."""
    request: Any = create()
    request.mode = verdict_pb2.KSN_MODE_EXTENDED
    caller.call("CreatePolicy", request)
    assert side.ksn.asked[0][1] == PolicyDraft("acme", ACCEPTED, Mode.EXTENDED)
    request.mode = UNKNOWN
    assert "mode is 99: give KSN_MODE_STANDARD or KSN_MODE_EXTENDED" in bad(caller, "CreatePolicy", request)
    for number in (0, UNKNOWN):
        change = admin_pb2.ChangePolicyRequest(tenant="acme", mode=verdict_pb2.KsnMode.ValueType(number))
        assert f"mode is {number}" in bad(caller, "ChangePolicy", change)


def test_a_change_names_what_changes(side: KsnSide, caller: Caller) -> None:
    """What is absent is told as absent, and a false is no absence; nothing at all is refused."""
    assert "nothing is to change" in bad(caller, "ChangePolicy", admin_pb2.ChangePolicyRequest(tenant="acme"))
    caller.call("CreatePolicy", create())
    extended = verdict_pb2.KSN_MODE_EXTENDED
    for request, change in (
        (admin_pb2.ChangePolicyRequest(tenant="acme", active=False), PolicyChange(active=False)),
        (admin_pb2.ChangePolicyRequest(tenant="acme", mode=extended), PolicyChange(mode=Mode.EXTENDED)),
        (admin_pb2.ChangePolicyRequest(tenant="acme", documents=False), PolicyChange(documents=False)),
        (admin_pb2.ChangePolicyRequest(tenant="acme", decision=ACCEPT), PolicyChange(decision=ACCEPTED)),
    ):
        caller.call("ChangePolicy", request)
        assert side.ksn.asked[-1][:3] == ("change", "acme", change)


def test_a_history_is_bounded(side: KsnSide, caller: Caller) -> None:
    """No tenant is all of them; 0 is the usual number; over the bound is refused."""
    caller.call("ListHistory", admin_pb2.ListHistoryRequest())
    caller.call("ListHistory", admin_pb2.ListHistoryRequest(tenant="acme", limit=MAX_HISTORY))
    assert side.ksn.asked == [("history", None, 100), ("history", "acme", MAX_HISTORY)]
    request = admin_pb2.ListHistoryRequest(limit=MAX_HISTORY + 1)
    assert "limit is 1001: ask for at most 1000" in bad(caller, "ListHistory", request)


def test_a_text_is_named_by_how_its_sha256_begins(side: KsnSide, caller: Caller) -> None:
    """The reply has all digits; what nobody has decided on is not known; what is no beginning is refused."""
    request = admin_pb2.GetStatementTextRequest(sha256="c0ffee00")
    assert caller.call("GetStatementText", request) == admin_pb2.GetStatementTextReply()
    side.ksn.text = "What leaves: nothing.\n"
    reply = caller.call("GetStatementText", request)
    digest = hashlib.sha256(side.ksn.text.encode()).digest()
    assert (reply.known, reply.sha256, reply.text) == (True, digest, side.ksn.text)
    assert side.ksn.asked == [("text", "c0ffee00")] * 2
    for sha256 in ("", "c0ffee0", "C0FFEE00", "c" * 65, "no digits"):
        request = admin_pb2.GetStatementTextRequest(sha256=sha256)
        assert "give the first 8 to 64 hexadecimal digits" in bad(caller, "GetStatementText", request)


def test_the_status_without_a_tenant_is_that_of_the_usual_one(side: KsnSide, caller: Caller) -> None:
    """As for guests that nobody assigned to another."""
    caller.call("GetKsnStatus", admin_pb2.GetKsnStatusRequest())
    assert side.ksn.asked == [("status", "default")]


def test_an_address_is_looked_up_in_its_normal_form(side: KsnSide, caller: Caller) -> None:
    """On behalf of the tenant, without what stands before the @."""
    caller.call("LookUp", admin_pb2.LookUpRequest(tenant="acme", url="HTTP://me:pw@Example.com/x"))
    assert side.ksn.asked == [("look up", "acme", "http://example.com/x")]


@pytest.mark.parametrize(
    ("url", "sha256", "said"),
    [
        ("http://a.com/", DIGEST, "sha256 and url are both set"),
        ("x" * 8193, b"", "url has 8193 bytes: give at most 8192"),
        ("gopher://a.com/", b"", "url: 'gopher' is no scheme of the web"),
    ],
)
def test_what_is_no_subject_is_not_looked_up(
    side: KsnSide, caller: Caller, url: str, sha256: bytes, said: str
) -> None:
    """Exactly one is given, and an address is one."""
    request = admin_pb2.LookUpRequest(tenant="acme", url=url, sha256=sha256)
    assert said in bad(caller, "LookUp", request)
    assert side.ksn.asked == []


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_of_a_wrong_length_is_not_looked_up(side: KsnSide, caller: Caller, length: int) -> None:
    """The sentence tells both lengths."""
    request = admin_pb2.LookUpRequest(tenant="acme", sha256=b"d" * length)
    assert bad(caller, "LookUp", request) == f"sha256 has {length} bytes: give exactly 32"
    assert side.ksn.asked == []
