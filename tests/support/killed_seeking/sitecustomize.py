"""A stub that is killed when it begins to look for files that it noted, for a program under test.

Python loads it when it starts with this directory on its path.
"""

import os
import signal

from guest_stub import sought
from guest_stub.records import Seen


def _killed(self: sought.Sought) -> list[Seen]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(f"{self} lives")


sought.Sought.take = _killed  # type: ignore[method-assign]
