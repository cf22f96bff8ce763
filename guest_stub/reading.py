"""Reading files and leaving no trace: access times untouched where permitted, page cache as found."""

import os

OPEN_FLAGS = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
)  # never blocks on a pipe or a device, never follows a link


def open_quietly(path: bytes | str, dir_fd: int | None = None) -> int:
    """Open for reading without touching the access time where permitted; raises OSError.

    Does not follow a symbolic link in the last part of `path`. The caller closes the descriptor.
    """
