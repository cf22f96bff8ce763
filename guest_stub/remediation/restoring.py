"""Puts a file of the quarantine back, as it was, under a name that is free.

It becomes visible whole or not at all: it is written without a name, gets its attributes, is on the
disk, and then gets its name, which never replaces another file. Only then the entry goes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from guest_stub.remediation.attributes import give, set_flags
from guest_stub.remediation.directories import (
    given_place,
    inode_at,
    split,
    sync_directory,
    unlinked_directory,
)
from guest_stub.remediation.done import Refused
from guest_stub.remediation.facts import Entry
from guest_stub.remediation.handles import open_handle
from guest_stub.remediation.new_file import name_inode, new_file
from guest_stub.remediation.sealed import SealReader, write_all

_AGAIN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
_BEING_FILLED = "trusted.kvm-light-agent.filling"


class NotRestored(Refused):
    """The file stays in the quarantine; the message says why and what to do."""


def restore(reader: SealReader, entry: Entry, to: bytes | None) -> list[str]:
    """Put the file where it was, or `to` a path; what of it could not be given back, as sentences.

    Raises NotRestored, sealed.Damaged and OSError; then there is nothing new under the name. The recorded
    path is followed without symbolic links, one that a person gives with them.
    """
    try:
        with _directory_of(entry, to) as place:
            again = None if to else _inode_again(entry, place[0])
            if again is not None:
                return _fill_again(reader, entry, again, place)
            if inode_at(place[1], place[0]) is not None:
                raise FileExistsError
            said = _write_new(reader, entry, place)
            if entry.names > 1 and not to:
                said.append(f"other names that it had stay as they are ({entry.names - 1}), empty or not")
            return said
    except FileExistsError:
        raise NotRestored(
            "there is a file of this name: move it away, or name another place by --to"
        ) from None
    except (FileNotFoundError, NotADirectoryError) as problem:
        why = "its directory is not there any more, or a symbolic link is in its place"
        why = "there is no directory of this name" if to else why
        raise NotRestored(
            f"{why}: make the directory, or name another place by --to ({problem.strerror})"
        ) from problem


@contextmanager
def _directory_of(entry: Entry, to: bytes | None) -> Iterator[tuple[int, bytes]]:
    if to is None:
        if not entry.placed:
            raise NotRestored("where it was cannot be reached from here: name a place by --to")
        directory, name = split(entry.path)
        with unlinked_directory(directory) as parent:
            yield parent, name
        return
    with given_place(to) as place:
        yield place


def _write_new(reader: SealReader, entry: Entry, place: tuple[int, bytes]) -> list[str]:
    with new_file(*place) as new:
        pour(reader, entry, new.fd)
        said = give(new.fd, entry.attributes)
        new.show()
        return said + _give_flags(new.fd, entry)


def pour(reader: SealReader, entry: Entry, fd: int) -> None:
    """Write the content into an empty file, zeros as holes. Raises sealed.Damaged and OSError."""
    for piece in reader.content(entry):
        if piece.count(0) == len(piece):
            os.lseek(fd, len(piece), os.SEEK_CUR)
        else:
            write_all(fd, piece)
    os.ftruncate(fd, entry.size)


def _give_flags(fd: int, entry: Entry) -> list[str]:
    """After the name, since an immutable file gets none."""
    try:
        if entry.attributes.flags:
            set_flags(fd, entry.attributes.flags)
    except OSError as problem:
        return [f"the inode flags {entry.attributes.flags:#x} could not be given back: {problem.strerror}"]
    return []


def _inode_again(entry: Entry, beside: int) -> int | None:
    """The inode that the other names lead to: empty, or filled in part by a restore that was killed."""
    if not entry.handle:
        return None
    try:
        fd = open_handle(beside, entry.handle, _AGAIN)
    except OSError:
        return None
    status = os.fstat(fd)
    same = stat.S_ISREG(status.st_mode) and status.st_ino == entry.judged.file.ino and status.st_nlink > 0
    if same and (status.st_size == 0 or _is_being_filled(fd)):
        return fd
    os.close(fd)
    return None


def _is_being_filled(fd: int) -> bool:
    try:
        return bool(os.getxattr(fd, _BEING_FILLED))
    except OSError:
        return False


def _fill_again(reader: SealReader, entry: Entry, fd: int, place: tuple[int, bytes]) -> list[str]:
    """Give the inode its content, and the name that it lost. Nobody but root reads it meanwhile."""
    try:
        there = inode_at(place[1], place[0])
        if there is not None and not os.path.samestat(there, os.fstat(fd)):
            raise FileExistsError
        with suppress(OSError):
            os.setxattr(fd, _BEING_FILLED, b"1")
        os.fchmod(fd, 0)
        try:
            os.ftruncate(fd, 0)
            pour(reader, entry, fd)
        except BaseException:
            os.ftruncate(fd, 0)
            raise
        finally:
            said = give(fd, entry.attributes)
        os.fsync(fd)
        if there is None:
            name_inode(fd, place)
            sync_directory(place[0])
        with suppress(OSError):
            os.removexattr(fd, _BEING_FILLED)
        return said + _give_flags(fd, entry)
    finally:
        os.close(fd)
