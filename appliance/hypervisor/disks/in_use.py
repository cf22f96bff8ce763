"""Whether a machine writes to an image, by the locks that QEMU holds on it, and whether one did meanwhile."""

import fcntl
import os
import struct
from dataclasses import dataclass
from typing import Final

from appliance.hypervisor.disks.chain import Chain

# QEMU, block/file-posix.c: who writes holds a lock of this byte: RAW_LOCK_PERM_BASE and that permission.
_WRITES: Final = 100 + 1
_FLOCK: Final = "hhqqi4x"  # struct flock of Linux on 64 bits


@dataclass(frozen=True, slots=True)
class Standing:
    """How the files of a chain stood at a time. Compare two: what differs was written to in between."""

    files: tuple[tuple[int, int, int], ...]
    writer: str

    @classmethod
    def of(cls, chain: Chain) -> "Standing":
        """How they stand now. writer: the first file that somebody writes to, "" for none."""
        files, writer = [], ""
        for layer in chain.layers:
            for path, fd in zip(layer.paths, layer.fds, strict=True):
                told = os.fstat(fd)
                files.append((told.st_size, told.st_mtime_ns, told.st_ctime_ns))
                if not writer and is_written(fd):
                    writer = str(path)
        return cls(tuple(files), writer)


def is_written(fd: int) -> bool:
    """Whether a QEMU has a file open for writing. Where the file system knows no locks: False."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _WRITES, 1, 0)
    try:
        told = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
    except OSError:
        return False
    kind: int = struct.unpack(_FLOCK, told)[0]
    return kind != fcntl.F_UNLCK
