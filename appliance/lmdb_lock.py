"""Room for the file beside an LMDB file that names its readers, taken before LMDB maps it.

LMDB makes it with holes and writes through the map: where the disk is full that ends the process by SIGBUS,
without a word. Taken before, the want of room is an error like any other.
"""

import os
from pathlib import Path

BYTES = 8192  # what LMDB makes it for 126 readers


def take_room(path: Path) -> None:
    """Take the room for an LMDB file's `-lock`. Raises OSError where there is none."""
    fd = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, BYTES)
    finally:
        os.close(fd)
