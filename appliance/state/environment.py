"""The file state.lmdb: opened once in a process, checked before, on the disk with each commit.

All stores of the state share one environment; each opens its tables when it is made. Who writes holds
`changing` for that long, and waits for the disk; a read does not wait. The events have a file of their own,
of the same making.

A file of an older schema is brought to this program's in one transaction when it is opened to be written,
one step after another (`upgrades`); one of a newer schema is refused. A restore that was cut short is ended
first.

A damaged file is never set aside, unlike the cache: what went missing in silence could be a block, a
decision on KSN, or the account of what left. A want of room or right is no damage.
"""

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
from lmdb import verify

from appliance.lmdb_lock import take_room
from appliance.owner import as_owner
from appliance.state.audited import give_places
from appliance.state.of_tenant import index_all
from appliance.state.record import REMEDY, StateDamaged, StateError, damaged, packed, unpacked
from appliance.state.replacing import finish

__all__ = [
    "FILE",
    "StateDamaged",
    "StateEnvironment",
    "StateError",
    "StateFile",
    "damaged",
    "packed",
    "unpacked",
]

FILE = "state.lmdb"
MAP_BYTES = 8 << 30  # reserved address space, all that may ever be kept; the file grows as it needs
MAX_TABLES = 32
AUDIT_ENTRIES = 100_000

_LOOKS = 5  # at a file that is written meanwhile, before it is called damaged

# What LMDB raises for a file that is not what it wrote; anything else is a want of room or right.
_DAMAGE = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)
Upgrade = Callable[[lmdb.Environment, lmdb.Transaction], None]


@dataclass(frozen=True, slots=True)
class StateFile:
    """Which file of a directory it is. map_bytes: address space; the file grows into it as it needs.

    remedy: what to do when it is damaged. upgrades: the first makes schema 2 of schema 1, and so on; each
    works within the transaction that it is given, and opens tables in it.
    """

    name: str = FILE
    map_bytes: int = MAP_BYTES
    remedy: str = REMEDY
    upgrades: tuple[Upgrade, ...] = ()

    @property
    def schema(self) -> int:
        """That which this program writes."""
        return 1 + len(self.upgrades)

    @property
    def lock(self) -> str:
        """The name of the file that whoever writes has locked."""
        return self.name.removesuffix(".lmdb") + ".lock"


STATE = StateFile(upgrades=(index_all, give_places, index_all))


