"""The program `disk-reader`: questions come on its standard input, answers go to its standard output."""

import os
import resource
import sys
from typing import Final

_MEMORY_BYTES: Final = 1 << 30  # of its own
_ADDRESS_BYTES: Final = 4 << 30


def main() -> int:
    """Give up what is not needed, for good, then serve until nobody asks any more."""
    for what, most in (
        (resource.RLIMIT_DATA, _MEMORY_BYTES),
        (resource.RLIMIT_AS, _ADDRESS_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 1),
    ):
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))
    from appliance.disk_reader.serving import serve  # noqa: PLC0415  # within the limits

    goes = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no message
    serve(0, goes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
