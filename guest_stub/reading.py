"""Reading files and leaving no trace: access times untouched where permitted, page cache as found.

What is resident is read with RWF_NOWAIT and stays; what is not is read from the disk and dropped
again at once. Read-ahead would blur the two, so files longer than one piece are read without it.
"""

import errno
import os

# Big enough to hide the cost of a call, small enough to stay in a core's second-level cache.
PIECE_BYTES = 256 * 1024

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

    From the first byte of a piece that is not resident, the rest of the piece is taken for not resident
    either. On file systems that cannot tell, nothing is dropped, but the kernel is asked to
    give up what is read here before all else. Raises OSError.
    """
    if len(buffer) <= PIECE_BYTES:
        return _read_piece(fd, buffer, offset)
    total = 0
    while total < len(buffer):
        piece = buffer[total : total + PIECE_BYTES]
        count = _read_piece(fd, piece, offset + total)
        total += count
        if count < len(piece):
            break
    return total


def read_resident(fd: int, buffer: memoryview, offset: int) -> int | None:
    """Fill `buffer` from `offset` with what is resident, never waiting for a disk.

    Returns the number of bytes before the first that is not resident; go_on_reading() is to be called
    then, since the kernel has begun to fetch that. None where the file system cannot tell. Raises OSError.
    """
    total = 0
    while total < len(buffer):
        piece = buffer[total : total + PIECE_BYTES]
        resident = _read_nowait(fd, piece, offset + total)
        if resident is None:
            return None
        total += resident
        if resident < len(piece):
            break
    return total


def go_on_reading(fd: int, buffer: memoryview, offset: int, resident: int) -> int:
    """Fill what read_resident() has left of `buffer`, as read_quietly() would; return all bytes in it."""
    end = min(len(buffer), resident - resident % PIECE_BYTES + PIECE_BYTES)
    total = _read_cold(fd, buffer[:end], offset, resident)
    if total == end < len(buffer):
        total += read_quietly(fd, buffer[end:], offset + end)
    return total


def _read_piece(fd: int, buffer: memoryview, offset: int) -> int:
    resident = _read_nowait(fd, buffer, offset)
    if resident == len(buffer):
        return resident
    if resident is None:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_NOREUSE)
        return _read_all(fd, buffer, offset, 0)
    return _read_cold(fd, buffer, offset, resident)


def _read_nowait(fd: int, buffer: memoryview, offset: int) -> int | None:
    """Read what is resident; the number of bytes, None where the file system cannot tell."""
    try:
        return os.preadv(fd, (buffer,), offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno not in _NO_NOWAIT:
            raise
        return None


def _read_cold(fd: int, buffer: memoryview, offset: int, resident: int) -> int:
    """Read from the disk what follows the first `resident` bytes, and drop it from the page cache."""
    total = _read_all(fd, buffer, offset, resident)
    if total > resident:
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
