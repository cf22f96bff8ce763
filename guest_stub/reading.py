"""Reading files and leaving no trace: access times untouched where permitted, page cache as found.

What is resident is read with RWF_NOWAIT and stays; what is not is read from the disk and dropped
again at once. Read-ahead would blur the two, so files longer than one piece are read without it.
"""

import errno
import os

# Big enough to hide the cost of a call, small enough to stay in a core's second-level cache.
PIECE_BYTES = 128 * 1024

# Never blocks on a pipe or a device, never follows a link, never becomes a controlling terminal.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_OPEN_UNSEEN = _OPEN_FLAGS | os.O_NOATIME

# What file systems say that do not know RWF_NOWAIT.
_NO_NOWAIT = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})

# What open says when the file is not there any more, or is no file any more.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ELOOP, errno.ENXIO})


def open_quietly(path: bytes | str, dir_fd: int | None = None) -> int:
    """Open for reading without touching the access time where permitted; raises OSError.

    Does not follow a symbolic link in the last part of `path`. The caller closes the descriptor.
    """
    try:
        return os.open(path, _OPEN_UNSEEN, dir_fd=dir_fd)
    except PermissionError:  # O_NOATIME is for the file's owner and for root
        return os.open(path, _OPEN_FLAGS, dir_fd=dir_fd)


def went_away(error: OSError) -> bool:
    """Whether open failed since the file has changed, and not for want of a right or a sound disk."""
    return error.errno in _GONE


def begin(fd: int, size: int) -> None:
    """Prepare a descriptor of a file of `size` bytes for read_quietly()."""
    if size > PIECE_BYTES:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)


def read_quietly(fd: int, buffer: memoryview, offset: int) -> int:
    """Fill `buffer` from `offset`; return the number of bytes, less than its length only at the end.

    From the first byte that is not resident, the rest of the buffer is taken for not resident
    either. On file systems that cannot tell, nothing is dropped, but the kernel is asked to
    give up what is read here before all else. Raises OSError.
    """
    try:
        resident = os.preadv(fd, (buffer,), offset, os.RWF_NOWAIT)
        if resident == len(buffer):
            return resident
        tells = True
    except BlockingIOError:
        resident, tells = 0, True
    except OSError as error:
        if error.errno not in _NO_NOWAIT:
            raise
        resident, tells = 0, False
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_NOREUSE)
    total = _read_all(fd, buffer, offset, resident)
    if tells and total > resident:
        os.posix_fadvise(fd, offset + resident, total - resident, os.POSIX_FADV_DONTNEED)
    return total


def _read_all(fd: int, buffer: memoryview, offset: int, done: int) -> int:
    """Fill `buffer` from its position `done` on, waiting for the disk; return the bytes in it."""
    while done < len(buffer):
        count = os.preadv(fd, (buffer[done:],), offset + done)
        if count == 0:
            break
        done += count
    return done
