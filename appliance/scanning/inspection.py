"""Shows one file to all engines, and each member of what it unpacks to: what a worker calls per content.

The worst detection wins over everything; what could not be looked at ends as unanswered, never as
clean. A damaged container is scanned whole, and so is every member that could be read: if nothing
is found it counts as looked at, and `damaged` says so (docs/limitations.md says why).
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from appliance.config import UnpackLimits
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import Detection, NoAnswer
from appliance.scanning.archive import OUT_OF_MEMORY
from appliance.scanning.budget import Budget, TooLarge
from appliance.scanning.containers import Kind, container_kinds
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import MAX_DETECTIONS, Engine, EngineFailure
from appliance.scanning.unpacking import Damaged, Encrypted, NotSupported, members

# Where several reasons meet: what may pass when asked again is said before what lies in the content.
_WEIGHT = {
    Unanswered.ENGINE_ERROR: 4,
    Unanswered.TIMED_OUT: 3,
    Unanswered.TOO_LARGE: 2,
    Unanswered.ENCRYPTED: 1,
    Unanswered.OVERLOADED: 0,
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What all engines say of one file.

    detections: the most severe first, at most MAX_DETECTIONS. no_answer: set where there is no
    detection and not all could be looked at. damaged: a sentence where a container could not be read
    to its end, else "".
    """

    detections: tuple[Detection, ...] = ()
    no_answer: NoAnswer | None = None
    damaged: str = ""


def inspect(engines: Sequence[Engine], content: Content, limits: UnpackLimits) -> Inspection:
    """Return what `engines` say of `content` and its members. Raises OSError if it cannot be read."""
    inspector = _Inspector(tuple(engine for engine in engines if not engine.unpacks))
    try:
        inspector.show(engines, content)
        if not inspector.malicious:
            inspector.unpack(content, 1, Budget(limits, content.size))
    except TooLarge as limit:
        inspector.no_answer(Unanswered.TOO_LARGE, str(limit))
    except MemoryError:
        inspector.no_answer(Unanswered.TOO_LARGE, OUT_OF_MEMORY)
    return inspector.result()


class _Inspector:
    """Gathers what is said of one file and its members."""

    def __init__(self, engines_for_members: tuple[Engine, ...]) -> None:
        self.malicious = False
        self._engines = engines_for_members
        self._detections: list[Detection] = []
        self._no_answer: NoAnswer | None = None
        self._damaged = ""

    def show(self, engines: Sequence[Engine], content: Content) -> None:
        """Have each engine look at `content`, and keep what it says."""
        for engine in engines:
            try:
                detections = engine.scan(content)
            except EngineFailure as failure:
                self.no_answer(failure.why, str(failure))
                continue
            for detection in detections:
                self.malicious = self.malicious or detection.disposition is Disposition.MALICIOUS
                self._detections.append(detection)
        if len(self._detections) > MAX_DETECTIONS:
            self._detections = self._worst()

    def unpack(self, content: Content, depth: int, budget: Budget) -> None:
        """Show what `content` holds, as deep as it goes, until something malicious is found."""
        for number, kind in enumerate(container_kinds(content.data)):
            if self.malicious:
                return
            if number:  # a file can be a zip a thousand times
                budget.add_member()
            self._unpack_as(kind, content, depth, budget)

    def _unpack_as(self, kind: Kind, content: Content, depth: int, budget: Budget) -> None:
        budget.descend(depth)
        try:
            with closing(members(content, kind, budget)) as found:
                for member in found:
                    self.show(self._engines, member)
                    if not self.malicious:
                        self.unpack(member, depth + 1, budget)
                    if self.malicious:
                        return
        except Encrypted as protected:
            self.no_answer(Unanswered.ENCRYPTED, str(protected))
        except NotSupported as unread:
            self.no_answer(
                Unanswered.ENGINE_ERROR, f"{_place(kind, content)} could not be unpacked: {unread}"
            )
        except Damaged as damage:
            self._damaged = self._damaged or f"{_place(kind, content)} could not be read to its end: {damage}"

    def no_answer(self, why: Unanswered, reason: str) -> None:
        """Note why not all could be looked at."""
        if self._no_answer is None or _WEIGHT[why] > _WEIGHT[self._no_answer.why]:
            self._no_answer = NoAnswer(why, reason)

    def result(self) -> Inspection:
        """Weigh all that was noted."""
        if self._detections:
            return Inspection(tuple(self._worst()), damaged=self._damaged)
        return Inspection((), self._no_answer, self._damaged)

    def _worst(self) -> list[Detection]:
        self._detections.sort(key=lambda detection: detection.disposition)
        return self._detections[:MAX_DETECTIONS]


def _place(kind: Kind, content: Content) -> str:
    return f"the {kind.name} {content.member}" if content.member else f"the {kind.name}"
