"""The file state.lmdb: opened once in a process, checked before, on the disk with each commit.

All stores of the state share one environment; each opens its tables when it is made. Who writes holds
`changing` for that long, and waits for the disk; a read does not wait. The events have a file of their own,
of the same making.

A damaged file is never set aside, unlike the cache: what went missing in silence could be a block, a
decision on KSN, or the account of what left.
"""

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import xxhash
from lmdb import verify

FILE = "state.lmdb"
SCHEMA = 1
MAP_BYTES = 8 << 30  # reserved address space, all that may ever be kept; the file grows as it needs
MAX_TABLES = 16

_SUM_BYTES = 8
_REMEDY = (
    "restore it from a backup, or move it away to begin without overrides, "
    "policies and the account of what was sent"
)


class StateError(Exception):
    """The state cannot be read or written; the message says why and what to do."""


class StateDamaged(StateError):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class StateFile:
    """Which file of a directory it is. map_bytes: address space; the file grows into it as it needs.

    remedy: what to do when it is damaged.
    """

    name: str = FILE
    map_bytes: int = MAP_BYTES
    remedy: str = _REMEDY


STATE = StateFile()


class StateEnvironment:
    """The open file. changing: held by whoever writes, and while the file is closed."""

    def __init__(
        self, env: lmdb.Environment, path: Path, kind: StateFile = STATE, readonly: bool = False
    ) -> None:
        """For open() and open_to_read(), which every caller uses."""
        self.path = path
        self.kind = kind
        self.changing = threading.Lock()
        self._env = env
        self._readonly = readonly

    @classmethod
    def open(cls, directory: Path, kind: StateFile = STATE) -> "StateEnvironment":
        """Open a file of a directory, or begin one; one process at a time.

        Raises StateDamaged, or StateError where a newer program has written it or it cannot be opened.
        """
        path = directory / kind.name
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_whole(path, kind)
        except OSError as error:
            raise _unopened(path, error, "write") from error
        env = _opened(path, kind, readonly=False)
        try:
            env.reader_check()
            _check(env, path, kind)
            return cls(env, path, kind)
        except BaseException:
            env.close()
            raise

    @classmethod
    def open_to_read(cls, directory: Path) -> "StateEnvironment":
        """Open the state of a directory while an SVM may be writing it; nothing can be changed then.

        Raises StateDamaged, or StateError where there is none yet or it cannot be read.
        """
        path = directory / FILE
        try:
            if not path.exists() or not path.stat().st_size:
                raise StateError(f"{path} is not there yet: an SVM that serves from {directory} makes it")
        except OSError as error:
            raise _unopened(path, error, "read") from error
        env = _opened(path, STATE, readonly=True)
        try:
            _check_while_written(env, path)
            return cls(env, path, readonly=True)
        except BaseException:
            env.close()
            raise

    def table(self, name: bytes) -> Any:
        """Return the handle of a table, which is made where there is none.

        Only for a store that is being made: within a write transaction this would wait for itself. Raises
        StateError, also where the file is open to read and has no such table yet.
        """
        try:
            return self._env.open_db(name, create=not self._readonly)
        except lmdb.NotFoundError as error:
            raise StateError(
                f"{self.path} has no {name.decode()} yet: an SVM of this version makes it when it starts"
            ) from error
        except lmdb.Error as error:
            raise StateError(f"{self.path} cannot be opened: {error}") from error

    def has(self, name: bytes) -> bool:
        """Whether a table is there; asked before `table` makes it. Raises StateError."""
        try:
            self._env.open_db(name, create=False)
        except lmdb.NotFoundError:
            return False
        except lmdb.Error as error:
            raise StateError(f"{self.path} cannot be opened: {error}") from error
        return True

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
        verb = "written" if self._write else "read"
        return StateError(
            f"{self._path} cannot be {verb} ({error}): nothing was written; free room on its disk"
        )


def damaged(path: Path, why: str, kind: StateFile = STATE) -> StateDamaged:
    """Return the error that says that a file is not what was written."""
    return StateDamaged(f"{path} is damaged ({why}): {kind.remedy}")


def packed(fields: dict[str, Any]) -> bytes:
    """Return a record: JSON, then the xxh3_64 of it."""
    data = json.dumps(fields, separators=(",", ":")).encode()
    return data + xxhash.xxh3_64_digest(data)


def unpacked(value: bytes | memoryview, path: Path) -> dict[str, Any]:
    """Return what was packed. Raises StateDamaged, which names the file."""
    data, checksum = bytes(value[:-_SUM_BYTES]), bytes(value[-_SUM_BYTES:])
    if xxhash.xxh3_64_digest(data) != checksum:
        raise damaged(path, "a record does not fit its checksum")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise damaged(path, "a record is no table of fields")
    return fields


def _opened(path: Path, kind: StateFile, readonly: bool) -> lmdb.Environment:
    try:
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
        raise damaged(path, str(error), kind) from error
    except (lmdb.Error, OSError) as error:
        raise _unopened(path, error, "read" if readonly else "write") from error


def _unopened(path: Path, error: Exception, verb: str) -> StateError:
    who = "this user" if verb == "read" else "the SVM's user"
    return StateError(f"{path} cannot be opened: {error}; see that {who} may {verb}")


def _check_whole(path: Path, kind: StateFile = STATE) -> None:
    """Raise StateDamaged where the file is not whole: LMDB ends the process that meets a page of zeros."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        problems = verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]  # has no types
    except verify.VerifyError as error:
        raise damaged(path, str(error), kind) from error
    if problems:
        raise damaged(path, problems[0], kind)


def _check(env: lmdb.Environment, path: Path, kind: StateFile) -> None:
    """Raise where the file is cut off, another program's, or of a newer schema; mark a new one."""
    _check_length(env, path, kind)
    try:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            known = txn.get(b"schema")
            if known is None and txn.stat(db=env.open_db(txn=txn))["entries"] > 1:
                raise damaged(path, "it is an LMDB file of another program", kind)
            _check_schema(known, path)
            txn.put(b"schema", (known or SCHEMA.to_bytes(4, "little")))
    except lmdb.Error as error:
        raise damaged(path, str(error), kind) from error


def _check_while_written(env: lmdb.Environment, path: Path) -> None:
    """The same for a reader. While its transaction lives, nobody reuses a page that the check looks at."""
    _check_length(env, path)
    try:
        with env.begin() as txn:
            _check_whole(path)
            meta = env.open_db(b"meta", txn=txn, create=False)
            _check_schema(txn.get(b"schema", db=meta), path)
    except lmdb.NotFoundError as error:
        raise damaged(path, "it is an LMDB file of another program") from error
    except (lmdb.Error, OSError) as error:
        raise damaged(path, str(error)) from error


def _check_length(env: lmdb.Environment, path: Path, kind: StateFile = STATE) -> None:
    if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > max(path.stat().st_size, 2 * 4096):
        raise damaged(path, "the file is shorter than its own pages say", kind)


def _check_schema(known: bytes | None, path: Path) -> None:
    schema = SCHEMA if known is None else int.from_bytes(known, "little")
    if schema > SCHEMA:
        raise StateError(f"{path} has schema {schema}, this program knows {SCHEMA}: run the newer svm")
