"""svm policy list|show|create|change|history, over real gRPC."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.policy import Consent, Decision, KsnType, Mode
from appliance.ksn.statement import shown_hash, shown_text, statement, version_in_force
from appliance.rpc.ksn_views import PolicyChange, PolicyDraft, StatementDecision
from tests.support.commands import Ran, svm
from tests.support.ksn_side_server import IN_FORCE, KsnSide, ksn_side, svm_typed

TEXT = statement(KsnType.GLOBAL, IN_FORCE).text
ACCEPTED = StatementDecision(Decision.ACCEPT, KsnType.GLOBAL, IN_FORCE, shown_hash(TEXT))
DECLINED = replace(ACCEPTED, decision=Decision.DECLINE)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[KsnSide]:
    """An SVM without policies."""
    with ksn_side(tmp_path) as running:
        yield running


def policy(side: KsnSide, *arguments: object) -> Ran:
    """Run `svm policy` where nobody can be asked."""
    return svm("policy", *arguments, "--socket", side.path)


def typed(side: KsnSide, answers: str, *arguments: object) -> Ran:
    """Run `svm policy` on a terminal on which the answers are typed."""
    return svm_typed(answers, "policy", *arguments, "--socket", side.path)


def changes(side: KsnSide) -> list[object]:
    """What the SVM was told to make or to change, without who did."""
    return [asked[1:-1] for asked in side.ksn.asked if asked[0] in {"create", "change"}]


def decided(side: KsnSide) -> Consent:
    """The first decision of all."""
    entry = side.ksn.entries[0]
    assert isinstance(entry, Consent)
    return entry


def test_on_a_terminal_the_statement_is_shown_and_asked_about(side: KsnSide) -> None:
    """The whole text stands before the question; what is no answer asks again; the usual tenant decides."""
    ran = typed(side, "yes\n\n accept \n", "create")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(TEXT)
    assert ran.out.count('Tenant default: type "accept" or "decline":') == 3
    said = ran.out.removeprefix(TEXT).splitlines()[1]
    assert said == "To accept is to take part in standard mode, no documents."
    assert changes(side) == [(PolicyDraft("default", ACCEPTED, Mode.STANDARD),)]


def test_a_locked_mode_is_said_before_the_question(side: KsnSide) -> None:
    """The policy begins in the provider's mode, which nobody has named, and in no other than was said."""
    side.ksn.status = replace(side.ksn.status, locked=("mode",))
    ran = typed(side, "accept\n", "create")
    manner = "To accept is to take part in extended mode, no documents; the provider has locked the mode.\n"
    assert ran.out.index(manner) < ran.out.index('type "accept" or "decline"')
    assert "wants at most  extended mode, no documents\n" in ran.out
    assert policy(side, "create", "acme", "--ksn", "decline", "--mode", "standard").code == 0
    assert changes(side) == [
        (PolicyDraft("default", ACCEPTED, Mode.EXTENDED),),
        (PolicyDraft("acme", replace(DECLINED, sha256="00" * 32), Mode.STANDARD),),
    ]


@pytest.mark.parametrize(
    ("limit", "allowed", "said"),
    [
        (Mode.EXTENDED, True, "extended mode, with documents."),
        (Mode.EXTENDED, False, "extended mode, no documents."),
        (Mode.STANDARD, True, "standard mode, no documents."),
    ],
)
def test_who_decides_anew_is_told_how_he_takes_part(
    side: KsnSide, limit: Mode, allowed: bool, said: str
) -> None:
    """In the mode of his policy and of this change, as far as the provider allows it."""
    side.ksn.status = replace(side.ksn.status, mode_limit=limit, documents_allowed=allowed)
    policy(side, "create", "acme", "--ksn", "decline", "--mode", "extended", "--documents", "yes")
    ran = typed(side, "accept\n", "change", "acme")
    assert f"To accept is to take part in {said}\n" in ran.out


def test_who_has_no_policy_to_change_is_told_before_he_reads(side: KsnSide) -> None:
    """The Statement is not shown for nothing."""
    ran = typed(side, "accept\n", "change", "acme")
    assert (ran.code, ran.out) == (2, "")
    assert "tenant 'acme' has no policy: begin one with `svm policy create`" in ran.err


def test_who_declines_has_a_policy_without_ksn(side: KsnSide) -> None:
    """A decline is a decision, and stands in the history like one."""
    assert typed(side, "decline\n", "create", "acme").code == 0
    assert changes(side) == [(PolicyDraft("acme", DECLINED, Mode.STANDARD),)]


@pytest.mark.parametrize("answers", ["", "yes\n", "acc"])
def test_the_end_of_input_makes_no_policy(side: KsnSide, answers: str) -> None:
    """Nobody has decided by going away."""
    ran = typed(side, answers, "create")
    assert (ran.code, ran.err) == (
        2,
        "svm: there is no decision on the KSN Statement, so nothing was changed\n",
    )
    assert changes(side) == []


