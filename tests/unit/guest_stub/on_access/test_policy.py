"""Tests of what becomes of an event."""

import pytest

from guest_stub.on_access.policy import AccessPolicy, FailMode, Operation, Reply
from guest_stub.outcome import OPEN, Outcome
from guest_stub.remediation.done import Action

ALLOW, DENY = FailMode.ALLOW, FailMode.DENY

EXPECTED = {
    Outcome.MALICIOUS: Reply.DENY,
    Outcome.SUSPICIOUS: Reply.ALLOW,
    Outcome.CLEAN: Reply.ALLOW,
    Outcome.NOT_DETECTED: Reply.ALLOW,
    Outcome.TOO_LARGE: Reply.ALLOW,
    Outcome.ENCRYPTED: Reply.ALLOW,
    Outcome.TIMED_OUT: Reply.FALL_BACK,
    Outcome.ENGINE_ERROR: Reply.FALL_BACK,
    Outcome.OVERLOADED: Reply.FALL_BACK,
    Outcome.CHANGED: Reply.FALL_BACK,
    Outcome.NO_SVM: Reply.FALL_BACK,
    Outcome.UNREADABLE: Reply.FALL_BACK,
}


def test_every_end_of_a_question_has_its_reply() -> None:
    """The table below is whole."""
    assert set(EXPECTED) == set(Outcome) - OPEN


@pytest.mark.parametrize(("outcome", "reply"), EXPECTED.items())
def test_an_outcome_comes_to_a_reply(outcome: Outcome, reply: Reply) -> None:
    """What is malicious is kept from being opened, what has no answer gets the fail mode's."""
    assert AccessPolicy().reply(outcome) is reply


def test_adware_is_blocked_where_that_is_wanted() -> None:
    """And nothing else becomes another for it."""
    policy = AccessPolicy(block_suspicious=True)
    assert {each: policy.reply(each) for each in EXPECTED} == EXPECTED | {Outcome.SUSPICIOUS: Reply.DENY}


@pytest.mark.parametrize("outcome", OPEN)
def test_a_question_that_is_open_is_no_reason_to_let_through(outcome: Outcome) -> None:
    """Should one ever come here, it counts as no answer."""
    assert AccessPolicy().reply(outcome) is Reply.FALL_BACK


def test_a_verdict_that_is_missing_lets_through_unless_told_otherwise() -> None:
    """A machine works on without its SVM."""
    policy = AccessPolicy()
    assert {policy.fallback(operation, "/a") for operation in Operation} == {ALLOW}


def test_no_program_is_started_that_changes_whenever_it_is_read() -> None:
    """Whoever may write to it could bring the fail mode about at will. An open gets it: others write to what
    somebody reads, as to logs, for good reasons.
    """
    policy = AccessPolicy()
    assert policy.fallback(Operation.EXEC, "/a", Outcome.CHANGED) is DENY
    assert policy.fallback(Operation.OPEN, "/a", Outcome.CHANGED) is ALLOW


def test_each_operation_has_its_budget_and_its_fail_mode() -> None:
    """They are set apart."""
    policy = AccessPolicy(
        budgets={Operation.OPEN: 1.0, Operation.EXEC: 2.0},
        fail={Operation.OPEN: ALLOW, Operation.EXEC: DENY},
    )
    assert [policy.budget(Operation.OPEN), policy.budget(Operation.EXEC)] == [1.0, 2.0]
    assert [policy.fallback(Operation.OPEN, "/a"), policy.fallback(Operation.EXEC, "/a")] == [ALLOW, DENY]


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/srv", DENY),
        ("/srv/a", DENY),
        ("/srv/open/a", ALLOW),
        ("/srv/open/shut/a", DENY),
        ("/srv/openly/a", DENY),
        ("/srvx/a", ALLOW),
        ("/other", ALLOW),
    ],
)
def test_the_nearest_directory_above_says_the_fail_mode(path: str, mode: FailMode) -> None:
    """By whole names; elsewhere the operation's own holds."""
    policy = AccessPolicy(fail_mounts={"/srv": DENY, "/srv/open": ALLOW, "/srv/open/shut": DENY})
    assert policy.fallback(Operation.OPEN, path) is mode


@pytest.mark.parametrize(
    ("fail", "below", "mode"),
    [
        (ALLOW, {"/srv": DENY, "/tmp": ALLOW}, DENY),
        (DENY, {"/tmp": ALLOW}, DENY),
        (ALLOW, {"/tmp": ALLOW}, ALLOW),
        (ALLOW, {}, ALLOW),
    ],
)
def test_where_the_path_cannot_be_told_the_strictest_mode_holds(
    fail: FailMode, below: dict[str, FailMode], mode: FailMode
) -> None:
    """Anybody can bring that about."""
    policy = AccessPolicy(fail=dict.fromkeys(Operation, fail), fail_mounts=below)
    assert policy.fallback(Operation.OPEN, "") is mode


def test_the_root_is_above_everything() -> None:
    """Also above what has no name."""
    policy = AccessPolicy(fail_mounts={"/": DENY, "/tmp": ALLOW})
    assert [policy.fallback(Operation.EXEC, path) for path in ("/a", "/tmp/a", "/", "")] == [
        DENY, ALLOW, DENY, DENY,
    ]  # fmt: skip


@pytest.mark.parametrize("action", Action)
def test_only_to_report_keeps_nobody_from_a_file(action: Action) -> None:
    """Whatever else is done with it, it cannot be opened meanwhile."""
    policy = AccessPolicy(action=action, block_suspicious=True)
    reply = Reply.ALLOW if action is Action.REPORT else Reply.DENY
    assert [policy.reply(outcome) for outcome in (Outcome.MALICIOUS, Outcome.SUSPICIOUS)] == [reply] * 2


def test_adware_is_acted_on_where_that_is_wanted() -> None:
    """And nothing else that is no threat."""
    assert [outcome for outcome in Outcome if AccessPolicy().acts_on(outcome)] == [Outcome.MALICIOUS]
    both = AccessPolicy(block_suspicious=True)
    assert {outcome for outcome in Outcome if both.acts_on(outcome)} == {
        Outcome.MALICIOUS,
        Outcome.SUSPICIOUS,
    }
