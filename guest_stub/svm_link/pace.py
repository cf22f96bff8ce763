"""How fast a guest takes what its SVM says on Attach: what is said faster waits in the connection."""

from collections.abc import Callable
from typing import Final

from lightagent.v1.guest_pb2 import AttachReply

# An SVM says hundreds of thousands of revoked digests at once when a guest attaches, and little after that.
MOST_AT_ONCE: Final = 4096.0
PER_SECOND: Final = 64.0
_DIGESTS: Final = 64  # that cost as much as a message
_ORDER: Final = 16.0  # what a scan's order costs: it is logged, answered and kept


class Pace:
    """One stream's. Each message has a cost; MOST_AT_ONCE are free, then PER_SECOND come back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: in seconds."""
        self._clock = clock
        self._left, self._at = MOST_AT_ONCE, clock()

    def pause(self, reply: AttachReply) -> float:
        """Seconds to wait before this message is taken, 0.0 for none."""
        now = self._clock()
        self._left = min(MOST_AT_ONCE, self._left + (now - self._at) * PER_SECOND) - _cost(reply)
        self._at = now
        return max(0.0, -self._left / PER_SECOND)


def _cost(reply: AttachReply) -> float:
    if reply.HasField("scan_task"):
        return _ORDER
    return 1.0 + len(reply.revocation.sha256) / _DIGESTS
