"""Harmless contents that were asked about just now: another file that has the same is not asked about again.

A decision hangs on a file and waits until a change of it would show. What a compiler or an installer writes
is opened sooner, and again and again has contents that were there before: each file is hashed, and what the
SVM said of the content stands here. It counts as a decision does: in its generation, for as long as the SVM
said, until it is revoked.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from guest_stub.outcome import DETECTIONS, VERDICTS, Outcome
from guest_stub.svm_link.values import LinkAnswer

MOST: Final = 1024  # contents, some 250 bytes each; the one that was kept first goes first
SECONDS: Final = 600.0  # so that the SVM hears of who holds a content now and then
_HARMLESS: Final = VERDICTS - DETECTIONS


class Recent:
    """Serves one event loop."""

    def __init__(
        self,
        generation: Callable[[], int],
        doubts: Callable[[bytes], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """generation: the SVM's, as said last. doubts: whether a verdict on a digest is being revoked."""
        self._generation = generation
        self._doubts = doubts
        self._clock = clock
        self._kept: dict[bytes, tuple[LinkAnswer, float]] = {}
        self._usual = LinkAnswer(Outcome.NOT_DETECTED)

    def recall(self, sha256: bytes) -> LinkAnswer | None:
        """What the SVM said of a content, if that counts now."""
        answer, until = self._kept.get(sha256, (None, 0.0))
        if answer is None or answer.generation != self._generation() or self._doubts(sha256):
            return None
        left = until - self._clock()
        return answer._replace(valid_for=left) if left > 0 else None

    def keep(self, sha256: bytes, answer: LinkAnswer) -> None:
        """Keep what the SVM said of a content, where that is for keeping."""
        if answer.outcome not in _HARMLESS or self._doubts(sha256):
            return
        said = answer._replace(valid_for=0.0)
        if said != self._usual:
            self._usual = said
        self._kept.pop(sha256, None)  # one tuple stands for all contents of which the same was said
        self._kept[sha256] = self._usual, self._clock() + min(answer.valid_for, SECONDS)
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def forget(self, digests: Iterable[bytes]) -> None:
        """What was said of these counts no more."""
        for sha256 in digests:
            self._kept.pop(sha256, None)

    def clear(self) -> None:
        """Nothing counts any more: the SVM may have said otherwise where it was not heard."""
        self._kept.clear()
