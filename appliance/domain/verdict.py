"""What is known of a digest, and by whom; or why nothing is."""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.domain.outcome import Disposition, Source, Unanswered

MAX_THREAT_BYTES = 256
MAX_MEMBER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Detection:
    """What an engine objected to.

    threat: at most MAX_THREAT_BYTES of UTF-8. engine: the engine's name. member: path inside the
    container, at most MAX_MEMBER_BYTES, "" for the file itself. disposition: MALICIOUS or SUSPICIOUS.
    """

    threat: str
    engine: str
    member: str = ""
    disposition: Disposition = Disposition.MALICIOUS


@dataclass(frozen=True, slots=True)
class Verdict:
    """An entry of the cache.

    generation: the one it was made with, 0 where none applies (overrides, lists); of KSN's word the epoch.
    stored_at, expires_at: seconds since the epoch, to the hour; expires_at 0: no time limit.
    """

    disposition: Disposition
    source: Source
    generation: int
    stored_at: int
    expires_at: int = 0
    threat: str = ""
    engine: str = ""
    member: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why a question about a digest ended without a verdict."""

    why: Unanswered
    reason: str = ""  # a sentence for people


Answer = Verdict | NoAnswer


@dataclass(frozen=True, slots=True)
class Ageing:
    """How long verdicts count and how long their writes may wait."""

    not_detected_seconds: float = 30 * 86_400.0
    commit_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a batch.

    outcomes: one number for each digest, MISS where content is needed; misses: how many are that.
    notable: by index, the verdicts that say more than their outcome.
    """

    outcomes: list[int]
    misses: int
    notable: dict[int, Verdict]


def tells_of_threat(answer: Answer) -> bool:
    """Whether an answer tells of a threat that was found; what an administrator blocks was not."""
    if not isinstance(answer, Verdict) or answer.source is Source.OVERRIDE:
        return False
    return answer.disposition.is_detection


def merged(first: Sequence[Verdict | None], second: Sequence[Verdict | None]) -> list[Verdict | None]:
    """For each digest the first verdict where there is one, but the second where that is worse."""
    return [
        theirs if ours is None or (theirs is not None and theirs.disposition < ours.disposition) else ours
        for ours, theirs in zip(first, second, strict=True)
    ]


def is_flip(before: Verdict, now: Verdict) -> bool:
    """Whether one of the two is a detection, and the other is not."""
    return before.disposition.is_detection != now.disposition.is_detection


def is_notable(verdict: Verdict) -> bool:
    """Whether a verdict says more than its outcome."""
    return verdict.disposition.is_detection or bool(verdict.category)
