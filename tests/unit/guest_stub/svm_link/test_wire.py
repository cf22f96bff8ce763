"""Tests of reading the SVM's messages."""

import pytest
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, verdict_pb2

from guest_stub.outcome import Outcome
from guest_stub.svm_link.values import UNKNOWN, KsnReason, KsnUse, LinkAnswer, Purpose
from guest_stub.svm_link.wire import first_reply, ksn_use, seconds, settled_answer
from tests.support.guest_side_server import numbers


def test_purposes_are_those_of_the_wire() -> None:
    """The numbers of Purpose are the wire's."""
    assert {f"PURPOSE_{purpose.name}": purpose.value for purpose in Purpose} == {
        name: number for name, number in verdict_pb2.Purpose.items() if number
    }


def test_a_first_reply_has_details_and_leases_apart() -> None:
    """A detail of CONTENT_NEEDED is a lease, any other is said beside the outcome."""
    reply = guest_pb2.CheckReply(
        outcomes=numbers(4, 1, 20), generation=9, valid_for=Duration(seconds=60, nanos=500_000_000)
    )
    reply.details.add(index=1, threat="T", engine="yara", member="a/b")
    reply.details.add(index=2, lease=77)
    reply.details.add(index=3, threat="beyond the outcomes")
    first = first_reply(reply)
    assert first.outcomes == [4, 1, 20]
    assert first.leases == {2: 77}
    assert first.told == {1: LinkAnswer(Outcome.MALICIOUS, 9, 60.5, "T", "yara", "a/b")}
    assert (first.generation, first.valid_for) == (9, 60.5)


@pytest.mark.parametrize("number", [0, 6, 99, 100, 102])
def test_a_number_that_is_not_known_is_an_engine_error(number: int) -> None:
    """Zero and unknown numbers end as ENGINE_ERROR and may not be kept, with a detail or without."""
    settled = verdict_pb2.Settled(index=0, outcome=numbers(number)[0], generation=9)
    assert settled_answer(settled, 5.0) == LinkAnswer(Outcome.ENGINE_ERROR)
    settled.detail.reason = "why"
    assert settled_answer(settled, 5.0) == LinkAnswer(Outcome.ENGINE_ERROR, reason="why")


def test_an_unanswered_one_may_not_be_kept() -> None:
    """What is no verdict has neither generation nor time, whatever the message says."""
    settled = verdict_pb2.Settled(outcome=verdict_pb2.OUTCOME_ENCRYPTED, generation=9)
    assert settled_answer(settled, 5.0) == LinkAnswer(Outcome.ENCRYPTED)


def test_content_that_differs_means_a_file_that_changed() -> None:
    """The SVM got other bytes than were hashed: the stub looks at the file again."""
    settled = verdict_pb2.Settled(outcome=verdict_pb2.OUTCOME_CHANGED)
    settled.detail.reason = "look at it again"
    assert settled_answer(settled, 5.0) == LinkAnswer(Outcome.CHANGED, reason="look at it again")


def test_a_verdict_says_how_long_it_may_be_kept() -> None:
    """A settled verdict has its own generation, which may be older than the reply's, and the reply's time."""
    settled = verdict_pb2.Settled(index=0, outcome=verdict_pb2.OUTCOME_CLEAN, generation=9)
    assert settled_answer(settled, 5.0) == LinkAnswer(Outcome.CLEAN, 9, 5.0)


def test_a_detection_names_its_place() -> None:
    """Threat, engine and member stand beside a verdict."""
    settled = verdict_pb2.Settled(outcome=verdict_pb2.OUTCOME_MALICIOUS, generation=9)
    settled.detail.threat, settled.detail.engine, settled.detail.member = "T", "clamd", "m"
    assert settled_answer(settled, 0.0) == LinkAnswer(Outcome.MALICIOUS, 9, 0.0, "T", "clamd", "m")


def test_software_is_named() -> None:
    """Its category stands beside a verdict, of a detection and of any other."""
    settled = verdict_pb2.Settled(outcome=verdict_pb2.OUTCOME_CLEAN, generation=9)
    settled.detail.category = "Firefox 115 (Mozilla), Browser"
    assert settled_answer(settled, 0.0).category == "Firefox 115 (Mozilla), Browser"


def test_an_absent_duration_is_nothing() -> None:
    """No time given is no time at all."""
    assert seconds(guest_pb2.CheckReply().valid_for) == 0.0


def test_what_is_said_of_ksn_is_read() -> None:
    """Numbers become words, and each reason has its sentence."""
    said = verdict_pb2.KsnParticipation(
        state=verdict_pb2.KSN_STATE_RESTRICTED,
        type=verdict_pb2.KSN_TYPE_GLOBAL,
        mode=verdict_pb2.KSN_MODE_STANDARD,
        reasons=[verdict_pb2.KSN_REASON_UNREACHABLE, verdict_pb2.KSN_REASON_NEWER_STATEMENT],
        sentences=["it fails", "there is a newer one"],
        statement_accepted=1,
        statement_in_force=2,
    )
    reasons = (KsnReason("unreachable", "it fails"), KsnReason("newer statement", "there is a newer one"))
    assert ksn_use(said) == KsnUse("restricted", "global", "standard", reasons, 1, 2)


def test_a_ksn_that_nobody_enabled_has_no_type_and_mode() -> None:
    """What is not said is empty, and not unknown."""
    said = verdict_pb2.KsnParticipation(state=verdict_pb2.KSN_STATE_OFF)
    assert ksn_use(said) == KsnUse("off")


def test_words_of_a_newer_svm_are_unknown() -> None:
    """Numbers that this stub has no word for, and a state that is not said, are no error."""
    said = verdict_pb2.KsnParticipation.FromString(b"\x08\x63\x10\x63\x18\x63\x22\x02\x63\x01")
    reasons = (KsnReason(UNKNOWN, ""), KsnReason("provider disabled", ""))
    assert ksn_use(said) == KsnUse(UNKNOWN, UNKNOWN, UNKNOWN, reasons)
    assert ksn_use(verdict_pb2.KsnParticipation()).state == UNKNOWN


def test_sentences_without_a_reason_are_left_out() -> None:
    """An SVM that says more sentences than reasons leaves none of them beside the wrong one."""
    said = verdict_pb2.KsnParticipation(
        reasons=[verdict_pb2.KSN_REASON_REFUSED], sentences=["refused", "and more"]
    )
    assert ksn_use(said).reasons == (KsnReason("refused", "refused"),)
