"""The way down from a root to the directory that is being read: descriptors, mounts, loops, and the way back.

Each directory is opened from its parent's descriptor, so no path is too long and no link is followed
on the way. Few descriptors are held however deep it goes: the older ones are closed, and opened
again through ".." when the walk comes back.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from guest_stub.ends import DirectoryLeft
from guest_stub.mounts import FileSystem, file_system_of

MAX_PATH_CHARS = 65_536  # sixteen times PATH_MAX; deeper directories are named and left out
MAX_OPEN = 64  # descriptors of the way down
MAX_VISITED = 100_000  # directories remembered so that a second mount of one is not entered again

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK


class DirectoryListener(Protocol):
    """Told, in the walking thread, what becomes of directories."""

    def directory_left(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """The directory is not entered, or not read to its end."""

    def directory_entered(self) -> None:
        """One more directory is being read."""


class Entries(Iterator[os.DirEntry[str]], Protocol):
    """What os.scandir gives."""

    def close(self) -> None:
        """Let go of the descriptor."""


@dataclass(slots=True, eq=False)
class Directory:
    """A directory on the way down.

    fd: -1 while closed. identity: device and inode. entries: what is still to be read, None at its
    end. waiting: names of directories in it that are still to be entered.
    """

    fd: int
    identity: int
    file_system: FileSystem
    path_chars: int
    entries: Entries | None
    waiting: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Let go of the descriptors."""
        if self.entries is not None:
            self.entries.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Descent:
    """The stack of directories; `top` is the one being read."""

    def __init__(self, one_file_system: bool, listener: DirectoryListener) -> None:
        """one_file_system: do not enter a directory on another one than its root's."""
        self._one_file_system = one_file_system
        self._listener = listener
        self._stack: list[Directory] = []
        self._names: list[str] = []
        self._open_from = 1  # the root is open, and those from this index on
        self._on_the_way: set[int] = set()
        self._visited: set[int] = set()
        self._file_systems: dict[int, FileSystem] = {}
        self._root_device = -1

    @property
    def top(self) -> Directory | None:
        """The directory being read; None outside of every root."""
        return self._stack[-1] if self._stack else None

    @property
    def path(self) -> str:
        """Path of the top; "" for the root of the system, so that f"{path}/{name}" always holds."""
        return "/".join(self._names)

    def enter_root(self, path: str) -> None:
        """Begin at a directory, an absolute path; through a symbolic link if it is one itself."""
        try:
            fd = _open(path, None)
        except OSError as problem:
            self._listener.directory_left(DirectoryLeft.UNREADABLE, path, problem.strerror or str(problem))
            return
        self._root_device = os.fstat(fd).st_dev
        self._consider(fd, path.rstrip("/"), len(path))

    def enter(self, name: str) -> None:
        """Go down into `name` of the top, or tell the listener why not."""
        parent = self._stack[-1]
        chars = parent.path_chars + 1 + len(name)
        if chars > MAX_PATH_CHARS:
            self._leave_out(DirectoryLeft.TOO_DEEP, name, f"its path has over {MAX_PATH_CHARS:,} characters")
            return
        try:
            fd = _open(name, parent.fd)
        except OSError as problem:
            gone = problem.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # or replaced meanwhile
            why = DirectoryLeft.VANISHED if gone else DirectoryLeft.UNREADABLE
            self._leave_out(why, name, problem.strerror or str(problem))
            return
        self._consider(fd, name, chars)

    def leave(self) -> None:
        """Go back up to the parent."""
        left = self._stack.pop()
        self._names.pop()
        self._on_the_way.discard(left.identity)
        if self._stack and self._stack[-1].fd < 0:
            self._reopen(left.fd)
        left.close()

    def close(self) -> None:
        """Let go of everything."""
        while self._stack:
            self._stack.pop().close()
        self._names.clear()
        self._on_the_way.clear()

    def _consider(self, fd: int, name: str, chars: int) -> None:
        """Make an open directory the top, unless something speaks against it."""
        status = os.fstat(fd)
        identity = status.st_dev << 64 | status.st_ino
        file_system = self._file_systems.get(status.st_dev)
        if file_system is None:
            file_system = self._file_systems[status.st_dev] = file_system_of(fd)
        why = self._objection(status.st_dev, identity, file_system)
        if why is not None:
            os.close(fd)
            self._leave_out(why, name, file_system.kind if why is DirectoryLeft.PSEUDO else "")
            return
        try:
            entries = os.scandir(fd)
        except OSError as problem:  # no descriptor left
            os.close(fd)
            self._leave_out(DirectoryLeft.UNREADABLE, name, problem.strerror or str(problem))
            return
        self._push(Directory(fd, identity, file_system, chars, entries), name)

    def _objection(self, device: int, identity: int, file_system: FileSystem) -> DirectoryLeft | None:
        if self._one_file_system and device != self._root_device:
            return DirectoryLeft.OTHER_FILE_SYSTEM
        if file_system.pseudo:
            return DirectoryLeft.PSEUDO
        if identity in self._on_the_way:
            return DirectoryLeft.LOOP
        if file_system.reliable:
            if identity in self._visited:
                return DirectoryLeft.SEEN
            if len(self._visited) < MAX_VISITED:
                self._visited.add(identity)
        return None

    def _push(self, directory: Directory, name: str) -> None:
        self._stack.append(directory)
        self._names.append(name)
        self._on_the_way.add(directory.identity)
        self._listener.directory_entered()
        if len(self._stack) - self._open_from > MAX_OPEN:
            oldest = self._stack[self._open_from]
            self._open_from += 1
            if oldest.entries is None:  # else its entries still need the descriptor
                oldest.close()

    def _reopen(self, child: int) -> None:
        """Open the top again from its child, or give up on what cannot be reached any more."""
        top = self._stack[-1]
        self._open_from = min(self._open_from, max(1, len(self._stack) - 1))
        try:
            fd = _open("..", child)
        except OSError:
            fd = -1
        if fd >= 0:
            status = os.fstat(fd)
            if status.st_dev << 64 | status.st_ino == top.identity:
                top.fd = fd
                return
            os.close(fd)
        while self._stack[-1].fd < 0:  # the root's never is
            if self._stack[-1].waiting:
                self._listener.directory_left(
                    DirectoryLeft.UNREADABLE, self.path, "it was moved while it was being scanned"
                )
            self._on_the_way.discard(self._stack.pop().identity)
            self._names.pop()

    def _leave_out(self, why: DirectoryLeft, name: str, reason: str) -> None:
        path = f"{self.path}/{name}" if self._stack else name or "/"
        self._listener.directory_left(why, path, reason)


def _open(path: str, parent: int | None) -> int:
    """Open a directory for reading, without touching its access time where that is permitted."""
    flags = _FLAGS if parent is None else _FLAGS | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=parent)
    except PermissionError as problem:
        if problem.errno != errno.EPERM:
            raise
        return os.open(path, flags, dir_fd=parent)
