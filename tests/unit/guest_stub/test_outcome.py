"""Tests of the numbering of outcomes."""

import pytest
from lightagent.v1 import verdict_pb2

from guest_stub.outcome import DETECTIONS, FROM_WIRE, OPEN, VERDICTS, Outcome, from_wire, label


def test_numbers_are_those_of_the_wire() -> None:
    """Each outcome of the wire has the same name and number here, and none is missing."""
    wire = {
        name.removeprefix("OUTCOME_"): number
        for name, number in verdict_pb2.Outcome.items()
        if number != verdict_pb2.OUTCOME_UNSPECIFIED
    }
    assert wire == {outcome.name: outcome.value for outcome in Outcome if outcome in FROM_WIRE}


@pytest.mark.parametrize("number", [0, 5, 9, 16, 22, -1, 99999, int(Outcome.NO_SVM), int(Outcome.UNREADABLE)])
def test_what_an_svm_may_not_say_is_an_engine_error(number: int) -> None:
    """Zero, an unknown number, and the stub's own ends are errors of the sender, never clean."""
    assert from_wire(number) is Outcome.ENGINE_ERROR


def test_what_an_svm_says_is_taken() -> None:
    """Known numbers are taken as they are."""
    assert [from_wire(number) for number in sorted(FROM_WIRE)] == sorted(FROM_WIRE)


def test_only_verdicts_may_be_kept() -> None:
    """Unanswered and open outcomes are no verdicts, and only two verdicts are detections."""
    assert {outcome for outcome in Outcome if outcome < 10} == VERDICTS
    assert VERDICTS.isdisjoint(OPEN)
    assert DETECTIONS < VERDICTS


def test_label_reads_as_words() -> None:
    """People read words."""
    assert label(4) == "not detected"
    assert label(Outcome.NO_SVM) == "no svm"
