"""Directories and names in them, reached so that a symbolic link or a swapped name never leads elsewhere."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOREPLACE = 1  # RENAME_NOREPLACE of renameat2(2), which Python does not know
_NOT_KNOWN = frozenset({errno.EINVAL, errno.ENOSYS})  # by this file system, by this kernel


def split(path: bytes) -> tuple[bytes, bytes]:
    """(directory, name) of an absolute path as the kernel tells it. Raises OSError (EINVAL) for any other."""
    directory, _, name = path.rpartition(b"/")
    if not path.startswith(b"/") or name in (b"", b".", b"..") or b"\0" in path:
        raise OSError(errno.EINVAL, "is no whole path of a file", os.fsdecode(path))
    return directory, name


@contextmanager
def unlinked_directory(path: bytes) -> Iterator[int]:
    """A directory opened for reading, step by step from the root, without following a symbolic link.

    Raises OSError: ENOTDIR or ELOOP where a step is a link. No length of path is too long.
    """
    here = os.open("/", _STEP)
    try:
        for name in path.split(b"/"):
            if name == b"..":
                raise OSError(errno.EINVAL, "has .. in it", os.fsdecode(path))
            if name:
                there = os.open(name, _STEP, dir_fd=here)
                os.close(here)
                here = there
        opened = os.open(".", _OPEN, dir_fd=here)
    finally:
        os.close(here)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def given_place(path: bytes) -> Iterator[tuple[int, bytes]]:
    """(directory, name) of a path that a person gave, whose links are that person's. Raises OSError."""
    directory, name = split(os.path.join(os.getcwdb(), path))
    parent = os.open(directory or b"/", _OPEN)
    try:
        yield parent, name
    finally:
        os.close(parent)


def inode_at(name: bytes, directory: int) -> os.stat_result | None:
    """What has this name in a directory, itself and not what a link leads to; None for nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def rename_no_replace(source: tuple[int, bytes], target: tuple[int, bytes]) -> None:
    """Rename (directory, name); never in place of something. Raises OSError, FileExistsError among them.

    Where the file system cannot do that, a file gets its second name and then loses its first.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    number = errno.ENOSYS
    if hasattr(libc, "renameat2"):
        if libc.renameat2(source[0], source[1], target[0], target[1], _NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
    if number not in _NOT_KNOWN:
        raise OSError(number, os.strerror(number), os.fsdecode(target[1]))
    os.link(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0], follow_symlinks=False)
    os.unlink(source[1], dir_fd=source[0])


@contextmanager
def private_directory(name: bytes, parent: int) -> Iterator[int]:
    """A directory below `parent` that nobody else can change, made if it is not there.

    Removed at the end if it is empty. Raises OSError; EEXIST where the name is somebody else's.
    """
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    opened = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=parent)
    try:
        status = os.fstat(opened)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise FileExistsError(errno.EEXIST, "belongs to somebody else", os.fsdecode(name))
        yield opened
    finally:
        os.close(opened)
        with suppress(OSError):  # something is left in it, or it was moved: no reason to touch anything
            os.rmdir(name, dir_fd=parent)


def sync_directory(directory: int) -> None:
    """Have names on the disk, where the file system can; raises OSError for a disk that fails."""
    try:
        os.fsync(directory)
    except OSError as problem:
        if problem.errno not in _NOT_KNOWN:
            raise
