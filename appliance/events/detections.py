"""Which detections are news: a guest that asks about a file again and again has found it once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

REMEMBERED = 8192
MOST_PATHS = 16  # of one digest in one guest that are told apart; of more each report is another file
_SECONDS = 3600.0  # after which the same detection is news again


@dataclass(slots=True)
class _Found:
    at: float
    threat: str
    paths: set[int] = field(default_factory=set)  # by their hashes: a collision is one file too few


class Detections:
    """The detections of late, by guest and digest. Remembers REMEMBERED, the latest."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self._clock = clock
        self._found: OrderedDict[tuple[str, bytes], _Found] = OrderedDict()

    def is_news(self, guest_id: str, digest: bytes) -> bool:
        """Whether it is news that a guest is told of a threat."""
        found = self._found.get((guest_id, digest))
        return found is None or self._clock() - found.at >= _SECONDS

    def noted(self, guest_id: str, digest: bytes, threat: str) -> None:
        """Remember that this was told, and will be kept: what is not kept is news when it is told again."""
        key = (guest_id, digest)
        self._found.pop(key, None)
        self._found[key] = _Found(self._clock(), threat)
        if len(self._found) > REMEMBERED:
            self._found.popitem(last=False)

    def reported(self, guest_id: str, digest: bytes, path: bytes) -> str:
        """Note that a guest says it met such a file; the threat where it is one more file, else "".

        The first path is that of the file that was asked about. What this SVM did not call a threat itself
        counts for nothing, whatever the guest says.
        """
        found = self._found.get((guest_id, digest))
        if found is None or hash(path) in found.paths:
            return ""
        if len(found.paths) < MOST_PATHS:
            found.paths.add(hash(path))
        return found.threat if len(found.paths) > 1 else ""