class StateEnvironment:
    """The open file. changing: held by whoever writes, and while the file is closed.

    audit_entries: how many entries the audit keeps. audit_dropped: how many went since the file was opened.
    """

    def __init__(self, env: lmdb.Environment, path: Path, kind: StateFile = STATE, lock: int = -1) -> None:
        """For open() and open_to_read(), which every caller uses. lock: its descriptor, -1 for a reader."""
        self.path = path
        self.kind = kind
        self.changing = threading.Lock()
        self.audit_entries = AUDIT_ENTRIES
        self.audit_dropped = 0
        self._env = env
        self._lock = lock

    @classmethod
    def open(cls, directory: Path, kind: StateFile = STATE) -> "StateEnvironment":
        """Open a file of a directory, or begin one; one process at a time.

        Raises StateDamaged, or StateError where a newer program has written it, another process writes it,
        or it cannot be opened.
        """
        path = directory / kind.name
        lock = lock_to_write(directory, kind)
        try:
            if kind.name == FILE:
                finish(directory)
            _check_whole(path, kind)
            env = _opened(path, kind, readonly=False)
        except OSError as error:
            os.close(lock)
            raise _unopened(path, error, "write") from error
        except BaseException:
            os.close(lock)
            raise
        try:
            env.reader_check()
            _check(env, path, kind)
            return cls(env, path, kind, lock)
        except BaseException:
            env.close()
            os.close(lock)
            raise

    @classmethod
    def open_to_read(
        cls, directory: Path, kind: StateFile = STATE, as_it_is: bool = False
    ) -> "StateEnvironment":
        """Open a file of a directory while an SVM may be writing it; nothing can be changed then.

        as_it_is: also one of an older schema. Raises StateDamaged, or StateError where there is none yet or
        it cannot be read.
        """
        path = directory / kind.name
        try:
            with as_owner(directory):  # LMDB writes what is beside the file, whatever lies there
                if not path.exists() or not path.stat().st_size:
                    raise StateError(f"{path} is not there yet: an SVM that serves from {directory} makes it")
                env = _opened(path, kind, readonly=True)
        except OSError as error:
            raise _unopened(path, error, "read") from error
        try:
            _check_while_written(env, path, kind, as_it_is)
            return cls(env, path, kind)
        except BaseException:
            env.close()
            raise

    def schema(self) -> int:
        """The schema that it has. Raises StateError."""
        table = self.table(b"meta")
        with self.reading() as txn:
            return int.from_bytes(txn.get(b"schema", db=table) or b"", "little")

    def copy_to(self, fd: int) -> None:
        """Write a copy of what is committed now, without its free pages, where `fd` stands.

        Nobody waits for it. Raises OSError where `fd` cannot be written; the state is read from its map.
        """
        try:
            self._env.copyfd(fd, compact=True)
        except lmdb.Error as error:
            raise OSError(str(error).rpartition(": ")[2]) from error

    @property
    def lmdb(self) -> lmdb.Environment:
        """The file itself, for those that look at all of it."""
        return self._env

    def table(self, name: bytes) -> Any:
        """Return the handle of a table, which is made where there is none.

        Only for a store that is being made: within a write transaction this would wait for itself. Raises
        StateError, also where the file is open to read and has no such table yet.
        """
        try:
            return self._env.open_db(name, create=self._lock >= 0)
        except lmdb.NotFoundError as error:
            raise StateError(
                f"{self.path} has no {name.decode()} yet: an SVM of this version makes it when it starts"
            ) from error
        except lmdb.Error as error:
            raise StateError(f"{self.path} cannot be opened: {error}") from error

    def reading(self) -> "Transaction":
        """A transaction that sees the state as it is when it begins."""
        return Transaction(self._env, self.path, write=False)

    def writing(self) -> "Transaction":
        """A transaction whose changes are on the disk when it ends; the caller holds `changing`."""
        return Transaction(self._env, self.path, write=True)

    def used_bytes(self) -> int:
        """How much of MAP_BYTES has ever been used."""
        return int((self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"])

    def forget_dead_readers(self) -> None:
        """Let go of what processes held that died as they read: else no page is used again."""
        with suppress(lmdb.Error):
            self._env.reader_check()

    def close(self) -> None:
        """Close the file, once nothing is being written; everything is on the disk then."""
        with self.changing:
            self._env.close()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


class Transaction:
    """A transaction whose errors are StateError; LMDB syncs at its commit."""

    def __init__(self, env: lmdb.Environment, path: Path, write: bool) -> None:
        self._env, self._path, self._write = env, path, write

    def __enter__(self) -> lmdb.Transaction:
        try:
            self._txn = self._env.begin(write=self._write)
        except lmdb.Error as error:
            raise self._failed(error) from error
        return self._txn

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._txn.abort()
            if isinstance(error, lmdb.Error):
                raise self._failed(error) from error
            return
        try:
            self._txn.commit()
        except lmdb.Error as failed:
            raise self._failed(failed) from failed

    def _failed(self, error: lmdb.Error) -> StateError:
        if not self._write:
            return StateError(f"{self._path} cannot be read ({error}): see that its disk is sound")
        return StateError(f"{self._path} cannot be written ({error}): nothing was written; {_advice(error)}")


def lock_to_write(directory: Path, kind: StateFile = STATE) -> int:
    """Return the descriptor of the lock that whoever writes holds; closing it lets go.

    The directory is made where there is none. Raises StateError where another process holds it, or this one
    may not write there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(directory / kind.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unopened(directory / kind.name, error, "write") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StateError(f"another svm uses {directory}: stop it, or set another server.state_dir") from None
    return lock


def _opened(path: Path, kind: StateFile, readonly: bool) -> lmdb.Environment:
    try:
        if not readonly:
            take_room(path)
        return lmdb.open(
            os.fspath(path),
            map_size=kind.map_bytes,
            subdir=False,
            max_dbs=MAX_TABLES,
            mode=0o600,
            readonly=readonly,
            create=not readonly,
        )
    except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
        raise damaged(path, str(error), kind.remedy) from error
    except (lmdb.Error, OSError) as error:
        raise _unopened(path, error, "read" if readonly else "write") from error


def _unopened(path: Path, error: Exception, verb: str) -> StateError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    who = "this user" if verb == "read" else "the SVM's user"
    return StateError(f"{path} cannot be opened: {why}; see that {who} may {verb}, and that there is room")


def _advice(error: lmdb.Error) -> str:
    """What to do where the file cannot be written."""
    if isinstance(error, lmdb.MapFullError):
        return "it is as large as it may become"
    if isinstance(error, lmdb.PanicError):
        return "see that its disk is sound, and start the SVM anew"
    return "free room on its disk, or see why it cannot be written"


def _check_whole(path: Path, kind: StateFile = STATE) -> None:
    """Raise StateDamaged where the file is not whole: LMDB ends the process that meets a page of zeros."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        problems = verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]  # has no types
    except verify.VerifyError as error:
        raise damaged(path, str(error), kind.remedy) from error
    if problems:
        raise damaged(path, problems[0], kind.remedy)


def _check_whole_while_written(path: Path, kind: StateFile) -> None:
    """The same while somebody writes.

    The check takes the file's length first, and what it then reads may have grown beyond that. Damage stays
    damage however often it is looked at.
    """
    for _ in range(_LOOKS - 1):
        with suppress(StateDamaged):
            return _check_whole(path, kind)
    return _check_whole(path, kind)


def _check(env: lmdb.Environment, path: Path, kind: StateFile) -> None:
    """Raise where the file is cut off, another program's, or of a newer schema.

    A new one is marked, one of an older schema brought to ours.
    """
    _check_length(env, path, kind)
    try:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            known = txn.get(b"schema")
            if known is None and txn.stat(db=env.open_db(txn=txn))["entries"] > 1:
                raise damaged(path, "it is an LMDB file of another program", kind.remedy)
            schema = _schema_of(known, path, kind)
            for upgrade in kind.upgrades[schema - 1 :]:
                upgrade(env, txn)
            if known is None or schema != kind.schema:  # a full disk is no reason not to open it
                txn.put(b"schema", kind.schema.to_bytes(4, "little"))
    except _DAMAGE as error:
        raise damaged(path, str(error), kind.remedy) from error
    except lmdb.Error as error:
        raise _unopened(path, error, "write") from error


def _check_while_written(env: lmdb.Environment, path: Path, kind: StateFile, as_it_is: bool) -> None:
    """The same for a reader. While its transaction lives, nobody reuses a page that the check looks at."""
    _check_length(env, path, kind)
    try:
        with env.begin() as txn:
            _check_whole_while_written(path, kind)
            meta = env.open_db(b"meta", txn=txn, create=False)
            schema = _schema_of(txn.get(b"schema", db=meta), path, kind)
    except lmdb.NotFoundError as error:
        raise damaged(path, "it is an LMDB file of another program", kind.remedy) from error
    except (lmdb.Error, OSError) as error:
        raise damaged(path, str(error), kind.remedy) from error
    if schema < kind.schema and not as_it_is:
        raise StateError(
            f"{path} has schema {schema}, this program reads {kind.schema}: "
            "an SVM of this version upgrades it when it starts"
        )


def _check_length(env: lmdb.Environment, path: Path, kind: StateFile) -> None:
    if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > max(path.stat().st_size, 2 * 4096):
        raise damaged(path, "the file is shorter than its own pages say", kind.remedy)


def _schema_of(known: bytes | None, path: Path, kind: StateFile) -> int:
    """The schema of a file; that of this program for a new one."""
    schema = kind.schema if known is None else int.from_bytes(known, "little")
    if schema > kind.schema:
        raise StateError(
            f"{path} has schema {schema}, this program knows {kind.schema}: run the newer svm, "
            "or restore a backup that was made before the upgrade"
        )
    if schema < 1:
        raise damaged(path, f"its schema is {schema}", kind.remedy)
    return schema
