"""state.lmdb: overrides and their audit, on the disk before a call returns.

What changes something waits for the disk and may be called from a thread, one call at a time; the
rest reads, without waiting, on the loop.

    meta       "schema" -> u32 little endian
    overrides  digest -> JSON {allow, reason, author, set_at, expires_at}
    audit      number as u64 big endian -> JSON {at, actor, action, digest, reason, expires_at}

Only so many entries of the audit are kept: each new one makes the oldest go.

Every value ends with an xxh3_64 of the rest. Unlike the cache, a damaged file is never set aside:
an override that went missing in silence would let through what somebody had blocked.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lmdb
import xxhash
from lmdb import verify

from appliance.domain.override import Override

FILE = "state.lmdb"
SCHEMA = 1
MAX_OVERRIDES = 100_000
MAP_BYTES = 8 << 30  # reserved address space, twice what may be kept; the file grows as it needs
DROPPED_AT_ONCE = 100  # entries of the audit that may go with one change, when the bound was lowered

_SUM_BYTES = 8


class StateError(Exception):
    """The state cannot be read or written; the message says why and what to do."""


class StateDamaged(StateError):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change by an administrator. at, expires_at: seconds since the epoch; 0: no end.

    action: "allow", "block" or "clear". actor: who, by the connection.
    """

    at: float
    actor: str
    action: str
    digest: bytes
    reason: str
    expires_at: int = 0


class StateStore:
    """The durable state of one SVM. audit_dropped: entries of the audit that went since it was opened."""

    def __init__(
        self, env: lmdb.Environment, path: Path, clock: Callable[[], float], audit_entries: int
    ) -> None:
        """For open(), which every caller uses."""
        self.audit_dropped = 0
        self._env = env
        self._path = path
        self._clock = clock
        self._audit_entries = audit_entries
        self._changing = threading.Lock()  # held while something is written, and while the file is closed
        self._overrides_db = env.open_db(b"overrides")
        self._audit_db = env.open_db(b"audit")

    @classmethod
    def open(cls, directory: Path, clock: Callable[[], float], audit_entries: int) -> "StateStore":
        """Open the state of a directory, or begin one.

        clock: seconds since the epoch. audit_entries: how many entries of the audit are kept.

        Raises StateDamaged, or StateError where a newer program has written it or it cannot be opened.
        """
        path = directory / FILE
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_whole(path)
            env = lmdb.open(os.fspath(path), map_size=MAP_BYTES, subdir=False, max_dbs=4, mode=0o600)
        except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
            raise _damaged(path, str(error)) from error
        except (lmdb.Error, OSError) as error:
            raise StateError(
                f"{path} cannot be opened: {error}; see that the SVM's user may write"
            ) from error
        try:
            _check(env, path)
            return cls(env, path, clock, audit_entries)
        except BaseException:
            env.close()
            raise

    def overrides(self) -> dict[bytes, Override]:
        """Every override that has not ended. Raises StateDamaged."""
        now, found = self._clock(), {}
        with self._reading() as txn:
            for digest, data in txn.cursor(db=self._overrides_db):
                override = Override(**_unpacked(data, self._path))
                if override.in_force(now):
                    found[bytes(digest)] = override
        return found

    def set_override(self, digest: bytes, override: Override, actor: str) -> None:
        """Keep an override, and who set it. On the disk when this returns; raises StateError."""
        action = "allow" if override.allow else "block"
        entry = AuditEntry(self._clock(), actor, action, digest, override.reason, override.expires_at)
        with self._changing, self._writing() as txn:
            new = txn.get(digest, db=self._overrides_db) is None
            if new and txn.stat(db=self._overrides_db)["entries"] >= MAX_OVERRIDES:
                self._drop_ended(txn)
            if new and txn.stat(db=self._overrides_db)["entries"] >= MAX_OVERRIDES:
                raise StateError(
                    f"{MAX_OVERRIDES:,} overrides are set, which is all: clear some, or use a hash list"
                )
            txn.put(digest, _packed(asdict(override)), db=self._overrides_db)
            dropped = self._append(txn, entry)
        self.audit_dropped += dropped

    def clear_override(self, digest: bytes, reason: str, actor: str) -> bool:
        """Take an override back, and note who did; whether there was one. Raises StateError."""
        with self._changing, self._writing() as txn:
            found = bool(txn.delete(digest, db=self._overrides_db))
            dropped = self._append(txn, AuditEntry(self._clock(), actor, "clear", digest, reason))
        self.audit_dropped += dropped
        return found

    def audit(self, limit: int) -> list[AuditEntry]:
        """The newest `limit` changes, the newest first. Raises StateDamaged."""
        entries: list[AuditEntry] = []
        with self._reading() as txn:
            cursor = txn.cursor(db=self._audit_db)
            for _number, data in cursor.iterprev() if cursor.last() else ():
                if len(entries) >= limit:
                    break
                fields = _unpacked(data, self._path)
                entries.append(AuditEntry(**{**fields, "digest": bytes.fromhex(fields["digest"])}))
        return entries

    def close(self) -> None:
        """Close the file, once nothing is being written; everything is on the disk then."""
        with self._changing:
            self._env.close()

    def _append(self, txn: lmdb.Transaction, entry: AuditEntry) -> int:
        """Enter a change; how many old ones had to go for it."""
        cursor = txn.cursor(db=self._audit_db)
        number = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 1
        fields = {**asdict(entry), "digest": entry.digest.hex()}
        txn.put(number.to_bytes(8, "big"), _packed(fields), db=self._audit_db, append=True)
        over = max(0, txn.stat(db=self._audit_db)["entries"] - self._audit_entries)
        dropped = min(over, DROPPED_AT_ONCE)
        cursor.first()
        for _ in range(dropped):
            cursor.delete()
        return dropped

    def _drop_ended(self, txn: lmdb.Transaction) -> None:
        now = self._clock()
        for digest, data in list(txn.cursor(db=self._overrides_db)):
            if not Override(**_unpacked(data, self._path)).in_force(now):
                txn.delete(digest, db=self._overrides_db)

    def _reading(self) -> "_Transaction":
        return _Transaction(self._env, self._path, write=False)

    def _writing(self) -> "_Transaction":
        return _Transaction(self._env, self._path, write=True)


