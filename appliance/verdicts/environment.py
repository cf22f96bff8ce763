"""The LMDB environment of the cache: one writer, and a damaged or foreign file set aside.

LMDB trusts its file: pages that were cut off or overwritten can end the process that reads them.
So a file that was not closed in order is walked by a process of its own first; one that does not
stand this, or is none of ours, is renamed, said once, and a new one begun.
"""

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

FILE = "cache.lmdb"
FORMAT = b"kvm-light-agent cache 1"
CHECK_SECONDS = 600.0

_LOCK = "cache.lock"
_IN_USE = "cache.in-use"  # there while an SVM has the file open; left behind by one that was killed
_VERDICTS = b"verdicts"
_META = b"meta"
_FORMAT_KEY = b"format"


class StoreError(Exception):
    """The cache cannot be used; the message says why and what to do."""


class _Unusable(Exception):
    """The file is damaged, or not a cache of this program."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An open cache file. notice: "" or what was set aside and why. lock: held while it is open."""

    lmdb: lmdb.Environment
    verdicts: Any
    directory: Path
    notice: str
    lock: int

    def close(self) -> None:
        """Close the file in order."""
        self.lmdb.close()
        (self.directory / _IN_USE).unlink(missing_ok=True)
        os.close(self.lock)


def open_environment(directory: Path, map_bytes: int, now: int) -> Environment:
    """Open the cache of a directory for writing, or begin one. now: for the name of what is set aside.

    Raises StoreError when another process has it open, or the directory cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(directory)
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror}; see that the SVM's user may write there") from error
    path, in_use = directory / FILE, directory / _IN_USE
    notice = ""
    try:
        if in_use.exists() and path.exists():
            _check_apart(path)
        in_use.touch(mode=0o600)
        env, verdicts = _open(path, map_bytes)
    except _Unusable as error:
        notice = _set_aside(path, str(error), now)
        env, verdicts = _open(path, map_bytes)
    except OSError as error:
        os.close(lock)
        raise StoreError(
            f"{path}: {error.strerror}; see that there is room and the user may write"
        ) from error
    return Environment(env, verdicts, directory, notice, lock)


def set_aside_and_reopen(environment: Environment, map_bytes: int, why: str, now: int) -> Environment:
    """Begin anew after LMDB has found its own file damaged; the old environment is closed."""
    environment.lmdb.close()
    path = environment.directory / FILE
    notice = _set_aside(path, why, now)
    env, verdicts = _open(path, map_bytes)
    return Environment(env, verdicts, environment.directory, notice, environment.lock)


def open_for_reading(directory: Path) -> tuple[lmdb.Environment, Any]:
    """Open the cache beside the SVM that serves from it. Raises StoreError."""
    path = directory / FILE
    if not path.exists():
        raise StoreError(f"{path} is not there: no SVM has run on this directory, or --dir names another")
    try:
        env = lmdb.open(os.fspath(path), subdir=False, readonly=True, map_size=0, max_dbs=4, readahead=False)
        meta, verdicts = env.open_db(_META, create=False), env.open_db(_VERDICTS, create=False)
        with env.begin() as txn:
            known = txn.get(_FORMAT_KEY, db=meta)
    except (lmdb.Error, OSError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if known != FORMAT:
        raise StoreError(f"{path} is not a cache of this version")
    return env, verdicts


def walk(path: Path) -> int:
    """Read every record of the file; how many there are. Raises lmdb.Error, or ends the process."""
    with (
        lmdb.open(os.fspath(path), subdir=False, readonly=True, lock=False, max_dbs=4) as env,
        env.begin() as txn,
    ):
        verdicts = env.open_db(_VERDICTS, txn=txn, create=False)
        return sum(1 for _ in txn.cursor(db=verdicts))


def _lock(directory: Path) -> int:
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreError(f"another svm uses {directory}: stop it, or set another server.state_dir") from None
    return lock


def _open(path: Path, map_bytes: int) -> tuple[lmdb.Environment, Any]:
    fresh = not path.exists()
    try:
        # sync=False: a commit costs microseconds, and what a killed process had committed is with the
        # kernel. Only a crash of the machine can lose the last seconds, for which `sync` is called.
        env = lmdb.open(
            os.fspath(path),
            map_size=map_bytes,
            subdir=False,
            max_dbs=4,
            mode=0o600,
            sync=False,
            metasync=False,
            readahead=False,
        )
    except lmdb.Error as error:
        raise _Unusable(str(error)) from error
    try:
        info = env.info()
        if (info["last_pgno"] + 1) * env.stat()["psize"] > path.stat().st_size and not fresh:
            raise _Unusable("the file is shorter than its own pages say")
        with env.begin(write=True) as txn:
            meta = env.open_db(_META, txn=txn)
            known = txn.get(_FORMAT_KEY, db=meta)
            if known is None and not fresh and txn.stat(db=env.open_db(txn=txn))["entries"] > 1:
                raise _Unusable("it is an LMDB file of another program")
            if known not in (None, FORMAT):
                raise _Unusable(f"its format is {known[:80]!r}, not the one of this version")
            txn.put(_FORMAT_KEY, FORMAT, db=meta)
            return env, env.open_db(_VERDICTS, txn=txn)
    except lmdb.MapFullError:
        # The file is full to the last page; the store makes room before it writes.
        return env, env.open_db(_VERDICTS, create=False)
    except lmdb.Error as error:
        env.close()
        raise _Unusable(str(error)) from error
    except _Unusable:
        env.close()
        raise


def _check_apart(path: Path) -> None:
    """Walk the file in a process of its own, which may die of it. Raises _Unusable."""
    code = f"import pathlib, sys; from {__name__} import walk; walk(pathlib.Path(sys.argv[1]))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, os.fspath(path)],
            env=environ,
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _Unusable(f"it could not be read within {CHECK_SECONDS:g} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _Unusable(last or f"reading it ended a process with signal {-done.returncode}")


def _set_aside(path: Path, why: str, now: int) -> str:
    aside = path.with_name(f"{path.name}.damaged-{now}")
    path.rename(aside)
    path.with_name(f"{path.name}-lock").unlink(missing_ok=True)
    return f"{path} could not be used ({why}); it lies at {aside}, and the cache begins anew"
