"""fanotify(7) as the kernel has it: groups, marks, events and answers. No policy.

Numbers are those of linux/fanotify.h. A group of the class CONTENT asks before a file is opened and waits
for an answer to each event; one of the class NOTIFICATION tells afterwards. Events carry an open descriptor
of the file, whose use raises no further event; whoever takes an event closes it.
"""

import ctypes
import errno
import fcntl
import os
import termios
from struct import Struct
from typing import Final, NamedTuple

CLOSE_WRITE: Final = 0x8
OPEN: Final = 0x20
OPEN_EXEC: Final = 0x1000
OVERFLOW: Final = 0x4000  # events were lost: the group's queue was full
OPEN_PERM: Final = 0x1_0000
OPEN_EXEC_PERM: Final = 0x4_0000
PERMISSION: Final = OPEN_PERM | OPEN_EXEC_PERM  # events that wait for an answer

EVENTS: Final = 256  # as many as are read at once

_CLOEXEC, _NONBLOCK, _CLASS_CONTENT = 0x1, 0x2, 0x4
_UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x10, 0x20
_ADD, _REMOVE, _IGNORED, _FLUSH = 0x1, 0x2, 0x20, 0x80
_MOUNT, _FILE_SYSTEM, _EVICTABLE = 0x10, 0x100, 0x200
_ALLOW, _DENY = 1, 2
# Opening a FIFO for an event would wait for its writer; access times are not ours to move.
_EVENT_FLAGS = os.O_RDONLY | os.O_LARGEFILE | os.O_CLOEXEC | os.O_NOATIME | os.O_NONBLOCK

_METADATA = Struct("=IBBHQii")
_COUNT = Struct("=i")
_ANSWER = Struct("=iI")
_VERSION = 3


class FanotifyUnavailable(Exception):
    """This kernel, or this process, has no fanotify; the message says why and what to do."""


class Event(NamedTuple):
    """What a process did, or wants to. fd: of the file, -1 where there is none. pid: of the process."""

    mask: int
    fd: int
    pid: int


def parse(data: bytes) -> list[Event]:
    """Take apart what was read from a group. Raises ValueError for what is no sequence of events."""
    events, position = [], 0
    while position < len(data):
        if len(data) - position < _METADATA.size:
            raise ValueError("the kernel's last event is cut off")
        length, version, _, _, mask, fd, pid = _METADATA.unpack_from(data, position)
        if version != _VERSION:
            raise ValueError(f"the kernel's events are of version {version}, this stub knows {_VERSION}")
        if not _METADATA.size <= length <= len(data) - position:
            raise ValueError(f"an event says that it is {length} bytes long")
        events.append(Event(mask, fd, pid))
        position += length
    return events


class Group:
    """An open group. Any thread may call; a method that fails raises OSError.

    asks: whether it is of the class CONTENT.
    """

    def __init__(self, *, asks: bool) -> None:
        """Open it. Raises FanotifyUnavailable."""
        self.asks = asks
        flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_MARKS
        # Each event of CONTENT holds up the thread that raised it, so that there are never more of them than
        # threads; the other queue would grow with every file that is written.
        flags |= _CLASS_CONTENT | _UNLIMITED_QUEUE if asks else 0
        try:
            self._fd = _init(flags, _EVENT_FLAGS)
        except OSError as error:
            raise FanotifyUnavailable(_why(error)) from error

    def fileno(self) -> int:
        """The descriptor, readable when there are events."""
        return self._fd

    def waiting(self) -> int:
        """How many events the next read() is to return: the kernel drops one whose file it cannot open.

        It denies that one, where it asks, and says nothing of it where others were read with it, nor where
        somebody holds a lease on the file: EWOULDBLOCK is then the error, and also says that there is none.
        """
        said = fcntl.ioctl(self._fd, termios.FIONREAD, bytes(_COUNT.size))
        count: int = _COUNT.unpack(said)[0]
        return min(count // _METADATA.size, EVENTS)

    def read(self) -> list[Event]:
        """Return what has happened since, nothing where nothing has. Raises ValueError as parse() does."""
        try:
            return parse(os.read(self._fd, EVENTS * _METADATA.size))
        except BlockingIOError:
            return []

    def answer(self, event: Event, allow: bool) -> None:
        """Let the process go on, or have its open() fail with EPERM. Once for each event that asks."""
        os.write(self._fd, _ANSWER.pack(event.fd, _ALLOW if allow else _DENY))

    def watch_file_system(self, path: str, mask: int) -> None:
        """Raise events for all files of the file system that `path` lies on, under whatever mount."""
        _mark(self._fd, _ADD | _FILE_SYSTEM, mask, path=path)

    def watch_mount(self, path: str, mask: int) -> None:
        """Raise events for what is opened by way of one mount."""
        _mark(self._fd, _ADD | _MOUNT, mask, path=path)

    def pass_over(self, fd: int, mask: int) -> None:
        """Raise none of these events for an open file, until it is modified or the kernel forgets this.

        OSError with EINVAL: this kernel (before 5.19) has no marks that it may forget.
        """
        _mark(self._fd, _ADD | _IGNORED | _EVICTABLE, mask, fd=fd)

    def watch_again(self, fd: int, mask: int) -> None:
        """Take pass_over() back, where it is in force."""
        try:
            _mark(self._fd, _REMOVE | _IGNORED, mask, fd=fd)
        except FileNotFoundError:
            return

    def watch_all_again(self) -> None:
        """Take every pass_over() back."""
        _mark(self._fd, _FLUSH, 0)

    def close(self) -> None:
        """End it: the kernel allows what still waits for an answer."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = (
    ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p,
)  # fmt: skip
_libc.fanotify_init.argtypes = (ctypes.c_uint, ctypes.c_uint)


def _init(flags: int, event_flags: int) -> int:
    fd = int(_libc.fanotify_init(flags, event_flags))
    if fd < 0:
        raise _last_error()
    return fd


def _mark(group: int, flags: int, mask: int, fd: int = -1, path: str | None = None) -> None:
    """Without a path the mark is on the open file itself, so that nobody can swap what it is on."""
    name = None if path is None else os.fsencode(path)
    if _libc.fanotify_mark(group, flags, mask, fd, name) != 0:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _why(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "files can be watched by root only (CAP_SYS_ADMIN): run this as root, outside of a container"
    if error.errno in (errno.ENOSYS, errno.EINVAL):
        return "this kernel cannot watch files: it needs CONFIG_FANOTIFY_ACCESS_PERMISSIONS and Linux 5.1"
    if error.errno == errno.EMFILE:
        return "too many fanotify groups are open: raise fs.fanotify.max_user_groups"
    return f"the kernel does not watch files for this process: {error.strerror}"
