"""Tests of appliance/ksn/participation.py."""

from dataclasses import replace
from typing import Any

import pytest

from appliance.domain.guest import Guest
from appliance.domain.participation import KsnState, Reason
from appliance.domain.policy import Consent, Decision, KsnType, Mode, Policy
from appliance.ksn.participation import Participants, ProviderTerms
from appliance.ksn.statement import shown_hash

TERMS = ProviderTerms(enabled=True, type=KsnType.PRIVATE)
GUEST = Guest("g", 16)


def consent(decision: Decision = Decision.ACCEPT, type_: KsnType = KsnType.PRIVATE) -> Consent:
    """A decision on the Statement in force, without a text of the provider's."""
    text = shown_hash(replace(TERMS, type=type_).text)
    return Consent(1, 0.0, "default", "me", decision, type_, 1, text)


def policy(**changes: Any) -> Policy:
    """The policy of a tenant that takes part, but for `changes`."""
    accepted = consent()
    return replace(Policy("default", 16, decided={accepted.type: accepted}), **changes)


def test_who_accepted_takes_part() -> None:
    """The question goes out in the mode that both want, under the version that was accepted."""
    participants = Participants(TERMS, [policy(mode=Mode.EXTENDED)])
    asker = participants.asker(GUEST)
    assert asker is not None
    said = (asker.scope, asker.tenant, asker.guest, asker.type, asker.mode, asker.statement)
    assert said == (16, "default", "g", KsnType.PRIVATE, Mode.STANDARD, 1)
    assert participants.takes_part(16)


@pytest.mark.parametrize("tenant", [True, False])
@pytest.mark.parametrize("provider", [True, False])
def test_documents_need_the_word_of_both(tenant: bool, provider: bool) -> None:
    """And extended mode; what is begun with them does not go out when either takes that back."""
    terms = replace(TERMS, mode_limit=Mode.EXTENDED, documents=provider)
    participants = Participants(terms, [policy(mode=Mode.EXTENDED, documents=tenant)])
    asker = participants.asker(GUEST)
    assert asker is not None
    assert asker.documents == participants.participation(16).documents == (tenant and provider)
    participants.put(policy(mode=Mode.EXTENDED, documents=False))
    assert participants.allows(asker) == (not asker.documents)
    participants.put(policy(mode=Mode.STANDARD, documents=True))
    assert not participants.participation(16).documents


def test_a_tenant_is_held_until_a_policy_is_put_in_force() -> None:
    """Nothing is asked for it, what was begun does not go out, and the reason is that one; others go on."""
    participants = Participants(TERMS, [policy(), policy(tenant="another", scope=17)])
    begun = participants.asker(GUEST)
    assert begun is not None
    participants.hold(16)
    assert (participants.takes_part(16), participants.allows(begun), participants.scopes()) == (
        False,
        False,
        [17],
    )
    participation = participants.participation(16)
    assert (participation.state, participation.reasons[0][0]) == (KsnState.OFF, Reason.NOT_WRITTEN)
    participants.put(policy())
    assert participants.allows(begun)


CLOSED = {
    "provider": (replace(TERMS, enabled=False), policy(), Reason.PROVIDER_DISABLED),
    "no policy": (TERMS, policy(scope=99), Reason.NO_POLICY),
    "declined": (TERMS, policy(decided={KsnType.PRIVATE: consent(Decision.DECLINE)}), Reason.NOT_ACCEPTED),
    "undecided": (TERMS, policy(decided={}), Reason.NOT_ACCEPTED),
    "other type": (
        TERMS,
        policy(decided={KsnType.GLOBAL: consent(type_=KsnType.GLOBAL)}),
        Reason.NOT_ACCEPTED,
    ),
    "not active": (TERMS, policy(active=False), Reason.POLICY_INACTIVE),
}


@pytest.mark.parametrize("name", CLOSED)
def test_one_closed_gate_is_enough(name: str) -> None:
    """Nobody is an asker, and it is said which gate it is."""
    terms, theirs, reason = CLOSED[name]
    participants = Participants(terms, [theirs])
    assert participants.asker(GUEST) is None
    assert not participants.takes_part(16)
    participation = participants.participation(16)
    assert (participation.state, participation.reasons[0][0]) == (KsnState.OFF, reason)
    assert (participation.type is None) == (reason is Reason.PROVIDER_DISABLED)


def test_a_change_counts_at_once() -> None:
    """The next question is on the new terms."""
    participants = Participants(TERMS, [policy()])
    participants.put(policy(active=False))
    assert participants.asker(GUEST) is None


def test_what_is_in_the_way_restricts() -> None:
    """The service's trouble, a mode that the provider narrows, a text that is newer than the accepted."""
    assert Participants(TERMS, [policy()]).participation(16).state is KsnState.ENABLED
    terms = replace(TERMS, addition="We log all of it.")
    participants = Participants(terms, [policy(mode=Mode.EXTENDED)])
    participation = participants.participation(16, ((Reason.QUOTA_SPENT, "spent"),))
    reasons = [reason for reason, _ in participation.reasons]
    assert participation.state is KsnState.RESTRICTED
    assert reasons == [Reason.QUOTA_SPENT, Reason.MODE_LIMITED, Reason.NEWER_STATEMENT]
    assert participants.takes_part(16)
