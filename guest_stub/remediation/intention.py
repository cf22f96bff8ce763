"""A removal that is under way, written down before it begins, so that the next start can see it through."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from guest_stub.decision import FileId
from guest_stub.remediation.directories import inode_at, rename_no_replace, split, unlinked_directory
from guest_stub.remediation.facts import Judged
from guest_stub.remediation.removal import MOVED, Changed, beside, dispose, remove, same_content
from guest_stub.remediation.sealed import write_all

MAX_BYTES = 32 << 10
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class BadIntention(Exception):
    """These bytes are no intention: it was being written when the program ended, and nothing had begun."""


@dataclass(frozen=True, slots=True)
class Intention:
    """id: of the entry, or of the deletion. sealed: whether there has to be a sealed copy."""

    id: str
    path: bytes
    file: FileId
    sealed: bool

    def encode(self) -> bytes:
        """As ASCII JSON."""
        fields = {"path": os.fsdecode(self.path), "file": list(self.file), "sealed": self.sealed}
        return json.dumps(fields).encode()


def decode(id: str, data: bytes) -> Intention:
    """The intention of these bytes. Raises BadIntention."""
    try:
        fields: Any = json.loads(data)
        dev, ino, size, mtime_ns, ctime_ns = map(int, fields["file"])
        path = os.fsencode(fields["path"])
        return Intention(id, path, FileId(dev, ino, size, mtime_ns, ctime_ns), bool(fields["sealed"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as problem:
        raise BadIntention(str(problem)) from problem


def write(fd: int, intention: Intention) -> None:
    """Have it on the disk; raises OSError."""
    write_all(fd, intention.encode())
    os.fsync(fd)


def see_through(intention: Intention) -> str:
    """Do what a removal left undone; a sentence on what became of it, "" where it had ended.

    Removes what lies in the private directory, if it is what was judged, or the file under its name, if it is
    unchanged. Anything else is left, or put back. Raises OSError where that is refused.
    """
    if not intention.path:
        return ""
    try:
        directory, name = split(intention.path)
        with unlinked_directory(directory) as parent:
            return _in_private(intention, (parent, name)) or _in_place(intention, (parent, name))
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _in_private(intention: Intention, place: tuple[int, bytes]) -> str:
    parent, room = place[0], beside(intention.id)
    if inode_at(room, parent) is None:
        return ""
    private = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        said = _finish(intention, private, place)
    finally:
        os.close(private)
    with suppress(OSError):  # gone with what was in it, or there is something else in it, which is not ours
        os.rmdir(room, dir_fd=parent)
    return said


def _finish(intention: Intention, private: int, place: tuple[int, bytes]) -> str:
    """Remove what was moved if it is what was judged, or is empty by now; else put it back."""
    moved = inode_at(MOVED, private)
    if moved is None:
        return ""
    if moved.st_ino != intention.file.ino or not (moved.st_size == 0 or same_content(moved, intention.file)):
        rename_no_replace((private, MOVED), place)
        return "was changed meanwhile and is in its place"
    fd = os.open(MOVED, _OPEN, dir_fd=private)
    try:
        dispose(fd, private)
    finally:
        os.close(fd)
    return "is removed now"


def _in_place(intention: Intention, place: tuple[int, bytes]) -> str:
    parent, name = place
    status = inode_at(name, parent)
    if status is None or FileId.of(status) != intention.file:
        return ""
    fd = os.open(name, _OPEN, dir_fd=parent)
    try:
        remove(fd, Judged(intention.file, b""), beside(intention.id))
    except Changed:
        return ""
    finally:
        os.close(fd)
    return "is removed now"
