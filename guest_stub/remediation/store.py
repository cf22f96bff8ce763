"""The files of a quarantine, and who may touch them when.

    key             made when something is sealed for the first time
    lock            held while names come and go, for moments
    ID.part         being sealed; whoever does that holds a lock on it, so one without a lock is left over
    ID.sealed       an entry; whoever restores or drops it holds a lock on it
    ID.removing     a removal under way (intention); locked while its program lives

Everything is below a directory that only its user can enter, and is reached by its descriptor. The locks are
those of flock(2): they end with the program that holds them.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from guest_stub.remediation.bounds import Kept
from guest_stub.remediation.cipher import Key, load_key
from guest_stub.remediation.done import Refused

PART, SEALED, REMOVING = ".part", ".sealed", ".removing"
_ID = re.compile(r"[0-9a-f]{12}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class QuarantineRefused(Refused):
    """The quarantine's directory cannot be used; the message says why and what to do."""


class QuarantineUnavailable(QuarantineRefused):
    """The disk does not let it be opened."""


class NoSuchEntry(Refused):
    """There is no entry of this name; the message says so."""


class Busy(Refused):
    """Another program is at this entry; the message says so."""


class Store:
    """An open quarantine directory. Any thread may call."""

    def __init__(self, directory: Path, *, waits: bool = False) -> None:
        """Make it, with mode 0700, where it is not there. Raises QuarantineRefused.

        waits: whether it is tried again with each use where the disk does not let it, and that use fails.
        """
        self.directory = directory
        self._fd = -1
        self._lock = Lock()
        try:
            self._open()
        except QuarantineUnavailable:
            if not waits:
                raise

    @property
    def fd(self) -> int:
        """The directory. Raises QuarantineRefused where it could not be opened so far."""
        with self._lock:
            if self._fd < 0:
                self._open()
            return self._fd

    def _open(self) -> None:
        directory = self.directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as problem:
            raise QuarantineUnavailable(
                f"the quarantine {directory} cannot be opened: {problem.strerror}; "
                "name another directory by --state"
            ) from problem
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            os.close(fd)
            raise QuarantineRefused(
                f"the quarantine {directory} belongs to another user (uid {status.st_uid}): "
                "become that user, or name a directory of your own by --state"
            )
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(fd, 0o700)
        self._fd = fd

    def close(self) -> None:
        """Close the directory."""
        if self._fd >= 0:
            os.close(self._fd)

    def key(self, make: bool) -> Key | None:
        """The key; None where there is none and none is to be made. Raises KeyRefused and OSError."""
        return load_key(self.fd, make)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Names come and go only within it. Nothing that takes long may be done there."""
        fd = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def names(self, ending: str) -> list[str]:
        """The ids that there are files of, with this ending."""
        found = [name.removesuffix(ending) for name in os.listdir(self.fd) if name.endswith(ending)]
        return sorted(id for id in found if _ID.fullmatch(id))

    def kept(self, ending: str = SEALED) -> list[Kept]:
        """The entries, oldest first."""
        found = []
        for id in self.names(ending):
            with suppress(FileNotFoundError):
                status = os.stat(id + ending, dir_fd=self.fd, follow_symlinks=False)
                found.append(Kept(status.st_mtime_ns, id, status.st_size))
        return sorted(found)

    def make(self, id: str, ending: str, size: int = 0) -> int:
        """A new file, locked, which counts with this size at once; call within locked(). Raises OSError."""
        fd = os.open(id + ending, _MAKE, 0o600, dir_fd=self.fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, size)
        return fd

    def read(self, id: str) -> int:
        """A sealed file opened for reading. Raises NoSuchEntry."""
        if not _ID.fullmatch(id):
            raise NoSuchEntry(f"{id} is no id of an entry: see guest-stub quarantine list")
        try:
            return os.open(id + SEALED, _READ, dir_fd=self.fd)
        except FileNotFoundError:
            raise NoSuchEntry(f"{id} is not in the quarantine: see guest-stub quarantine list") from None

    @contextmanager
    def held(self, id: str, ending: str = SEALED) -> Iterator[int]:
        """A file opened and locked, which nobody else then restores or drops. Raises NoSuchEntry, Busy."""
        fd = self.read(id) if ending == SEALED else os.open(id + ending, _READ, dir_fd=self.fd)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"{id} is in use by another program: try again") from None
            if os.fstat(fd).st_nlink == 0:
                raise NoSuchEntry(f"{id} is not in the quarantine any more")
            yield fd
        finally:
            os.close(fd)

    def seal(self, id: str) -> None:
        """What is in the part is whole and on the disk: from now on it is an entry. Raises OSError."""
        with self.locked():  # or a look for room could miss it under both names
            os.rename(id + PART, id + SEALED, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)

    def forget(self, id: str, ending: str) -> None:
        """Unlink a file, if it is there; on the disk when it returns. Raises OSError."""
        try:
            os.unlink(id + ending, dir_fd=self.fd)
        except OSError as problem:
            if problem.errno != errno.ENOENT:
                raise
        os.fsync(self.fd)
