"""Keeps what an ordered scan learns with all else of the daemon, but no verdict that is being revoked."""

from collections.abc import Callable, Sequence

from guest_stub.looking import Looked
from guest_stub.on_demand import Keeping
from guest_stub.svm_link.values import LinkAnswer


class Careful:
    """An on_demand.Keeping."""

    def __init__(self, keeper: Keeping, doubts: Callable[[bytes], bool]) -> None:
        """doubts: whether a verdict on a content is being revoked (on_access.memory.Memory)."""
        self._keeper = keeper
        self._doubts = doubts

    def keep(self, files: Sequence[Looked], answer: LinkAnswer, now: float) -> None:
        """See Keeping."""
        self._keeper.keep([file for file in files if not self._doubts(file.sha256)], answer, now)

    def keep_digests(self, files: Sequence[Looked]) -> None:
        """See Keeping."""
        self._keeper.keep_digests(files)

    def flush(self) -> None:
        """See Keeping."""
        self._keeper.flush()
