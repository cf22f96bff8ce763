"""How often a machine gets a token: some at once, then one in a while."""

import math
from collections.abc import Callable

BURST = 5
EVERY_SECONDS = 600.0


class Allowance:
    """Of one machine."""

    def __init__(
        self, clock: Callable[[], float], burst: int = BURST, every_seconds: float = EVERY_SECONDS
    ) -> None:
        """clock: seconds that never go back."""
        self._clock = clock
        self._burst = burst
        self._every = every_seconds
        self._full_at = clock()  # when nothing of it would be used any more

    def takes(self) -> bool:
        """Use one, where there is one."""
        if self.wait() > 0:
            return False
        self._full_at = max(self._full_at, self._clock()) + self._every
        return True

    def give_back(self) -> None:
        """What was taken led to nothing, by no fault of the machine's."""
        self._full_at -= self._every

    def wait(self) -> int:
        """In how many seconds there is one, 0 for now."""
        used = self._full_at - self._clock()
        return max(0, math.ceil(used - (self._burst - 1) * self._every))
