"""A wall clock that jumps, for a program under test: by the seconds that stand in CLOCK_SHIFT_FILE.

Python loads it when it starts with this directory on its path. Monotonic clocks are left alone, as the kernel
leaves them when somebody sets the time.
"""

import os
import time

_FILE = os.environ["CLOCK_SHIFT_FILE"]
_real, _real_ns = time.time, time.time_ns


def _shift() -> float:
    with open(_FILE, encoding="ascii") as file:
        return float(file.read() or 0)


time.time = lambda: _real() + _shift()
time.time_ns = lambda: _real_ns() + int(_shift() * 1e9)
