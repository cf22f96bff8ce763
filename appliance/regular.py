"""Files in places where somebody else may have put something that is none."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NoFile(ValueError):
    """What lies there is a pipe, a device or a directory."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it; a pipe would be waited for without end. Raises NoFile, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NoFile("it is no file")
    return os.fdopen(fd, "rb")
