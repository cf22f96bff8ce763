"""What stands for a file without reading it."""

import os
from typing import NamedTuple


class FileId(NamedTuple):
    """Stands for a file's content as long as nobody changes it; no field is chosen by the file's owner alone.

    A tuple and not a dataclass, since one is made for each file of each walk. Size in bytes, times in
    nanoseconds since the epoch. ctime_ns moves with every write and cannot be set back by its owner.
    """

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileId":
        """The identity that `os.stat`, `lstat` or `fstat` reports."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
