"""A file that becomes visible whole, under a name that is free, or not at all."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from guest_stub.remediation.directories import rename_no_replace, sync_directory

_NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_NAMED = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class NewFile:
    """fd: open for reading and writing, mode 0600. show: names it; raises FileExistsError, OSError."""

    fd: int
    show: Callable[[], None]


@contextmanager
def new_file(parent: int, name: bytes) -> Iterator[NewFile]:
    """A file to be written and then shown, once. What was not shown is gone at the end. Raises OSError.

    A file system that knows no nameless files gives it a name of ours until then, which a kill leaves behind.
    """
    try:
        fd, ours = os.open(".", _NAMELESS, 0o600, dir_fd=parent), b""
    except OSError as problem:
        if problem.errno not in _NO_NAMELESS:
            raise
        ours = b".kvm-light-agent-" + os.urandom(6).hex().encode() + b".part"
        fd = os.open(ours, _NAMED, 0o600, dir_fd=parent)
    try:
        yield NewFile(fd, lambda: _show(fd, ours, (parent, name)))
    finally:
        os.close(fd)
        if ours:
            with suppress(FileNotFoundError):
                os.unlink(ours, dir_fd=parent)


def _show(fd: int, ours: bytes, place: tuple[int, bytes]) -> None:
    os.fsync(fd)
    if ours:
        rename_no_replace((place[0], ours), place)
    else:
        name_inode(fd, place)
    sync_directory(place[0])


def name_inode(fd: int, place: tuple[int, bytes]) -> None:
    """Give an open file a name more. Raises FileExistsError where there is something of it, OSError."""
    os.link(f"/proc/self/fd/{fd}", place[1], dst_dir_fd=place[0], follow_symlinks=True)
