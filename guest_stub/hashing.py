"""SHA-256 of files, many in one go, leaving the page cache as found. Runs in threads, never on the loop."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from guest_stub.decision import FileId
from guest_stub.outcome import Outcome
from guest_stub.pages import blank
from guest_stub.reading import PIECE_BYTES, begin, open_quietly, read_quietly, went_away

if TYPE_CHECKING:
    from _hashlib import HASH

_ZEROS = memoryview(bytes(PIECE_BYTES))  # what a hole in a sparse file reads as


class HashTask(NamedTuple):
    """A file to hash: `path` seen from the directory `dir_fd`, or from the working directory."""

    path: bytes | str
    dir_fd: int | None = None


class HashResult(NamedTuple):
    """What became of a task.

    file: the identity of what was hashed, None where it could not be opened.
    sha256: 32 bytes, or b"" where there is a problem; also of a file that is CHANGED since its times or its
    size moved while it was read: then it is of what was read, which the file may never have been as a whole.
    problem: None; CHANGED (changed while read, gone, or no regular file any more), UNREADABLE, TOO_LARGE.
    reason: a sentence for people, where there is a problem. handle: see HashLimits.
    """

    file: FileId | None
    sha256: bytes
    problem: Outcome | None = None
    reason: str = ""
    handle: bytes = b""


@dataclass(frozen=True, slots=True)
class HashLimits:
    """How much, and how fast.

    max_bytes: larger files end as TOO_LARGE, unread. throttle: told each number of bytes about to be
    hashed; may sleep, in the hashing thread, to hold a rate. stop: asked before each file and each
    PIECE_BYTES of one; True ends the batch with what is done. handle_of: what leads back to each file.
    """

    max_bytes: int
    throttle: Callable[[int], None] | None = None
    stop: Callable[[], bool] | None = None
    handle_of: Callable[[int], bytes] | None = None


class _Stopped(Exception):
    """HashLimits.stop said so."""


class _Shrunk(Exception):
    """The file ended before the size that it had when it was opened."""


class _Scratch(threading.local):
    """The buffer of one hashing thread, made at its first use and reused for each file."""

    def __init__(self) -> None:
        self.view = blank(PIECE_BYTES)


_scratch = _Scratch()


def hash_batch(tasks: Sequence[HashTask], limits: HashLimits) -> list[HashResult]:
    """Hash files one after another; results in the tasks' order, shorter than tasks only after `stop`.

    Meant for an executor's thread with 64 to 256 files at once, so that the hop costs little for each.
    Never raises for a file. Several threads may run it at once; each has one buffer of its own.
    """
    results: list[HashResult] = []
    view = _scratch.view
    stop = limits.stop
    for path, dir_fd in tasks:
        if stop is not None and stop():
            break
        try:
            fd = open_quietly(path, dir_fd)
        except OSError as error:
            results.append(unopened(error))
            continue
        try:
            result = _hash_open(fd, view, limits)
            if limits.handle_of is not None and result.problem is None:
                result = result._replace(handle=limits.handle_of(fd))
            results.append(result)
        except OSError as error:
            results.append(HashResult(None, b"", Outcome.UNREADABLE, _sentence(error)))
        except _Stopped:
            break
        finally:
            os.close(fd)
    return results


def hash_open(fd: int, limits: HashLimits) -> HashResult:
    """Hash an open file from its beginning, wherever the descriptor stands; as hash_batch() for the rest."""
    try:
        return _hash_open(fd, _scratch.view, limits)
    except OSError as error:
        return HashResult(None, b"", Outcome.UNREADABLE, _sentence(error))
    except _Stopped:
        return HashResult(None, b"", Outcome.UNREADABLE, "the stub stops")


def unopened(error: OSError) -> HashResult:
    """The result for a file that could not be opened: CHANGED when it is not there any more."""
    if went_away(error):
        return HashResult(None, b"", Outcome.CHANGED, f"went away before it was read: {_sentence(error)}")
    return HashResult(None, b"", Outcome.UNREADABLE, _sentence(error))


def _hash_open(fd: int, view: memoryview, limits: HashLimits) -> HashResult:
    """Hash an open file; raises OSError and _Stopped."""
    before = os.fstat(fd)
    file = FileId.of(before)
    size = before.st_size
    if not stat.S_ISREG(before.st_mode):
        return HashResult(file, b"", Outcome.CHANGED, "is no regular file any more")
    if size > limits.max_bytes:
        return HashResult(
            file, b"", Outcome.TOO_LARGE, f"{size} bytes, over the limit of {limits.max_bytes} bytes"
        )
    try:
        if size <= PIECE_BYTES:
            digest = _hash_small(fd, size, view, limits)
        elif before.st_blocks * 512 < size:
            digest = _hash_sparse(fd, size, view, limits)
        else:
            digest = _hash_range(fd, size, view, limits)
    except _Shrunk:
        return HashResult(file, b"", Outcome.CHANGED, "became shorter while it was read")
    after = os.fstat(fd)
    if (
        after.st_mtime_ns != before.st_mtime_ns
        or after.st_ctime_ns != before.st_ctime_ns
        or after.st_size != size
    ):
        return HashResult(file, digest, Outcome.CHANGED, "changed while it was read")
    return HashResult(file, digest)


def _hash_small(fd: int, size: int, view: memoryview, limits: HashLimits) -> bytes:
    """Hash a file that fits into the buffer."""
    if limits.throttle is not None:
        limits.throttle(size)
    piece = view[:size]
    if size and read_quietly(fd, piece, 0) != size:
        raise _Shrunk
    return sha256(piece).digest()


def _hash_range(fd: int, size: int, view: memoryview, limits: HashLimits) -> bytes:
    """Hash a file that is larger than the buffer."""
    digest = sha256()
    begin(fd, size)
    _add_data(digest, fd, (0, size), view, limits)
    return digest.digest()


def _hash_sparse(fd: int, size: int, view: memoryview, limits: HashLimits) -> bytes:
    """Hash a file with holes: the holes count as zeros and are never read."""
    digest = sha256()
    begin(fd, size)
    position = 0
    while position < size:
        data, hole = _next_data(fd, position, size)
        _add_zeros(digest, data - position, limits)
        _add_data(digest, fd, (data, hole), view, limits)
        position = hole
    return digest.digest()


def _next_data(fd: int, position: int, size: int) -> tuple[int, int]:
    """Where the next data at or after `position` begins and ends, both at most `size`."""
    try:
        data = os.lseek(fd, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole until the end
            return size, size
        raise
    return min(data, size), min(os.lseek(fd, data, os.SEEK_HOLE), size)


def _add_zeros(digest: "HASH", count: int, limits: HashLimits) -> None:
    while count > 0:
        length = min(count, PIECE_BYTES)
        _pace(length, limits)
        digest.update(_ZEROS[:length])
        count -= length


def _add_data(digest: "HASH", fd: int, span: tuple[int, int], view: memoryview, limits: HashLimits) -> None:
    position, end = span
    while position < end:
        length = min(end - position, PIECE_BYTES)
        _pace(length, limits)
        piece = view if length == PIECE_BYTES else view[:length]
        if read_quietly(fd, piece, position) != length:
            raise _Shrunk
        digest.update(piece)
        position += length


def _pace(length: int, limits: HashLimits) -> None:
    """Before each piece of a large file: stop where asked to, and hold the rate."""
    if limits.stop is not None and limits.stop():
        raise _Stopped
    if limits.throttle is not None:
        limits.throttle(length)


def _sentence(error: OSError) -> str:
    return error.strerror or str(error)
