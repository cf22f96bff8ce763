"""Takes a file away that is known by an open descriptor, and never another one.

A name is a claim: between a look at it and its removal somebody may put another file under it. So the name
is moved into a directory that is made beside it and that nobody else can change; what arrived there is
compared with the descriptor, and is put back if it is something else. Where the name cannot be found
or moved, and where the file has more names (hard links), the file itself is emptied, through the descriptor.

Its owner moves a file's times as he likes, and that is not to save it: a file whose times have moved is read
again, and is left where its content is another.
"""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from guest_stub.decision import FileId
from guest_stub.hashing import HashLimits, hash_open
from guest_stub.remediation.attributes import APPEND_ONLY, IMMUTABLE, flags_of, set_flags
from guest_stub.remediation.directories import (
    inode_at,
    private_directory,
    rename_no_replace,
    split,
    sync_directory,
    unlinked_directory,
)
from guest_stub.remediation.facts import Judged

MOVED = b"file"  # what is being removed, in its private directory
MOST_NAMES = 100_000  # of one directory that are looked through for a file's name
_GONE = b" (deleted)"  # what the kernel writes behind a name that is gone, or never was
_ATTEMPTS = 3  # at a name that moves away while it is looked at


class Changed(Exception):
    """The file is not what was judged any more; it was left, or put back. The message says why."""


@dataclass(frozen=True, slots=True)
class Removed:
    """unnamed: its name is gone. emptied: it has no content any more, under any name.

    other_names: how many still lead to it. note: what a person should know of it, a sentence or "".
    """

    unnamed: bool
    emptied: bool
    other_names: int
    note: str = ""


def beside(id: str) -> bytes:
    """The name of the private directory that a removal makes beside the file."""
    return b".kvm-light-agent-" + id.encode()


def path_of(fd: int) -> bytes:
    """Where the kernel knows an open file; b"" where it cannot tell (4,096 bytes and more).

    A file that was made without a name, as a restore makes it, and given one later has none for the kernel:
    it is looked for where it was made.
    """
    try:
        told = os.readlink(b"/proc/self/fd/%d" % fd)
    except OSError:
        return b""
    return _name_beside(told, fd) if told.endswith(_GONE) and not leads_to(told, fd) else told


def _name_beside(told: bytes, fd: int) -> bytes:
    """A name that leads to an open file, in the directory of the one that the kernel tells; else that one."""
    inode = os.fstat(fd).st_ino
    with suppress(OSError):
        directory, _ = split(told)
        with unlinked_directory(directory) as parent, os.scandir(parent) as entries:
            for entry in islice(entries, MOST_NAMES):
                if entry.inode() == inode and _is(inode_at(os.fsencode(entry.name), parent), fd):
                    return directory + b"/" + os.fsencode(entry.name)
    return told


def leads_to(path: bytes, fd: int) -> bool:
    """Whether a path leads to an open file, without links, from where this program stands.

    Not so for files of containers, and for those under a mount: the kernel tells their paths all the same.
    """
    try:
        directory, name = split(path)
        with unlinked_directory(directory) as parent:
            return _is(inode_at(name, parent), fd)
    except OSError:
        return False


