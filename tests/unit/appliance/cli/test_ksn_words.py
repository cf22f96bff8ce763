"""The words that `svm policy` and `svm ksn` share."""

import argparse

import pytest
from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.cli.ksn_words import (
    consent_dict,
    history_dict,
    history_row,
    mode_word,
    participation_dict,
    participation_pairs,
    policy_pairs,
    state_word,
    tenant_name,
    type_word,
)


def test_types_and_modes_have_words() -> None:
    """None has none, and what this program does not know stands there as its number."""
    assert [type_word(number) for number in (0, 1, 2, 9)] == ["", "global", "private", "9"]
    assert [mode_word(number) for number in (0, 1, 2, 9)] == ["", "standard", "extended", "9"]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (verdict_pb2.KSN_STATE_ENABLED, "enabled"),
        (verdict_pb2.KSN_STATE_RESTRICTED, "enabled with restrictions"),
        (verdict_pb2.KSN_STATE_OFF, "off"),
    ],
)
def test_a_state_is_said_in_the_words_of_the_manual(state: verdict_pb2.KsnState.ValueType, word: str) -> None:
    """Enabled, enabled with restrictions, or off."""
    assert state_word(verdict_pb2.KsnParticipation(state=state)) == word


def test_who_has_accepted_nothing_is_shown_what_is_in_force() -> None:
    """So that he knows what there is to decide on."""
    participation = verdict_pb2.KsnParticipation(
        state=verdict_pb2.KSN_STATE_OFF,
        reasons=[verdict_pb2.KSN_REASON_NOT_ACCEPTED],
        sentences=["not accepted yet"],
        statement_in_force=2,
    )
    assert participation_pairs(participation) == [
        ("KSN", "off"),
        ("because", "not accepted yet"),
        ("type", "-"),
        ("mode", "-"),
        ("documents", "never leave"),
        ("Statement", "not accepted; version 2 is in force"),
    ]
    assert participation_dict(participation) == {
        "state": "off",
        "type": None,
        "mode": None,
        "reasons": [{"reason": "not_accepted", "sentence": "not accepted yet"}],
        "statement_accepted": 0,
        "statement_in_force": 2,
        "documents": False,
    }


def test_a_decline_is_shown_as_one() -> None:
    """In a policy and in the history."""
    consent = admin_pb2.Consent(
        tenant="acme",
        author="uid-0",
        decision=admin_pb2.KsnDecision(type=verdict_pb2.KSN_TYPE_GLOBAL, version=1),
    )
    assert consent_dict(consent)["decision"] == "decline"
    shown = dict(policy_pairs(admin_pb2.TenantPolicy(tenant="acme", decided=[consent])))
    assert shown["global KSN"] == "declined version 1 on 1970-01-01 00:00:00 UTC by uid-0"
    assert shown["active"] == "no"


def test_what_a_newer_svm_keeps_in_its_history_is_not_taken_for_something_else() -> None:
    """For people and for programs."""
    entry = admin_pb2.HistoryEntry()
    assert history_dict(entry) == {"kind": "unknown"}
    assert "what only a newer svm knows: update this one" in history_row(entry)


def test_a_tenants_name_is_checked_where_it_is_typed() -> None:
    """By the rule of the wire."""
    assert tenant_name("acme-1") == "acme-1"
    with pytest.raises(argparse.ArgumentTypeError, match="'a b' is no name of a tenant: give 1 to 64"):
        tenant_name("a b")
