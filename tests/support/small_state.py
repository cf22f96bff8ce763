"""`svm` with a state.lmdb that may become no larger than so many KiB; run by test_svm_faults.

python -m tests.support.small_state KIB serve --config FILE
"""

import sys

from appliance.__main__ import main
from appliance.state.environment import StateEnvironment, StateFile


def bound(kib: int) -> None:
    """Have every state that is opened from now on be that small."""
    StateEnvironment.open.__func__.__defaults__ = (StateFile(map_bytes=kib << 10),)  # type: ignore[attr-defined]


if __name__ == "__main__":
    bound(int(sys.argv.pop(1)))
    sys.exit(main())
