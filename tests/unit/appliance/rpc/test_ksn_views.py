"""Policies, consent and KSN as messages."""

import hashlib

import pytest
from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.domain.participation import KsnState, Participation, Reason
from appliance.domain.policy import Consent, Decision, KsnType, Mode, Policy, SettingsChange
from appliance.ksn.reaching import Step
from appliance.ksn.reputation import Answer
from appliance.ksn.zones import RULINGS, Zone
from appliance.rpc.ksn_views import (
    TYPE_NUMBERS,
    KsnStatusView,
    LookUpView,
    PolicyView,
    check_message,
    consent_message,
    history_message,
    ksn_status_reply,
    look_up_reply,
    participation_message,
    policy_message,
    text_reply,
)

SHA256 = "ab" * 32
CONSENT = Consent(7, 5.5, "acme", "uid-0.pid-9", Decision.ACCEPT, KsnType.PRIVATE, 3, SHA256)
RESTRICTED = Participation(
    KsnState.RESTRICTED,
    KsnType.PRIVATE,
    Mode.STANDARD,
    ((Reason.QUOTA_SPENT, "the quota is spent"), (Reason.MODE_LIMITED, "narrower")),
    2,
    3,
    True,
)


def test_types_and_modes_have_the_numbers_of_the_wire() -> None:
    """Each that this program knows is one of verdict.proto, and the other way round."""
    types = {value.name: value.number for value in verdict_pb2.KsnType.DESCRIPTOR.values if value.number}
    assert {f"KSN_TYPE_{ksn_type.name}": int(TYPE_NUMBERS[ksn_type]) for ksn_type in KsnType} == types
    modes = {value.name: value.number for value in verdict_pb2.KsnMode.DESCRIPTOR.values if value.number}
    assert {f"KSN_MODE_{mode.name}": int(mode) for mode in Mode} == modes


def test_participation_tells_each_reason_with_its_sentence() -> None:
    """In their order, the most important first."""
    message = participation_message(RESTRICTED)
    assert message.state == verdict_pb2.KSN_STATE_RESTRICTED
    assert (message.type, message.mode) == (verdict_pb2.KSN_TYPE_PRIVATE, verdict_pb2.KSN_MODE_STANDARD)
    assert list(message.reasons) == [
        verdict_pb2.KSN_REASON_QUOTA_SPENT,
        verdict_pb2.KSN_REASON_MODE_LIMITED,
    ]
    assert list(message.sentences) == ["the quota is spent", "narrower"]
    assert (message.statement_accepted, message.statement_in_force) == (2, 3)
    assert message.documents


def test_no_type_and_mode_are_in_force_where_the_provider_has_not_enabled_ksn() -> None:
    """The fields stay unspecified."""
    message = participation_message(Participation(KsnState.OFF))
    assert (message.type, message.mode) == (0, 0)


def test_a_decision_is_shown_with_all_of_it() -> None:
    """Who, when, which text, what."""
    message = consent_message(CONSENT)
    assert (message.number, message.at.seconds, message.tenant, message.author) == (
        7,
        5,
        "acme",
        "uid-0.pid-9",
    )
    assert message.decision == admin_pb2.KsnDecision(
        accept=True, type=verdict_pb2.KSN_TYPE_PRIVATE, version=3, sha256=bytes.fromhex(SHA256)
    )


def test_the_history_has_decisions_and_changes_of_settings() -> None:
    """Each says of which kind it is."""
    assert history_message(CONSENT) == admin_pb2.HistoryEntry(decision=consent_message(CONSENT))
    message = history_message(SettingsChange(8, 6.5, "acme", "uid-0.pid-9", False, Mode.EXTENDED, True))
    assert message.WhichOneof("what") == "settings"
    change = message.settings
    assert (change.number, change.at.seconds, change.tenant, change.author) == (8, 6, "acme", "uid-0.pid-9")
    assert (change.active, change.mode, change.documents) == (False, verdict_pb2.KSN_MODE_EXTENDED, True)


def test_a_text_goes_with_its_digest() -> None:
    """Of its UTF-8 bytes; no text is not known."""
    reply = text_reply("Ä\n")
    assert (reply.known, reply.text, reply.sha256) == (True, "Ä\n", hashlib.sha256("Ä\n".encode()).digest())
    assert text_reply(None) == admin_pb2.GetStatementTextReply(known=False)


def test_a_policy_has_its_decisions_and_what_follows() -> None:
    """One decision for each type that one was made on."""
    policy = Policy("acme", 17, False, Mode.EXTENDED, {KsnType.PRIVATE: CONSENT}, documents=True)
    message = policy_message(PolicyView(policy, RESTRICTED))
    assert (message.tenant, message.scope, message.active) == ("acme", 17, False)
    assert (message.mode, message.documents) == (verdict_pb2.KSN_MODE_EXTENDED, True)
    assert list(message.decided) == [consent_message(CONSENT)]
    assert message.participation == participation_message(RESTRICTED)


def test_a_status_has_what_the_provider_has_set() -> None:
    """No limit is not the same as nothing left."""
    view = KsnStatusView(
        RESTRICTED, True, KsnType.PRIVATE, Mode.EXTENDED, "own", True, ("mode",), "half open", 0, True
    )
    reply = ksn_status_reply(view)
    assert (reply.enabled, reply.service, reply.shared_between_tenants) == (True, "own", True)
    assert (reply.type, reply.mode_limit) == (verdict_pb2.KSN_TYPE_PRIVATE, verdict_pb2.KSN_MODE_EXTENDED)
    assert (list(reply.locked), reply.breaker) == (["mode"], "half open")
    assert reply.HasField("quota_left")
    assert reply.documents_allowed
    assert (list(reply.takes), list(reply.notices)) == ([], [])
    unlimited = KsnStatusView(RESTRICTED, True, KsnType.PRIVATE, Mode.EXTENDED, "own")
    assert not ksn_status_reply(unlimited).HasField("quota_left")


def test_a_status_has_what_the_service_takes_and_what_is_not_sent() -> None:
    """Each with its sentence."""
    view = KsnStatusView(
        RESTRICTED,
        True,
        KsnType.PRIVATE,
        Mode.STANDARD,
        "own",
        takes=("hash", "url"),
        notices=(("changes", "they are not followed: nobody is there"),),
    )
    reply = ksn_status_reply(view)
    assert list(reply.takes) == ["hash", "url"]
    (notice,) = reply.notices
    assert (notice.call, notice.said) == ("changes", "they are not followed: nobody is there")


@pytest.mark.parametrize("zone", list(Zone))
def test_a_zone_means_the_same_as_for_a_guest(zone: Zone) -> None:
    """The outcome is the one of the table of zones; none where the zone decides nothing."""
    reply = look_up_reply(LookUpView(Answer(zone, "Trojan", "tool")))
    disposition = RULINGS[zone].disposition
    assert (reply.zone, reply.threat, reply.category) == (str(zone), "Trojan", "tool")
    assert reply.outcome == (0 if disposition is None else int(disposition))


def test_no_answer_has_its_reason_and_no_zone() -> None:
    """So that it is not taken for "not found"."""
    assert look_up_reply(LookUpView(None, "too slow")) == admin_pb2.LookUpReply(why_not="too slow")


def test_what_was_tried_has_its_result() -> None:
    """One line of `svm ksn check`."""
    message = check_message(Step("TLS", False, "expired"))
    assert (message.what, message.good, message.said) == ("TLS", False, "expired")
