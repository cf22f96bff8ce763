"""What a tenant has decided."""

from dataclasses import replace

import pytest

from appliance.domain.policy import Consent, Decision, KsnType, Mode, Policy

YES = Consent(1, 1000.0, "default", "uid-0", Decision.ACCEPT, KsnType.PRIVATE, 1, "ab" * 32)


@pytest.mark.parametrize(
    ("decided", "type_", "accepted"),
    [
        ({}, KsnType.PRIVATE, None),
        ({KsnType.PRIVATE: YES}, KsnType.PRIVATE, YES),
        ({KsnType.PRIVATE: YES}, KsnType.GLOBAL, None),
        ({KsnType.PRIVATE: replace(YES, decision=Decision.DECLINE)}, KsnType.PRIVATE, None),
    ],
)
def test_only_an_acceptance_of_that_type_is_one(
    decided: dict[KsnType, Consent], type_: KsnType, accepted: Consent | None
) -> None:
    """No decision, one on the other type and a refusal are none."""
    assert Policy("default", 16, decided=decided).accepted(type_) == accepted


def test_a_policy_begins_with_as_little_as_may_leave() -> None:
    """Nobody has decided yet, and the mode is the narrowest."""
    policy = Policy("default", 16)
    assert (policy.mode, dict(policy.decided)) == (Mode.STANDARD, {})
    assert min(Mode) is Mode.STANDARD
