"""Domain values as messages of the wire, and the bounds that the wire promises."""

from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import verdict_pb2

from appliance.domain.outcome import Open, Source
from appliance.domain.verdict import Answer, NoAnswer, Verdict

MAX_CHUNK_BYTES = 768 * 1024  # with the headers of many small files still under MAX_MESSAGE_BYTES
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_PARTS = 2048  # of one ScanRequest
MAX_LABEL_BYTES = 256
MAX_NAME_BYTES = 255
MAX_REASON_BYTES = 512


def duration(seconds: float) -> Duration:
    """`seconds` as a Duration, to the nanosecond."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def chunk_bytes(message_bytes: int) -> int:
    """How much of a message may be data, with room for the headers of many small files."""
    return min(MAX_CHUNK_BYTES, message_bytes // 4 * 3)


def label(text: str, most: int = MAX_LABEL_BYTES) -> str:
    """A guest's word, cut to `most` bytes and made printable."""
    cut = text.encode(errors="replace")[:most].decode(errors="ignore")
    if cut.isprintable():  # mostly, and much faster
        return cut
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def verdict_detail(index: int, verdict: Verdict) -> verdict_pb2.Detail:
    """What stands beside the outcome of a verdict."""
    return verdict_pb2.Detail(
        index=index,
        threat=verdict.threat,
        engine=verdict.engine,
        member=verdict.member,
        category=verdict.category,
        source=verdict_pb2.Source.ValueType(int(verdict.source)),
    )


def outcome_of(answer: Answer) -> verdict_pb2.Outcome.ValueType:
    """The number of an answer on the wire."""
    end = answer.why if isinstance(answer, NoAnswer) else answer.disposition
    return verdict_pb2.Outcome.ValueType(int(end))


def detail_of(index: int, answer: Answer) -> verdict_pb2.Detail | None:
    """What stands beside an answer, or None where there is nothing to say."""
    if isinstance(answer, NoAnswer):
        if not answer.reason:
            return None
        reason = answer.reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
        return verdict_pb2.Detail(index=index, reason=reason)
    return verdict_detail(index, answer) if answer.threat or answer.category else None


def settled(index: int, answer: Answer, told: Callable[[int], int]) -> verdict_pb2.Settled:
    """An index that is answered for good. told: a generation as guests know it; of 0, the present one."""
    return verdict_pb2.Settled(
        index=index,
        outcome=outcome_of(answer),
        detail=detail_of(index, answer),
        generation=0 if isinstance(answer, NoAnswer) else told(_generation_of(answer)),
    )


def _generation_of(answer: Verdict) -> int:
    """The generation that a verdict hangs on, 0 for none."""
    return answer.generation if answer.source is Source.ENGINE else 0


def asked_for_content(index: int, lease: int) -> verdict_pb2.Settled:
    """An index whose content this guest is now to send."""
    return verdict_pb2.Settled(
        index=index,
        outcome=verdict_pb2.Outcome.ValueType(int(Open.CONTENT_NEEDED)),
        detail=lease_detail(index, lease),
    )


def lease_detail(index: int, lease: int) -> verdict_pb2.Detail:
    """The lease under which content is to be sent."""
    return verdict_pb2.Detail(index=index, lease=lease)
