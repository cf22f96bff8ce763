"""The LMDB files of the cache and of the exposure: one writer, and a damaged or foreign file set aside.

LMDB trusts its file, so it is looked at before LMDB sees it: every time by its pages; after the machine
itself went down while the cache was in use, in full, since what was not synced may then be there
in part. A file that does not stand this, or is none of ours, is renamed, said once, and a new one begun.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
from lmdb import verify

from appliance.lmdb_lock import take_room
from appliance.owner import as_owner
from appliance.verdicts.pages import FileDamaged, check_pages

FILE = "cache.lmdb"
FORMAT = b"kvm-light-agent cache 1"
EXPOSURE_FORMAT = b"kvm-light-agent exposure 1"
MIN_MAP_BYTES = 1 << 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NOT_IN_USE = b"-" * 36 + b"\n"  # as long as a boot id

_VERDICTS = b"verdicts"
_META = b"meta"
_FORMAT_KEY = b"format"
_RESERVE = 16  # a file that is as large as its map gets a 16th of it more: even deleting takes pages


# What LMDB raises for a file that is not what it wrote. (BadTxnError: for a root that is lost.)
DAMAGED_FILE = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)


@dataclass(frozen=True, slots=True)
class StoreFile:
    """Which file it is. tables: those of which it is made, the one of most entries first.

    Beside it lie `lock`, and `in_use` with the machine's boot id in it while an SVM has the file open. That
    one stays when it is closed, so that a full disk keeps no SVM from starting again.
    """

    name: str = FILE
    format: bytes = FORMAT
    tables: tuple[bytes, ...] = (_VERDICTS,)

    @property
    def lock(self) -> str:
        """The name of the file that the SVM which uses it has locked."""
        return self.name.removesuffix(".lmdb") + ".lock"

    @property
    def in_use(self) -> str:
        """The name of the file that says so."""
        return self.name.removesuffix(".lmdb") + ".in-use"


CACHE = StoreFile()
EXPOSURE = StoreFile("exposure.lmdb", EXPOSURE_FORMAT, (b"exposure", b"guests"))


class StoreError(Exception):
    """The cache cannot be used; the message says why and what to do."""


class _Unusable(Exception):
    """The file is damaged, or not a cache of this program."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How full the file is. used_bytes: of the pages that hold entries; the others are free."""

    entries: int
    used_bytes: int
    file_bytes: int


class Environment:
    """An open file of a directory, for one process. Every method may raise lmdb.Error."""

    def __init__(self, directory: Path, map_bytes: int, kind: StoreFile, lock: int) -> None:
        """For open(), which every caller uses."""
        self.map_bytes = map_bytes
        self.notice = ""  # what was set aside, and why
        self._kind = kind
        self._directory = directory
        self._path = directory / kind.name
        self._lock = lock
        self._closing = threading.Lock()  # `sync` runs on a thread of its own

    @classmethod
    def open(cls, directory: Path, map_bytes: int, now: float, kind: StoreFile = CACHE) -> "Environment":
        """Open a file of a directory for writing, or begin one. now: for the name of what is set aside.

        Raises StoreError when another process has it open, or the directory cannot be used.
        """
        map_bytes = max(map_bytes, MIN_MAP_BYTES)
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = _lock(directory, kind)
        except OSError as error:
            raise StoreError(
                f"{directory}: {error.strerror}; see that the SVM's user may write there"
            ) from error
        environment = cls(directory, map_bytes, kind, lock)
        try:
            environment._open_or_replace(now)
        except (OSError, lmdb.Error, _Unusable) as error:
            os.close(lock)
            raise StoreError(
                f"{directory / kind.name} cannot be used: {error}; see that there is room, and it may write"
            ) from error
        return environment

    @contextmanager
    def begin(self, write: bool = False) -> "Iterator[lmdb.Transaction[bytes]]":
        """A transaction on the first table; committed where the body ends well."""
        with self._env.begin(write=write, db=self._tables[0]) as txn:
            yield txn

    def read(self) -> "lmdb.Transaction[bytes]":
        """A read transaction on the first table, to be used in a `with`; quicker than `begin`."""
        return self._env.begin(db=self._tables[0])

    def table(self, name: bytes) -> Any:
        """The handle of another table, for now: `replace` and `reopen` give it another one."""
        return self._tables[self._kind.tables.index(name)]

    def usage(self) -> Usage:
        """How full the file is."""
        return usage(self._env, *self._tables)

    def fill(self) -> float:
        """The share of the map whose pages hold entries."""
        return self.usage().used_bytes / self.map_bytes

    def sync(self) -> None:
        """Have the kernel write everything to the disk. Blocks; may be called from another thread."""
        with self._closing:
            self._env.sync(True)

    def forget_dead_readers(self) -> None:
        """Give back the pages that a process held which ended while it read, such as `svm cache stats`."""
        self._env.reader_check()

    def clear(self) -> None:
        """Delete every entry."""
        with self._env.begin(write=True) as txn:
            for table in self._tables:
                txn.drop(table, delete=False)

    def replace(self, why: str, now: float) -> None:
        """Set the file aside and begin anew; `notice` says so. Raises OSError or lmdb.Error.

        After it raised, the environment is closed: all but `reopen` raise lmdb.Error.
        """
        with self._closing:
            self._env.close()
            self._set_aside(why, now)
            self._open()

    def reopen(self) -> None:
        """Open the file again after `suspend`, or where `replace` failed half-way; else do nothing."""
        try:
            self._env.info()
        except lmdb.Error:
            self._open()

    def suspend(self) -> None:
        """Close the file until `reopen`: nothing of it stays in memory meanwhile."""
        self._env.close()

    def close(self) -> None:
        """Close the file in order."""
        with self._closing:
            self._env.close()
            with suppress(OSError):  # the next SVM looks at all of it, if the machine goes down before
                self._mark(NOT_IN_USE)
            os.close(self._lock)

    def _open_or_replace(self, now: float) -> None:
        in_use = self._directory / self._kind.in_use
        boot = BOOT_ID.read_bytes()
        try:
            self._check(in_use.read_bytes() if in_use.exists() else NOT_IN_USE, boot)
            self._mark(boot)
            self._open()
        except _Unusable as error:
            self._set_aside(str(error), now)
            self._mark(boot)
            self._open()

    def _mark(self, content: bytes) -> None:
        """Write over what the file says: that needs no room, once it is there. Raises OSError."""
        fd = os.open(self._directory / self._kind.in_use, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, content, 0)
            os.ftruncate(fd, len(content))
        finally:
            os.close(fd)

    def _check(self, used_in: bytes, boot: bytes) -> None:
        """Look at the file without LMDB. used_in, boot: the boot it was last used in, and this one."""
        if not self._path.exists():
            return
        try:
            check_pages(self._path)
            if used_in not in (boot, NOT_IN_USE):
                problems = verify.verify(self._path, subdir=False)  # type: ignore[no-untyped-call]  # has no types
                if problems:
                    raise FileDamaged(f"the machine went down while it was in use: {problems[0]}")
        except (FileDamaged, verify.VerifyError) as error:
            raise _Unusable(str(error)) from error

    def _open(self) -> None:
        """Open or begin the file. Raises _Unusable, lmdb.Error for a want of room or right."""
        size = self._path.stat().st_size if self._path.exists() else 0
        room = self.map_bytes // _RESERVE
        take_room(self._path)
        try:
            # sync=False: a commit costs microseconds, and what a killed process had committed is with the
            # kernel. Only a crash of the machine can lose the last seconds, for which `sync` is called.
            env = lmdb.open(
                os.fspath(self._path),
                map_size=max(self.map_bytes, size + room),
                subdir=False,
                max_dbs=1 + len(self._kind.tables),
                mode=0o600,
                sync=False,
                metasync=False,
                readahead=False,
            )
        except DAMAGED_FILE as error:
            raise _Unusable(str(error)) from error
        try:
            self._tables = _databases(env, self._kind)
        except DAMAGED_FILE as error:
            env.close()
            raise _Unusable(str(error)) from error
        except (_Unusable, lmdb.Error):
            env.close()
            raise
        self._env = env

    def _set_aside(self, why: str, now: float) -> None:
        aside = self._path.with_name(f"{self._kind.name}.damaged-{int(now)}")
        if self._path.exists():
            self._path.rename(aside)
        self._path.with_name(f"{self._kind.name}-lock").unlink(missing_ok=True)
        self.notice = f"{self._path} could not be used ({why}); it lies at {aside}, and a new one begins"


