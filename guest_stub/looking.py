"""Looks at files: opens them however long their path is, hashes them, looks again at those that change."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from guest_stub.ends import End, Left
from guest_stub.found import FoundFile
from guest_stub.hashing import HashLimits, HashResult, HashTask, hash_batch
from guest_stub.outcome import Outcome
from guest_stub.reading import open_quietly
from guest_stub.records import identify

MAX_LOOKS = 3  # at a file that changes while it is read
CHUNK_FILES = 64
CHUNK_BYTES = 8 << 20

_PATH_MAX = 4096  # of the kernel, with the closing zero byte
_MOST_BYTES_A_CHARACTER = 4  # of UTF-8
SAME_TICK_NS = (
    2_000_000_000  # the coarsest change times of the file systems that decisions are kept for, doubled
)


class Looked(NamedTuple):
    """What is known of a file before the SVM is asked.

    key, stamp: its identity when it was read; key empty where a later change might not show in it.
    sha256: 32 bytes; or b"" and an end, with its reason. tries: how often it changed under the scan.
    replaced: its name was given to another file after the walk, and that is what was read. inode, handle: by
    which what was read is found again; inode as a key, whether a later change shows or not.
    """

    file: FoundFile
    key: bytes
    stamp: bytes
    sha256: bytes
    size: int
    end: End | None = None
    reason: str = ""
    tries: int = 0
    replaced: bool = False
    inode: bytes = b""
    handle: bytes = b""

    @classmethod
    def known(cls, file: FoundFile, sha256: bytes) -> "Looked":
        """A file that was not changed since it was hashed in an earlier scan."""
        return cls(file, file.key, file.stamp, sha256, file.size, inode=file.key)


class Chunk(NamedTuple):
    """Files that one thread hashes in one go. tries: how often they changed under the scan before."""

    files: Sequence[FoundFile]
    tries: int = 0


def open_file(directory: str, name: str) -> int:
    """Open `directory/name` for reading, also where that is longer than a path may be; raises OSError."""
    path = f"{directory}/{name}"
    if _is_short(path):
        return open_quietly(path)
    parent = _open_parent(directory)
    try:
        return open_quietly(name, parent)
    finally:
        os.close(parent)


def _is_short(path: str) -> bool:
    """Whether the kernel takes the path in one piece."""
    return len(path) < _PATH_MAX // _MOST_BYTES_A_CHARACTER or len(os.fsencode(path)) < _PATH_MAX


def _open_parent(directory: str) -> int:
    """A descriptor of a directory, by pieces of its path that the kernel takes; raises OSError."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for piece in _pieces(os.fsencode(directory)):
            deeper = os.open(piece, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = deeper
    except OSError:
        os.close(fd)
        raise
    return fd


def _pieces(path: bytes) -> list[bytes]:
    pieces = [b"."]
    for part in path.split(b"/"):
        if len(pieces[-1]) + len(part) + 1 < _PATH_MAX:
            pieces[-1] += b"/" + part
        else:
            pieces.append(part)
    return pieces


def look(chunk: Chunk, limits: HashLimits, clock: Callable[[], float]) -> list[Looked]:
    """Hash each file; one that changes meanwhile is tried again after the others. Fewer after `stop`."""
    files, tries, looked = list(chunk.files), chunk.tries, list[Looked]()
    while files:
        started_ns = int(clock() * 1e9)
        again: list[FoundFile] = []
        for file, result in zip(files, _hash(files, limits), strict=False):
            if result.problem is Outcome.CHANGED and _is_gone(file):
                looked.append(_ended(file, result, Left.VANISHED, tries))
            elif result.problem is Outcome.CHANGED and tries + 1 < MAX_LOOKS:
                again.append(file)
            elif result.problem is not None:
                looked.append(_ended(file, result, result.problem, tries))
            else:
                looked.append(_hashed(file, result, started_ns, tries))
        files, tries = again, tries + 1
    return looked


def _hash(files: Sequence[FoundFile], limits: HashLimits) -> list[HashResult]:
    with ExitStack() as stack:
        tasks = []
        for file in files:
            path = f"{file.directory}/{file.name}"
            if _is_short(path):
                tasks.append(HashTask(path))
                continue
            try:
                parent = _open_parent(file.directory)
            except OSError:
                tasks.append(HashTask(path))  # fails as it must
            else:
                stack.callback(os.close, parent)
                tasks.append(HashTask(file.name, parent))
        return hash_batch(tasks, limits)


def _hashed(file: FoundFile, result: HashResult, started_ns: int, tries: int) -> Looked:
    assert result.file is not None
    key, stamp = identify(result.file)
    if key == file.key and stamp == file.stamp:  # mostly; kept in memory once
        key, stamp = file.key, file.stamp
    # A write within the same tick of the clock as the last one would not move the change time.
    settled = result.file.ctime_ns < started_ns - SAME_TICK_NS
    keepable = key if file.key and settled else b""
    replaced = key != file.key and file.names > 1
    looked = Looked(file, keepable, stamp, result.sha256, result.file.size, tries=tries, replaced=replaced)
    return looked._replace(inode=key if file.key else b"", handle=result.handle)


def _ended(file: FoundFile, result: HashResult, end: End, tries: int) -> Looked:
    return Looked(file, b"", b"", b"", file.size, end, result.reason, tries)


def _is_gone(file: FoundFile) -> bool:
    try:
        os.close(open_file(file.directory, file.name))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
