"""Which detections are news: a guest that asks about a file again and again has found it once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

REMEMBERED = 8192
_SECONDS = 3600.0  # after which the same detection is news again


@dataclass(slots=True)
class _Found:
    at: float
    threat: str
    reports: int = 0


class Detections:
    """The detections of late, by guest and digest. Remembers REMEMBERED, the latest."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds."""
        self._clock = clock
        self._found: OrderedDict[tuple[str, bytes], _Found] = OrderedDict()

    def answered(self, guest_id: str, digest: bytes, threat: str) -> bool:
        """Note that a guest was told of a threat; whether that is news."""
        key, now = (guest_id, digest), self._clock()
        found = self._found.get(key)
        if found is not None and now - found.at < _SECONDS:
            return False
        self._found.pop(key, None)
        self._found[key] = _Found(now, threat)
        if len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return True

    def reported(self, guest_id: str, digest: bytes) -> str:
        """Note that a guest says it met such a file; the threat where it is one more file, else "".

        The first report is about the file that was asked about. What this SVM did not call a threat itself
        counts for nothing, whatever the guest says.
        """
        found = self._found.get((guest_id, digest))
        if found is None:
            return ""
        found.reports += 1
        return found.threat if found.reports > 1 else ""
