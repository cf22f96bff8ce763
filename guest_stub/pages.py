"""Memory given back: that of a mapped file, without opening the file again, and what was freed.

And memory that is not taken before it is used.

What is read through a mapping counts as this process's memory until it is unmapped. madvise(2) lets go of the
pages of a shared mapping; whoever reads it again finds the file as it is.
"""

import ctypes
import mmap
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def blank(size: int) -> memoryview:
    """`size` bytes, 1 or more, to write into. Pages count as memory only once they were written into."""
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def release(path: Path, maps: Path = Path("/proc/self/maps")) -> int:
    """Let go of what this process has touched of its shared mappings of a file; how many there are."""
    name = b" " + os.fsencode(os.path.realpath(path))
    count = 0
    for line in maps.read_bytes().split(b"\n"):
        if line.endswith(name) and line.split(b" ", 2)[1].endswith(b"s"):
            start, end = (int(number, 16) for number in line.split(b" ", 1)[0].split(b"-"))
            count += _libc.madvise(start, end - start, mmap.MADV_DONTNEED) == 0
    return count


def share_one_arena() -> None:
    """Have threads that begin from now on share what was freed, instead of each keeping some of its own."""
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def trim() -> None:
    """Give back what was freed and the C library keeps; of no effect with one that has no malloc_trim(3)."""
    malloc_trim = getattr(_libc, "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