def test_the_text_is_that_of_the_type_that_the_provider_has_set(side: KsnSide) -> None:
    """Who is asked about a private KSN reads that Statement."""
    side.ksn.status = replace(side.ksn.status, type=KsnType.PRIVATE)
    ran = typed(side, "accept\n", "create")
    text = statement(KsnType.PRIVATE, version_in_force(KsnType.PRIVATE)).text
    assert ran.out.startswith(text)
    assert decided(side).type is KsnType.PRIVATE
    assert decided(side).sha256 == shown_hash(text)


def test_the_providers_own_text_is_shown_and_decided_on(side: KsnSide, tmp_path: Path) -> None:
    """The hash that is sent is of both."""
    addition, config = tmp_path / "ours.txt", tmp_path / "svm.toml"
    addition.write_text("We are Example Ltd.\n")
    config.write_text(f'[ksn]\nstatement_addition_file = "{addition}"\n')
    ran = typed(side, "accept\n", "create", "--config", config)
    text = shown_text(KsnType.GLOBAL, IN_FORCE, "We are Example Ltd.")
    assert ran.out.startswith(text)
    assert decided(side).sha256 == shown_hash(text)


def test_a_version_that_this_svm_does_not_have_is_not_decided_on(side: KsnSide) -> None:
    """An older command cannot show what a newer SVM asks about."""
    participation = replace(side.ksn.status.participation, in_force=99)
    side.ksn.status = replace(side.ksn.status, participation=participation)
    ran = typed(side, "accept\n", "create")
    assert (ran.code, changes(side)) == (2, [])
    assert "there is no version 99 of the global Statement" in ran.err


def test_without_a_terminal_a_decision_is_given_or_there_is_no_policy(side: KsnSide) -> None:
    """The sentence says what to give."""
    ran = policy(side, "create")
    assert (ran.code, changes(side)) == (2, [])
    assert f"--ksn accept --statement {IN_FORCE}, or --ksn decline" in ran.err


def test_a_decision_can_be_given_with_the_version_that_was_read(side: KsnSide) -> None:
    """Then nothing is asked; the mode is the one that is named."""
    ran = policy(side, "create", "acme", "--ksn", "accept", "--statement", IN_FORCE, "--mode", "extended")
    assert (ran.code, ran.err) == (0, "")
    assert "global KSN     accepted version 1 on 2030-03-17 17:46:40 UTC by uid-" in ran.out
    assert policy(side, "create", "other", "--ksn", "decline").code == 0
    assert changes(side) == [
        (PolicyDraft("acme", ACCEPTED, Mode.EXTENDED),),
        (PolicyDraft("other", replace(DECLINED, sha256="00" * 32), Mode.STANDARD),),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ksn", "accept"), "--statement is missing: version 1 of the global Statement is in force"),
        (("--ksn", "accept", "--statement", "2"), "--statement is 2: version 1 of the global Statement"),
        (("--ksn", "decline", "--statement", "0"), "--statement is 0: version 1 of the global Statement"),
        (("--statement", "1"), "--statement counts only with --ksn"),
    ],
)
def test_a_decision_on_another_text_is_refused(side: KsnSide, arguments: tuple[str, ...], said: str) -> None:
    """By create and by change, on a terminal too."""
    policy(side, "create", "acme", "--ksn", "decline")
    before = changes(side)
    for verb, tenant in (("create", "other"), ("change", "acme")):
        for ran in (
            policy(side, verb, tenant, *arguments),
            typed(side, "accept\n", verb, tenant, *arguments),
        ):
            assert ran.code == 2
            assert said in ran.err
    assert changes(side) == before


def test_who_has_a_policy_is_told_before_he_reads(side: KsnSide) -> None:
    """The Statement is not shown for nothing."""
    policy(side, "create", "acme", "--ksn", "decline")
    ran = typed(side, "accept\n", "create", "acme")
    assert (ran.code, ran.out) == (2, "")
    assert "tenant 'acme' has a policy: see `svm policy change`" in ran.err


def test_a_change_names_what_changes_and_decides_nothing_else(side: KsnSide) -> None:
    """--active and --mode ask no question, on a terminal either."""
    policy(side, "create", "acme", "--ksn", "decline")
    assert typed(side, "accept\n", "change", "acme", "--active", "no").code == 0
    assert policy(side, "change", "acme", "--active", "yes", "--mode", "extended").code == 0
    assert policy(side, "change", "acme", "--ksn", "accept", "--statement", IN_FORCE).code == 0
    assert changes(side)[1:] == [
        ("acme", PolicyChange(active=False)),
        ("acme", PolicyChange(active=True, mode=Mode.EXTENDED)),
        ("acme", PolicyChange(decision=ACCEPTED)),
    ]