def usage(env: lmdb.Environment, *tables: Any) -> Usage:
    """How full a file is. tables: its databases; the entries are those of the first."""
    with env.begin() as txn:
        stats = [txn.stat(db=table) for table in tables]
    pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
    page = stats[0]["psize"]
    return Usage(stats[0]["entries"], pages * page, (env.info()["last_pgno"] + 1) * page)


def open_for_reading(directory: Path, kind: StoreFile = CACHE) -> tuple[lmdb.Environment, Any]:
    """Open a file beside the SVM that uses it; with its first table. Raises StoreError."""
    path = directory / kind.name
    if not path.exists():
        raise StoreError(f"{path} is not there: no SVM has run on this directory, or --dir names another")
    try:
        with as_owner(directory):  # LMDB writes what is beside the file, whatever lies there
            env = lmdb.open(
                os.fspath(path), subdir=False, readonly=True, map_size=0, max_dbs=4, readahead=False
            )
    except (lmdb.Error, OSError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    try:
        meta, first = env.open_db(_META, create=False), env.open_db(kind.tables[0], create=False)
        with env.begin() as txn:
            known = txn.get(_FORMAT_KEY, db=meta)
        if known != kind.format:
            raise StoreError(f"{path} is no file of this version")
    except lmdb.Error as error:
        env.close()
        raise StoreError(f"{path} cannot be read: {error}") from error
    except StoreError:
        env.close()
        raise
    return env, first


def _databases(env: lmdb.Environment, kind: StoreFile) -> list[Any]:
    """The tables, made where the file is new. Raises _Unusable for another program's file."""
    with env.begin(write=True) as txn:
        fresh = txn.stat(db=env.open_db(txn=txn))["entries"] == 0
        if not fresh and txn.get(_META) is None:
            raise _Unusable("it is an LMDB file of another program")
        meta = env.open_db(_META, txn=txn)
        known = txn.get(_FORMAT_KEY, db=meta)
        if not fresh and known != kind.format:
            raise _Unusable(f"its format is {bytes(known or b'')[:80]!r}, not that of this version")
        if fresh:
            txn.put(_FORMAT_KEY, kind.format, db=meta)
        return [env.open_db(table, txn=txn) for table in kind.tables]


def _lock(directory: Path, kind: StoreFile) -> int:
    lock = os.open(directory / kind.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreError(f"another svm uses {directory}: stop it, or set another server.state_dir") from None
    return lock