class _Transaction:
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
            f"{self._path} cannot be {verb} ({error}): nothing was changed; free room on its disk"
        )


def _check_whole(path: Path) -> None:
    """Raise StateDamaged where the file is not whole: LMDB ends the process that meets a page of zeros."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        problems = verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]  # has no types
    except verify.VerifyError as error:
        raise _damaged(path, str(error)) from error
    if problems:
        raise _damaged(path, problems[0])


def _check(env: lmdb.Environment, path: Path) -> None:
    """Raise where the file is cut off, another program's, or of a newer schema; mark a new one."""
    if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > max(path.stat().st_size, 2 * 4096):
        raise _damaged(path, "the file is shorter than its own pages say")
    try:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            known = txn.get(b"schema")
            if known is None and txn.stat(db=env.open_db(txn=txn))["entries"] > 1:
                raise _damaged(path, "it is an LMDB file of another program")
            schema = SCHEMA if known is None else int.from_bytes(known, "little")
            if schema > SCHEMA:
                raise StateError(
                    f"{path} has schema {schema}, this program knows {SCHEMA}: run the newer svm"
                )
            txn.put(b"schema", schema.to_bytes(4, "little"))
    except lmdb.Error as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> StateDamaged:
    return StateDamaged(
        f"{path} is damaged ({why}): restore it from a backup, or move it away to begin without overrides"
    )


def _packed(fields: dict[str, Any]) -> bytes:
    data = json.dumps(fields, separators=(",", ":")).encode()
    return data + xxhash.xxh3_64_digest(data)


def _unpacked(value: bytes | memoryview, path: Path) -> dict[str, Any]:
    data, checksum = bytes(value[:-_SUM_BYTES]), bytes(value[-_SUM_BYTES:])
    if xxhash.xxh3_64_digest(data) != checksum:
        raise _damaged(path, "a record does not fit its checksum")
    fields: dict[str, Any] = json.loads(data)
    return fields
