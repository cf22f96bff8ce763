"""What of a file is in the page cache, as the kernel's mincore says."""

import ctypes
import mmap
import os
import re
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)


def resident_pages(path: Path) -> list[bool]:
    """Whether each page of the file is in memory."""
    pages = -(-path.stat().st_size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        if _LIBC.mincore(ctypes.byref(first), ctypes.c_size_t(len(mapped)), found) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        del first
    return [bool(page & 1) for page in found]


def evict(path: Path) -> None:
    """Put the file out of the page cache; skips the test where the file system keeps it in memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if any(resident_pages(path)):
        pytest.skip("this file system holds its files in memory")


def mapped_bytes(path: Path) -> int:
    """How much of a file counts as this process's memory, as it is mapped."""
    said = Path("/proc/self/smaps").read_text()
    found = re.findall(rf" {re.escape(str(path))}\n(?:[A-Za-z_]+:.*\n)*?Rss: +(\d+) kB", said)
    return sum(int(kib) << 10 for kib in found)
