"""Walks directory trees and hands out their files in batches.

Files come out sorted by inode, the order in which they are cheap to look up and to read. Of the tree itself
only the way down to the current directory is held (see descent.py).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK, S_ISDIR, S_ISREG
from typing import NamedTuple, Protocol

from guest_stub.decision import FileId
from guest_stub.descent import Descent, Directory, DirectoryListener
from guest_stub.ends import DirectoryLeft, End, Left
from guest_stub.excludes import Excludes
from guest_stub.found import FoundFile
from guest_stub.mounts import file_system_of
from guest_stub.outcome import Outcome
from guest_stub.records import FORMAT, PackError, identify, pack_key, pack_stamp

BATCH_FILES = 2048
MAX_WAITING = 4096  # names of directories read from one directory before they are entered

_SPECIAL = {S_IFIFO: Left.FIFO, S_IFSOCK: Left.SOCKET, S_IFCHR: Left.DEVICE, S_IFBLK: Left.DEVICE}


@dataclass(frozen=True, slots=True)
class Selection:
    """What to walk.

    roots: absolute paths; one that is itself a symbolic link is followed. max_size: bytes, None for
    no limit. sparse_limit: sparse files over it end as TOO_LARGE unread, since they may claim any size.
    """

    roots: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    one_file_system: bool = False
    max_size: int | None = None
    sparse_limit: int = 1 << 63


class Places(NamedTuple):
    """Where to look for files that are known to be somewhere.

    roots: mount points, asked on the loop. exclude: globs of what is left alone.
    """

    roots: Callable[[], Sequence[str]]
    exclude: tuple[str, ...] = ()

    def selection(self, roots: Iterable[str]) -> Selection:
        """What to walk of these roots, each file system by itself."""
        excludes = Excludes(self.exclude)
        there = tuple(root for root in roots if not excludes.covers(root))
        return Selection(there, self.exclude, one_file_system=True)


class WalkListener(DirectoryListener, Protocol):
    """Told, in the walking thread, of all that does not come out as a file to decide on."""

    def left(self, end: End, directory: str, name: str, reason: str) -> None:
        """The entry `directory/name` ends here. reason: a sentence, may be empty."""


class Nobody:
    """A WalkListener to which nothing matters."""

    def left(self, end: End, directory: str, name: str, reason: str) -> None:
        """See WalkListener."""

    def directory_left(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See WalkListener."""

    def directory_entered(self) -> None:
        """See WalkListener."""


class Walk:
    """One walk over all roots."""

    def __init__(
        self, selection: Selection, listener: WalkListener, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """stop: asked at each directory; True ends the walk."""
        self._selection = selection
        self._listener = listener
        self._stop = stop
        self._excludes = Excludes(selection.exclude)
        self._descent = Descent(selection.one_file_system, listener)
        self._batch: list[FoundFile] = []

    def batches(self) -> Iterator[list[FoundFile]]:
        """Regular files, each under all its names, at most BATCH_FILES at once, each batch sorted by key."""
        try:
            for root in self._selection.roots:
                self._begin(root)
                while (top := self._descent.top) is not None and not self._stop():
                    if top.waiting:
                        self._descent.enter(top.waiting.pop())
                    elif top.entries is not None:
                        yield from self._read(top, top.entries)
                    else:
                        self._descent.leave()
            if self._batch:
                yield self._take_batch()
        finally:
            self._descent.close()

    def _take_batch(self) -> list[FoundFile]:
        batch, self._batch = self._batch, []
        batch.sort()
        return batch

    def _begin(self, root: str) -> None:
        """Enter a root that is a directory; look at one that is a file."""
        directory, _, name = root.rpartition("/")
        try:
            status = os.stat(root)
            if S_ISDIR(status.st_mode):
                self._descent.enter_root(root)
                return
            fd = os.open(directory or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as problem:
            self._listener.left(Outcome.UNREADABLE, directory, name, problem.strerror or str(problem))
            return
        try:
            reliable = file_system_of(fd).reliable
        finally:
            os.close(fd)
        self._look(status, directory, name, reliable)

    def _read(self, top: Directory, entries: Iterator[os.DirEntry[str]]) -> Iterator[list[FoundFile]]:
        """Read the top's entries until its end, or until enough directories wait in it."""
        directory = self._descent.path
        left, waiting, batch_full = self._listener.left, top.waiting, BATCH_FILES
        excluded = self._excludes.match if self._excludes else None
        reliable = top.file_system.reliable
        try:
            for entry in entries:
                name = entry.name
                if excluded is not None and excluded(directory, name):
                    self._leave_out(entry, directory)
                elif entry.is_symlink():
                    left(Left.SYMLINK, directory, name, "")
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                    if len(waiting) >= MAX_WAITING:
                        return
                else:
                    self._stat(entry, directory, reliable)
                    if len(self._batch) >= batch_full:
                        yield self._take_batch()
        except OSError as problem:
            reason = problem.strerror or str(problem)
            self._listener.directory_left(DirectoryLeft.UNREADABLE, directory or "/", reason)
        top.entries = None

    def _leave_out(self, entry: os.DirEntry[str], directory: str) -> None:
        if entry.is_dir(follow_symlinks=False):
            self._listener.directory_left(DirectoryLeft.EXCLUDED, f"{directory}/{entry.name}", "")
        else:
            self._listener.left(Left.EXCLUDED, directory, entry.name, "")

    def _stat(self, entry: os.DirEntry[str], directory: str, reliable: bool) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            self._listener.left(Left.VANISHED, directory, entry.name, "")
        except OSError as problem:
            reason = problem.strerror or str(problem)
            self._listener.left(Outcome.UNREADABLE, directory, entry.name, reason)
        else:
            self._look(status, directory, entry.name, reliable)

    def _look(self, status: os.stat_result, directory: str, name: str, reliable: bool) -> None:
        """Put a regular file into the batch; tell the listener of every other."""
        if not S_ISREG(status.st_mode):
            special = _SPECIAL.get(S_IFMT(status.st_mode), Left.VANISHED)  # a directory or link by now
            self._listener.left(special, directory, name, "")
            return
        selection, size = self._selection, status.st_size
        if selection.max_size is not None and size > selection.max_size:
            self._listener.left(Left.OVER_SIZE, directory, name, f"{size:,} bytes")
        elif size > selection.sparse_limit and status.st_blocks * 512 < size:
            reason = f"sparse, {size:,} bytes: over the SVM's limit of {selection.sparse_limit:,}"
            self._listener.left(Outcome.TOO_LARGE, directory, name, reason)
        else:
            try:
                key = pack_key(status.st_dev, status.st_ino) if reliable else b""
                stamp = pack_stamp(FORMAT, size, status.st_mtime_ns, status.st_ctime_ns)
            except PackError:
                key, stamp = identify(FileId.of(status))
            names = status.st_nlink if reliable else 1
            self._batch.append(FoundFile(key, stamp, directory, name, size, names))
