"""The directory of a guest's identity: its owner's alone, and written by one program at a time.

    identity.json   who this guest is; comes and goes whole, by rename(2)
    pending.json    a key for which a certificate was asked, and is not there yet
    *.part          being written; the next one who writes takes it away

Every name is reached by the directory's descriptor and never through a link, so that nobody who may write to
a directory above leads it elsewhere.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guest_stub.identity.kept import MAX_BYTES, Identity, NotKept, Pending, decode, encode
from guest_stub.identity.machine import hardware
from guest_stub.svm_link.target import NotEnrolled, Proof, nobody

DIRECTORY = "identity"
IDENTITY, PENDING = "identity.json", "pending.json"
LOCK_SECONDS = 30.0  # longer than one who asks an SVM takes in all but the worst case
_PART = ".part"
_PAUSE_SECONDS = 0.05
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class IdentityRefused(NotEnrolled):
    """What is kept cannot be used, or nothing can be kept; the message says why and what to do."""


class IdentityStore:
    """state: the stub's state directory. hardware: says this machine's UUID, see machine.hardware()."""

    def __init__(self, state: Path, hardware: Callable[[], str] = hardware) -> None:
        """Nothing is opened yet."""
        self._hardware = hardware
        self.state = state
        self.directory = state / DIRECTORY

    def read(self) -> Identity | None:
        """Who this guest is; None where it is not enrolled. Raises IdentityRefused."""
        try:
            fd = os.open(self.directory, _DIRECTORY)
        except FileNotFoundError:
            return None
        except OSError as problem:
            if problem.errno == errno.ENOTDIR and not self.state.is_dir():
                return None  # nor can anything else be kept there, which is said by whoever would
            raise self._refused(problem) from problem
        try:
            self._check(self.directory, fd, stat.S_ISDIR)
            return self._read(fd, IDENTITY, Identity)
        finally:
            os.close(fd)

    def proof(self) -> Proof:
        """What this guest proves itself by now. Raises NotEnrolled, IdentityRefused."""
        identity = self.read()
        if identity is not None and identity.is_of_another(self._hardware()):
            raise NotEnrolled(
                f"this machine is a copy of {identity.guest}, which enrolled by its host, and shows nothing "
                "of it: guest-stub enrol --from-host"
            )
        return nobody() if identity is None else identity.proof

    @contextmanager
    def open(self) -> Iterator["OpenStore"]:
        """The directory for one who changes it, made where it is not there. Raises IdentityRefused."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            above = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with suppress(FileExistsError):
                    os.mkdir(DIRECTORY, 0o700, dir_fd=above)
                    os.fsync(above)
                fd = os.open(DIRECTORY, _DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
        except OSError as problem:
            raise self._refused(problem) from problem
        try:
            self._check(self.directory, fd, stat.S_ISDIR)
            self._lock(fd)
            yield OpenStore(self, fd)
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> None:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > end:
                    why = "another guest-stub is enrolling or renewing: wait until it has ended"
                    raise IdentityRefused(f"{self.directory}: {why}") from None
                time.sleep(_PAUSE_SECONDS)

    def _read(self, directory: int, name: str, kind: type[Identity]) -> Identity | None:
        data = self._bytes(directory, name)
        try:
            return None if data is None else decode(data, kind)
        except NotKept as problem:
            raise IdentityRefused(
                f"{self.directory / name}: {problem}: move it away, and enrol anew: guest-stub enrol"
            ) from problem

    def _bytes(self, directory: int, name: str) -> bytes | None:
        """Return what a file of ours holds, and as much as is too much of any other; None for none."""
        try:
            fd = os.open(name, _READ, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise self._refused(problem, name) from problem
        try:
            self._check(self.directory / name, fd, stat.S_ISREG)
            with open(fd, "rb", closefd=False) as file:
                return file.read(MAX_BYTES + 1)
        except OSError as problem:
            raise self._refused(problem, name) from problem
        finally:
            os.close(fd)

    def _check(self, path: Path, fd: int, is_kind: Callable[[int], bool]) -> None:
        status = os.fstat(fd)
        if not is_kind(status.st_mode):
            raise IdentityRefused(f"{path}: is something else than this guest-stub makes: move it away")
        if status.st_uid != os.geteuid():
            raise IdentityRefused(
                f"{path}: belongs to another user (uid {status.st_uid}): become that user, or name a "
                "directory of your own by --state"
            )
        if status.st_mode & 0o077:
            raise IdentityRefused(
                f"{path}: others may use it (mode {stat.S_IMODE(status.st_mode):04o}): chmod go= it; if "
                "somebody may have read the key, enrol anew"
            )

    def _refused(self, problem: OSError, name: str = "") -> IdentityRefused:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR):
            return IdentityRefused(f"{self.directory / name}: is a link or no directory: move it away")
        if problem.errno in (errno.EACCES, errno.EPERM):
            return IdentityRefused(
                f"{self.directory / name}: {problem.strerror}: the identity is its owner's alone: run as root"
            )
        return IdentityRefused(f"{self.directory / name}: {problem.strerror}")


class OpenStore:
    """The directory while it is locked. Each method raises IdentityRefused."""

    def __init__(self, store: IdentityStore, fd: int) -> None:
        """For IdentityStore.open()."""
        self._store = store
        self._fd = fd

    def identity(self) -> Identity | None:
        """Who this guest is; None where it is not enrolled."""
        return self._store._read(self._fd, IDENTITY, Identity)

    def pending(self, asked_with: str) -> Pending | None:
        """The key that was asked for with this; None where there is none, or another, which is of no use."""
        data = self._store._bytes(self._fd, PENDING)
        try:
            kept = None if data is None else decode(data, Pending)
        except NotKept:
            return None
        return kept if kept is not None and kept.asked_with == asked_with else None

    def keep_pending(self, pending: Pending) -> None:
        """Have it on the disk before anybody is asked."""
        self._write(PENDING, encode(pending))

    def keep(self, identity: Identity) -> None:
        """Have it on the disk, in place of what was before; nothing is pending any more."""
        self._write(IDENTITY, encode(identity))
        with suppress(FileNotFoundError):
            os.unlink(PENDING, dir_fd=self._fd)

    def _write(self, name: str, data: bytes) -> None:
        part = f"{name}.{os.urandom(6).hex()}{_PART}"
        try:
            self._tidy()
            fd = os.open(part, _MAKE, 0o600, dir_fd=self._fd)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            os.rename(part, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            os.fsync(self._fd)
        except OSError as problem:
            with suppress(OSError):
                os.unlink(part, dir_fd=self._fd)
            raise self._store._refused(problem, name) from problem

    def _tidy(self) -> None:
        """Take away what a kill has left."""
        for name in os.listdir(self._fd):
            if name.endswith(_PART):
                os.unlink(name, dir_fd=self._fd)