def check_there(fd: int, judged: Judged) -> os.stat_result:
    """What the file is now: one that has a name, and can have the content that was judged. Raises Changed."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Changed("it is no regular file")
    if status.st_nlink == 0:
        raise Changed("it was removed by somebody else")
    if (status.st_dev, status.st_ino, status.st_size) != judged.file[:3]:
        raise Changed("it was changed since it was judged")
    return status


def check_unchanged(fd: int, judged: Judged) -> None:
    """See that the file is what was judged; it is read again where its times have moved. Raises Changed."""
    if FileId.of(check_there(fd, judged)) != judged.file and not has_content(fd, judged):
        raise Changed("it was changed since it was judged")


def has_content(fd: int, judged: Judged) -> bool:
    """Read a file: whether it has the content that was judged. False where the digest is not known."""
    return bool(judged.sha256) and hash_open(fd, HashLimits(judged.file.size)).sha256 == judged.sha256


def remove(fd: int, judged: Judged, room: bytes) -> Removed:
    """Remove the file of this descriptor. Raises Changed, or OSError where it is left as it was.

    judged: with its identity as it was judged; where the digest is b"" its times may not have moved. room: a
    name for the private directory, which nobody can guess.
    """
    check_unchanged(fd, judged)
    flags = flags_of(fd)
    locked = flags & (IMMUTABLE | APPEND_ONLY)
    if locked:
        _unlock(fd, flags & ~locked)
        judged = replace(judged, file=judged.file._replace(ctime_ns=os.fstat(fd).st_ctime_ns))
    try:
        return _unname(fd, judged, room)
    except (OSError, Changed):
        if locked:
            with suppress(OSError):
                set_flags(fd, flags)
        raise


def _unlock(fd: int, flags: int) -> None:
    try:
        set_flags(fd, flags)
    except OSError as problem:
        raise OSError(
            problem.errno, f"it is immutable or append-only (chattr), which stays: {problem.strerror}"
        ) from problem


def _unname(fd: int, judged: Judged, room: bytes) -> Removed:
    why: OSError = FileNotFoundError(errno.ENOENT, "its name cannot be found")
    for _ in range(_ATTEMPTS):
        check_unchanged(fd, judged)
        try:
            directory, name = split(path_of(fd))
            with unlinked_directory(directory) as parent:
                if _is(inode_at(name, parent), fd):
                    return _move_and_unlink(fd, judged, (parent, name), room)
        except OSError as problem:
            why = problem
    try:
        empty(fd, judged)
    except OSError as problem:
        raise why if problem.errno == why.errno else _both(why, problem) from problem
    note = f"its name is left, on an empty file: {why.strerror}"
    return Removed(unnamed=False, emptied=True, other_names=os.fstat(fd).st_nlink, note=note)


def _both(why: OSError, problem: OSError) -> OSError:
    return OSError(why.errno, f"{why.strerror}; nor could it be emptied: {problem.strerror}")


def _move_and_unlink(fd: int, judged: Judged, place: tuple[int, bytes], room: bytes) -> Removed:
    parent, _ = place
    with private_directory(room, parent) as private:
        rename_no_replace(place, (private, MOVED))
        moved = os.stat(MOVED, dir_fd=private, follow_symlinks=False)
        if not (_is(moved, fd) and (same_content(moved, judged.file) or has_content(fd, judged))):
            left = _put_back((private, MOVED), place, room)
            raise Changed(f"another file came under its name, or it was changed, while it was removed{left}")
        try:
            removed = dispose(fd, private)
        except OSError as problem:
            left = _put_back((private, MOVED), place, room)
            raise OSError(problem.errno, f"{problem.strerror}{left}") from problem
    with suppress(OSError):  # it is gone; a disk that fails now must not make it look as if it were not
        sync_directory(parent)
    return removed


def dispose(fd: int, private: int) -> Removed:
    """Unlink what was moved into a private directory, and empty it where it has other names.

    Raises OSError only where it still has its content.
    """
    others, emptied, note = os.fstat(fd).st_nlink - 1, False, ""
    if others:
        try:
            _truncate(fd)
            emptied = True
        except OSError as problem:
            note = f"its content is left under its other names: {problem.strerror}"
    try:
        os.unlink(MOVED, dir_fd=private)
    except OSError as problem:
        if not emptied:
            raise
        return Removed(False, emptied, others + 1, f"an empty file is left of it: {problem.strerror}")
    return Removed(unnamed=True, emptied=emptied, other_names=others, note=note)


def _put_back(moved: tuple[int, bytes], place: tuple[int, bytes], room: bytes) -> str:
    """Give what was moved its name again, if that is free; else where it is left, to follow a sentence."""
    try:
        rename_no_replace(moved, place)
    except OSError as problem:
        return f"; what had the name lies beside it as {os.fsdecode(room + b'/' + MOVED)}: {problem.strerror}"
    return ""


def empty(fd: int, judged: Judged) -> None:
    """Take the content away under all names of the file. Raises Changed and OSError."""
    check_unchanged(fd, judged)
    _truncate(fd)


def _truncate(fd: int) -> None:
    """By a second descriptor of the same inode, which a path plays no part in."""
    writing = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(writing), os.fstat(fd)):
            raise OSError(errno.ESTALE, "the descriptor leads to another file")
        os.ftruncate(writing, 0)
        with suppress(OSError):  # it is empty; a disk that fails now must not make it look as if it were not
            os.fsync(writing)
    finally:
        os.close(writing)


def same_content(status: os.stat_result, file: FileId) -> bool:
    """Whether size and time of writing are those that were judged; being moved changes the ctime."""
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


def _is(status: os.stat_result | None, fd: int) -> bool:
    return status is not None and os.path.samestat(status, os.fstat(fd))
