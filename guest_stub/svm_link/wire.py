"""Messages of the SVM into the link's values. What one gets wrong ends as ENGINE_ERROR, never as clean."""

from collections.abc import Mapping
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from lightagent.v1.guest_pb2 import CheckReply, CheckUrlReply, UrlOutcome
from lightagent.v1.verdict_pb2 import (
    Detail,
    KsnMode,
    KsnParticipation,
    KsnState,
    KsnType,
    Settled,
    Source,
)
from lightagent.v1.verdict_pb2 import KsnReason as ReasonNumber

from guest_stub.outcome import VERDICTS, Outcome, from_wire
from guest_stub.svm_link.question import FirstReply
from guest_stub.svm_link.values import UNKNOWN, KsnReason, KsnUse, LinkAnswer, UrlAnswer


def _words(names: Mapping[str, int], prefix: str) -> dict[int, str]:
    """The words of an enumeration by number, without zero, which says nothing."""
    return {
        number: name.removeprefix(prefix).lower().replace("_", " ")
        for name, number in names.items()
        if number
    }


_KSN_STATES = _words(dict(KsnState.items()), "KSN_STATE_")
_KSN_TYPES = {0: ""} | _words(dict(KsnType.items()), "KSN_TYPE_")
_KSN_MODES = {0: ""} | _words(dict(KsnMode.items()), "KSN_MODE_")
_KSN_REASONS = _words(dict(ReasonNumber.items()), "KSN_REASON_")

_URL_OUTCOMES = _words(dict(UrlOutcome.items()), "URL_OUTCOME_")
_SOURCES = _words(dict(Source.items()), "SOURCE_")


def seconds(duration: Duration) -> float:
    """A Duration in seconds; an absent one is 0."""
    return duration.seconds + duration.nanos / 1e9


def first_reply(reply: CheckReply) -> FirstReply:
    """The first reply to a batch. Details that name no index of it are left out."""
    outcomes: list[int] = [*reply.outcomes]
    valid_for = seconds(reply.valid_for)
    told: dict[int, LinkAnswer] = {}
    leases: dict[int, int] = {}
    for detail in reply.details:
        index = detail.index
        if index >= len(outcomes):
            continue
        if outcomes[index] == Outcome.CONTENT_NEEDED:
            leases[index] = detail.lease
        else:
            told[index] = answer(outcomes[index], detail, reply.generation, valid_for)
    return FirstReply(outcomes, told, leases, reply.generation, valid_for)


@lru_cache(maxsize=64)
def plain_answer(number: int, generation: int, valid_for: float) -> LinkAnswer:
    """An outcome with nothing said beside it, as most are: made once for all that are alike."""
    outcome = from_wire(number)
    return LinkAnswer(outcome, generation, valid_for) if outcome in VERDICTS else LinkAnswer(outcome)


def answer(number: int, detail: Detail, generation: int, valid_for: float) -> LinkAnswer:
    """An outcome with what is said beside it."""
    outcome = from_wire(number)
    if outcome not in VERDICTS:
        return LinkAnswer(outcome, reason=detail.reason)
    return LinkAnswer(
        outcome,
        generation,
        valid_for,
        threat=detail.threat,
        engine=detail.engine,
        member=detail.member,
        reason=detail.reason,
        category=detail.category,
    )


def settled_answer(settled: Settled, valid_for: float) -> LinkAnswer:
    """What a later reply says of one index. valid_for: that reply's, in seconds."""
    if settled.HasField("detail"):
        return answer(settled.outcome, settled.detail, settled.generation, valid_for)
    return plain_answer(settled.outcome, settled.generation, valid_for)


def ksn_use(said: KsnParticipation) -> KsnUse:
    """How KSN is used. Numbers that are not known here are UNKNOWN, a sentence that is missing is ""."""
    sentences = [*said.sentences, *[""] * len(said.reasons)]
    return KsnUse(
        state=_KSN_STATES.get(said.state, UNKNOWN),
        type=_KSN_TYPES.get(said.type, UNKNOWN),
        mode=_KSN_MODES.get(said.mode, UNKNOWN),
        reasons=tuple(
            KsnReason(_KSN_REASONS.get(number, UNKNOWN), sentence)
            for number, sentence in zip(said.reasons, sentences, strict=False)
        ),
        statement_accepted=said.statement_accepted,
        statement_in_force=said.statement_in_force,
    )


def url_answer(said: CheckUrlReply) -> UrlAnswer:
    """What is said of a web address. An outcome that is not known here is UNKNOWN: never clean."""
    return UrlAnswer(
        outcome=_URL_OUTCOMES.get(said.outcome, UNKNOWN),
        threat=said.threat,
        category=said.category,
        matched=said.matched,
        source=_SOURCES.get(said.source, ""),
        valid_for=seconds(said.valid_for),
        reason=said.reason,
    )
