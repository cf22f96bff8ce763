"""What a scan of one content says: values that cross from a worker to the rest of the SVM."""

from dataclasses import dataclass

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Ageing, Detection, NoAnswer, Verdict

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The end of a scan.

    detections: what engines objected to, the most severe first; empty where none did.
    no_answer: set where there is no detection and not all of the content could be looked at.
    generation: that of the engines that looked.
    """

    detections: tuple[Detection, ...]
    no_answer: NoAnswer | None
    generation: int


@dataclass(frozen=True, slots=True)
class SignatureSource:
    """One file of rules or hashes, as loaded. problems: "file:line: what is wrong", at most 100."""

    engine: str
    path: str
    signatures: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineState:
    """How an engine is. problem: "" when ready, else a sentence that says what to do."""

    name: str
    version: str
    ready: bool
    problem: str = ""
    signatures: int = 0


def verdict_of(result: ScanResult, now: float, ageing: Ageing) -> Verdict:
    """Return what is kept of a result that is an answer. now: seconds since the epoch."""
    hour = int(now // _HOUR) * _HOUR
    if not result.detections:
        ends = hour + int(ageing.not_detected_seconds)
        return Verdict(Disposition.NOT_DETECTED, Source.ENGINE, result.generation, hour, ends)
    worst = result.detections[0]
    return Verdict(
        worst.disposition,
        Source.ENGINE,
        result.generation,
        hour,
        threat=worst.threat,
        engine=worst.engine,
        member=worst.member,
    )
