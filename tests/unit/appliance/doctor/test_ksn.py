"""Who takes part in KSN, and whether it is asked."""

import os
from pathlib import Path

import pytest
from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.config import KsnSettings
from appliance.doctor.findings import Finding
from appliance.doctor.ksn import KsnSaid, ksn_findings, setting_findings, takes_part

ON = KsnSettings(enabled=True, per_day=1000)


def status(**fields: object) -> admin_pb2.GetKsnStatusReply:
    """Of an SVM that asks KSN."""
    usual: dict[str, object] = {"enabled": True, "service": "opentip", "breaker": "closed", "quota_left": 900}
    return admin_pb2.GetKsnStatusReply(**{**usual, **fields})  # type: ignore[arg-type]


def look(said: KsnSaid) -> list[tuple[str, bool | None]]:
    """What is well and what is not."""
    return [(each.what, each.good) for each in ksn_findings(said, ON)]


def test_ksn_that_is_not_used_is_to_be_known() -> None:
    """And there is nothing more to say of it."""
    assert [each.good for each in setting_findings(KsnSettings(), 0)] == [None]
    assert look(KsnSaid(admin_pb2.GetKsnStatusReply())) == []


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """One that is missing, and one that others may read, is amiss."""
    key = tmp_path / "ksn.key"
    settings = KsnSettings(enabled=True, api_key_file=key)

    def only(owner: int = os.getuid()) -> Finding:
        (found,) = setting_findings(settings, owner)
        return found

    assert only().good is False
    key.write_text("secret")
    key.chmod(0o640)
    assert only().good is False
    assert f"`chmod 600 {key}`" in only().said
    key.chmod(0o600)
    assert only().good is True
    assert "secret" not in only().said
    assert only(owner=os.getuid() + 1).good is False
    assert "`chown " in only(owner=os.getuid() + 1).said


def test_a_service_that_is_asked_is_well() -> None:
    """With who takes part, and what is left of the quota."""
    said = KsnSaid(status(), ["acme"], 3)
    assert look(said) == [("KSN tenants", True), ("KSN service", True), ("KSN quota", True)]


@pytest.mark.parametrize(
    ("said", "what", "good"),
    [
        (KsnSaid(status(breaker="open"), ["acme"], 1), "KSN service", False),
        (KsnSaid(status(quota_left=0), ["acme"], 1), "KSN quota", False),
        (KsnSaid(status(quota_left=99), ["acme"], 1), "KSN quota", None),
        (KsnSaid(status(), [], 3), "KSN tenants", None),
        (KsnSaid(status(notices=[admin_pb2.KsnNotice(call="submit", said="no")]), ["a"], 1), "KSN", None),
    ],
)
def test_what_keeps_ksn_from_being_asked_is_told(said: KsnSaid, what: str, good: bool | None) -> None:
    """Each in its own line."""
    assert (what, good) in look(said)


def test_what_was_tried_is_told_as_it_came_out() -> None:
    """Each step, and for whom it was asked."""
    checks = [
        admin_pb2.KsnCheck(what="TLS", good=True),
        admin_pb2.KsnCheck(what="credentials", said="refused"),
    ]
    said = KsnSaid(status(), ["acme"], 1, {"acme": checks})
    assert look(said)[-2:] == [("KSN TLS", True), ("KSN credentials", False)]
    assert list(ksn_findings(said, ON))[-1].said == "refused (asked for acme)"


def test_who_takes_part_has_a_state_that_says_so() -> None:
    """Enabled or restricted; off and unknown do not."""
    states = (verdict_pb2.KSN_STATE_ENABLED, verdict_pb2.KSN_STATE_RESTRICTED)
    for state in verdict_pb2.KsnState.values():
        policy = admin_pb2.TenantPolicy(participation=verdict_pb2.KsnParticipation(state=state))
        assert takes_part(policy) is (state in states)