def test_documents_are_allowed_and_forbidden_by_name(side: KsnSide) -> None:
    """Not named they are not; each change of it is in the history, and it asks no question."""
    policy(side, "create", "acme", "--ksn", "decline", "--documents", "yes")
    assert typed(side, "accept\n", "change", "acme", "--documents", "no").code == 0
    ran = policy(side, "change", "acme", "--documents", "yes", "--mode", "extended")
    assert "wants at most  extended mode, with documents\n" in ran.out
    assert "documents      never leave\n" in ran.out  # what the provider says to it is another matter
    assert policy(side, "show", "acme", "--json").json["documents"] is True
    assert changes(side)[1:] == [
        ("acme", PolicyChange(documents=False)),
        ("acme", PolicyChange(mode=Mode.EXTENDED, documents=True)),
    ]
    history = policy(side, "history", "--json").json
    assert [entry["documents"] for entry in history if entry["kind"] == "settings"] == [True, False, True]


def test_a_change_of_nothing_asks_anew_or_is_refused(side: KsnSide) -> None:
    """On a terminal it is about the decision; elsewhere it is about nothing."""
    policy(side, "create", "acme", "--ksn", "decline")
    ran = policy(side, "change", "acme")
    assert (ran.code, ran.err) == (
        2,
        "svm: nothing is to change: give --ksn, --active, --mode or --documents\n",
    )
    ran = typed(side, "accept\n", "change", "acme")
    assert (ran.code, ran.err) == (0, "")
    assert changes(side)[1:] == [("acme", PolicyChange(decision=ACCEPTED))]


def test_what_the_svm_refuses_is_one_line(side: KsnSide) -> None:
    """Its sentence, and exit code 2."""
    side.ksn.refusal = "the provider has locked participation"
    ran = policy(side, "create", "--ksn", "decline")
    assert (ran.code, ran.err) == (2, "svm: the provider has locked participation\n")


def test_policies_are_listed_and_shown(side: KsnSide) -> None:
    """For people and for programs; who has none is told with exit code 1."""
    assert "there is no policy yet" in policy(side, "list").out
    assert policy(side, "list", "--json").json == []
    policy(side, "create", "acme", "--ksn", "accept", "--statement", IN_FORCE)
    assert policy(side, "list").out.splitlines()[1].split() == ["acme", "yes", "standard", "enabled"]
    shown = policy(side, "show", "acme", "--json").json
    assert policy(side, "list", "--json").json == [shown]
    assert (shown["tenant"], shown["active"], shown["mode"]) == ("acme", True, "standard")
    assert shown["documents"] is False
    assert shown["decided"][0]["decision"] == "accept"
    assert shown["participation"]["state"] == "enabled"
    assert "wants at most  standard mode, no documents\n" in policy(side, "show", "acme").out
    ran = policy(side, "show")
    assert (ran.code, ran.out) == (1, "")
    assert "tenant 'default' has no policy" in ran.err


def test_the_history_has_every_decision_and_every_change(side: KsnSide) -> None:
    """In one count, the newest first, of all tenants or of one, with who it was and on which text."""
    assert policy(side, "history").out == "nothing was decided yet\n"
    policy(side, "create", "acme", "--ksn", "decline")
    policy(side, "change", "acme", "--ksn", "accept", "--statement", IN_FORCE)
    policy(side, "change", "acme", "--active", "no", "--mode", "extended")
    policy(side, "create", "other", "--ksn", "decline")
    *others, changed, accepted, began, declined = policy(side, "history", "--json").json
    assert [(entry["kind"], entry["number"]) for entry in others] == [("settings", 6), ("decision", 5)]
    assert accepted["author"].startswith(f"uid-{os.getuid()}.pid-")
    assert (accepted["at"], accepted["sha256"]) == ("2030-03-17T17:46:40Z", shown_hash(TEXT))
    assert (declined["kind"], declined["decision"]) == ("decision", "decline")
    assert changed == {
        "kind": "settings",
        "number": 4,
        "at": "2030-03-17T17:46:40Z",
        "tenant": "acme",
        "author": changed["author"],
        "active": False,
        "mode": "extended",
        "documents": False,
    }
    assert (began["active"], began["mode"]) == (True, "standard")
    assert policy(side, "history", "acme", "--json").json == [changed, accepted, began, declined]
    assert policy(side, "history", "--limit", "1", "--json").json == others[:1]


def test_the_history_can_be_read(side: KsnSide) -> None:
    """A line for each entry; the text of a decision by the first digits of its SHA-256."""
    policy(side, "create", "acme", "--ksn", "accept", "--statement", IN_FORCE)
    policy(side, "change", "acme", "--active", "no", "--mode", "extended")
    head, *lines = policy(side, "history").out.splitlines()
    assert head.split() == ["no.", "time", "tenant", "who", "did", "type", "version", "text"]
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert "  set: not active, extended mode, no documents  -" in lines[0]
    assert "  set: active, standard mode, no documents      -" in lines[1]
    assert lines[2].split()[6:] == ["accepted", "global", "1", shown_hash(TEXT)[:16]]


def test_what_cannot_be_asked_is_refused_at_home(side: KsnSide) -> None:
    """A limit out of bounds, and what is no name of a tenant."""
    assert "--limit is 0: give 1 to 1000" in policy(side, "history", "--limit", "0").err
    ran = policy(side, "show", "a b\udcff")
    assert ran.code == 2
    assert "is no name of a tenant" in ran.err
    assert side.ksn.asked == []
