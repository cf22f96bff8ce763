"""Domain values on the wire."""

from lightagent.v1 import verdict_pb2

from appliance.domain.outcome import Disposition, Open, Source, Unanswered
from appliance.domain.verdict import NoAnswer, Verdict
from appliance.rpc import wire

BAD = Verdict(Disposition.MALICIOUS, Source.ENGINE, 5, 0, threat="T", engine="yara", member="a!b")


def test_the_numbers_of_the_domain_are_those_of_the_wire() -> None:
    """Every outcome and source has one number and one name on both sides."""
    domain = {f"OUTCOME_{end.name}": int(end) for kind in (Disposition, Unanswered, Open) for end in kind}
    assert {**domain, "OUTCOME_UNSPECIFIED": 0} == dict(verdict_pb2.Outcome.items())
    sources = {f"SOURCE_{source.name}": int(source) for source in Source}
    assert {**sources, "SOURCE_UNSPECIFIED": 0} == dict(verdict_pb2.Source.items())


def told(generation: int) -> int:
    """A generation as guests know it."""
    return 1000 + (generation or 9)


def test_a_detection_carries_its_detail() -> None:
    """Threat, engine, member and source go along."""
    settled = wire.settled(3, BAD, told)
    assert (settled.index, settled.outcome) == (3, verdict_pb2.OUTCOME_MALICIOUS)
    assert (settled.detail.threat, settled.detail.engine, settled.detail.member) == ("T", "yara", "a!b")
    assert settled.generation == told(BAD.generation)


def test_a_verdict_that_hangs_on_no_generation_counts_for_the_present_one() -> None:
    """What an administrator said is kept by guests like any other verdict."""
    allowed = Verdict(Disposition.CLEAN, Source.OVERRIDE, 0, 0)
    assert wire.settled(0, allowed, told).generation == told(0)


def test_an_unanswered_end_may_not_be_kept() -> None:
    """It carries a reason and no generation that it would count for."""
    settled = wire.settled(0, NoAnswer(Unanswered.TIMED_OUT, "too slow"), told)
    assert settled.generation == 0
    assert settled.detail.reason == "too slow"


def test_labels_are_bounded_and_printable() -> None:
    """A guest cannot put control characters or a novel into the operator's terminal."""
    label = wire.label("a\x1b[31m\n" + "x" * 1000)
    assert label.isprintable()
    assert len(label.encode()) <= wire.MAX_LABEL_BYTES
