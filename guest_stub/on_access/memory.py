"""What was decided before, and what of it counts while a process waits.

A record counts as long as its generation is in force and it is not too old. One of earlier signatures lets
a process go on for a grace, which begins when the new generation is heard of, while the file is looked at
anew; before any SVM was heard of it has no end, since nothing newer can be known. A digest counts whatever
becomes of its verdict, and what is revoked counts for nothing else from that moment on.
"""

import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple, Protocol

from guest_stub.decision import FileId
from guest_stub.found import FoundFile
from guest_stub.looking import Looked
from guest_stub.on_access.judging import Judged
from guest_stub.on_access.passing import has_writer, is_settled
from guest_stub.outcome import DETECTIONS, VERDICTS, Outcome
from guest_stub.records import DIGEST_ONLY, Record, identify
from guest_stub.svm_link.values import LinkAnswer


class Kept(Protocol):
    """What was decided before. `decisions.Decisions` is it."""

    def look_up(self, key: bytes, stamp: bytes) -> Record | None:
        """What is kept of a file as it is, whether or not that still counts."""


class Keeping(Protocol):
    """Where decisions go. `keeping.Keeper` is it."""

    def keep(self, files: list[Looked], answer: LinkAnswer, now: float) -> None:
        """Keep a verdict of files."""

    def keep_digests(self, files: list[Looked]) -> None:
        """Keep no more than digests."""

    def keep_loose(self, files: list[Looked]) -> None:
        """Note which content files had that may change unseen."""


class Standing(Enum):
    """What a verdict on record is worth."""

    IN_FORCE = "in force"
    STALE = "stale"  # of earlier signatures, within the grace
    PAST = "past"  # or there is none


class Recalled(NamedTuple):
    """What is known of a file. reliable: whether its key and stamp stand for its content.

    sha256: of the file as it is, b"" where it is not known. judged: by a verdict on record, also one that is
    PAST; None where there is none.
    """

    reliable: bool
    standing: Standing = Standing.PAST
    sha256: bytes = b""
    judged: Judged | None = None


class Memory:
    """Serves one event loop."""

    def __init__(
        self,
        store: tuple[Kept, Keeping],
        generation: Callable[[], int],
        reliable: Callable[[int, int], bool],
        grace: float,
    ) -> None:
        """generation: the SVM's, as said last, 0 before any. reliable: of a file by its descriptor and
        st_dev, whether its inode and change time stand for its content. grace: in seconds.
        """
        self._kept, self._keeping = store
        self._current = generation
        self._reliable = reliable
        self._grace = grace
        self._doubted: set[bytes] = set()
        self._generation = generation()
        self._since = time.monotonic()

    def heard(self) -> bool:
        """A generation was heard: whether it is another than before, so that a grace begins."""
        if self._current() == self._generation:
            return False
        self._generation, self._since = self._current(), time.monotonic()
        return True

    @property
    def unheard(self) -> bool:
        """Whether no SVM has said its generation yet."""
        return self._current() == 0

    def recall(self, fd: int, file: FileId) -> Recalled:
        """What is known of an open file as it is."""
        self.heard()
        if not self._reliable(fd, file.dev):
            return Recalled(reliable=False)
        record = self._kept.look_up(*identify(file))
        if record is None:
            return Recalled(reliable=True)
        if record.outcome == DIGEST_ONLY or record.sha256 in self._doubted:
            return Recalled(reliable=True, sha256=record.sha256)
        judged = Judged(_answer_of(record), record.sha256, file)
        return Recalled(True, self._standing(record), record.sha256, judged)

    def _standing(self, record: Record) -> Standing:
        now = time.time()
        if record.counts(self._generation, now):
            return Standing.IN_FORCE
        grace = self.unheard or time.monotonic() - self._since < self._grace
        return Standing.STALE if grace and now < record.valid_until else Standing.PAST

    def keep(self, fd: int, judged: Judged, known: bytes) -> None:
        """Keep what is known of a reliable file; where a change of it might not show, no more than that it
        had this content: while somebody has it open for writing, since what he writes through a mapping may
        move no time of it, and just after a change. Of one that did not keep still nothing.

        known: its digest as it was recalled, of which more may be on record than an answer without a verdict.
        """
        if not (judged.sha256 and judged.still) or judged.sha256 in self._doubted:
            return
        key, stamp = identify(judged.file)
        found = FoundFile(key, stamp, "", "", judged.file.size)
        looked = [Looked(found, key, stamp, judged.sha256, judged.file.size)]
        if not is_settled(judged.file) or has_writer(fd):
            if judged.answer.outcome in VERDICTS - DETECTIONS:
                self._keeping.keep_loose(looked)
        elif judged.answer.outcome in VERDICTS:
            self._keeping.keep(looked, judged.answer, time.time())
        elif judged.sha256 != known:
            self._keeping.keep_digests(looked)

    def doubt(self, digests: Iterable[bytes]) -> None:
        """Verdicts on these count no more, until trust()."""
        self._doubted.update(digests)

    def trust(self, digests: Iterable[bytes]) -> None:
        """What was on record of these is gone by now; what comes counts."""
        self._doubted.difference_update(digests)

    def doubts(self, sha256: bytes) -> bool:
        """Whether a verdict on this is being revoked."""
        return sha256 in self._doubted


def _answer_of(record: Record) -> LinkAnswer:
    threat, engine, member, category = record.said()
    outcome = Outcome(record.outcome)
    return LinkAnswer(outcome, record.generation, 0.0, threat, engine, member, category=category)
