"""Files that the kernel need not ask about again: marked once they were allowed, until they change.

A mark goes with the first write(). It does not go with a write through a mapping, so a file gets none
that anybody has open for writing: a read lease tells, which the kernel gives only where nobody has. Who
opens the file for writing afterwards, maps it, and writes through the mapping is noticed when he closes it.
"""

import errno
import fcntl
import os
import time
from typing import Protocol

from guest_stub.decision import FileId
from guest_stub.looking import SAME_TICK_NS
from guest_stub.on_access.fanotify import PERMISSION


class Marks(Protocol):
    """Who keeps the marks. `fanotify.Group` is it."""

    def pass_over(self, fd: int, mask: int) -> None:
        """Raise none of these events for an open file until it changes. Raises OSError."""

    def watch_again(self, fd: int, mask: int) -> None:
        """Take that back. Raises OSError."""

    def watch_all_again(self) -> None:
        """Take all of that back. Raises OSError."""


class Passing:
    """Which files are passed over. notice: a sentence where the kernel cannot do that, else ""."""

    def __init__(self, marks: Marks, mask: int = PERMISSION) -> None:
        """Nothing is passed over yet. mask: the events that are."""
        self.notice = ""
        self.passed = 0
        self._marks = marks
        self._mask = mask

    def pass_over(self, fd: int, file: FileId) -> bool:
        """Have the kernel ask no more about a file that was allowed as it is, if that is safe."""
        if self.notice or not is_settled(file) or has_writer(fd):
            return False
        try:
            self._marks.pass_over(fd, self._mask)
        except OSError as error:
            if error.errno == errno.EINVAL:
                self.notice = (
                    "this kernel (before Linux 5.19) cannot forget marks: every open of a file is answered "
                    "by the stub, which takes more time"
                )
            return False
        if FileId.of(os.fstat(fd)) != file:  # written before the mark was there to be lifted by it
            self.watch_again(fd)
            return False
        self.passed += 1
        return True

    def watch_again(self, fd: int) -> None:
        """Have the kernel ask about a file again."""
        try:
            self._marks.watch_again(fd, self._mask)
        except OSError:
            self.watch_all_again()

    def watch_all_again(self) -> None:
        """Have the kernel ask about every file again."""
        self._marks.watch_all_again()


def is_settled(file: FileId) -> bool:
    """Whether the next change would show in the file's times: not within a tick of the last one."""
    return file.ctime_ns < time.time_ns() - SAME_TICK_NS


def has_writer(fd: int) -> bool:
    """Whether anybody has the file open for writing, or that cannot be told.

    Whoever opens it for writing while this looks waits for some microseconds; SIGIO, by which the kernel
    asks for the lease back, has to be ignored.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return True
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
