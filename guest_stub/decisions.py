"""What the stub decided on files, kept over runs: an LMDB of its own that only its user can read.

An entry that no longer counts still tells the digest of a file that nobody changed since: the SVM is
then asked without reading the file. Losing the store costs a scan its speed, never its truth, so a
damaged store is set aside, a full one keeps what it has, and neither fails a scan.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import lmdb

from guest_stub.found import FoundFile
from guest_stub.pages import release
from guest_stub.records import Record, Seen, decode, seen, sha256_of, without_verdict
from guest_stub.unsynced import UnsyncedMark

FILE_NAME = "decisions.lmdb"
ASIDE_NAME = "decisions.lmdb.set-aside"  # one only: the next one replaces it
BYTES_PER_ENTRY = 256  # of the map; measured 170 to 190, so that entries run out before the map does
MOST_LOOSE = 32_768  # files that were seen loosely, in each of two tables
_TURN = b"\0"  # no file's key: which of the two was begun last
MAX_WALKS = 256  # remembered totals of earlier walks
_PART = 2048  # entries that are read in one go where all are
_TOUCHED_BEFORE_RELEASE = 1024  # records, each of which may map the 64 KiB around it

DAMAGE = (
    lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError,
    lmdb.VersionMismatchError,
)  # fmt: skip


class StateRefused(Exception):
    """The state directory cannot be used; the message says why and what to do."""


class StateUnavailable(StateRefused):
    """The disk does not let the state be kept."""


@dataclass(slots=True)
class SortedOut:
    """Files by what is kept of them: a record that counts, no more than the digest, nothing."""

    decided: list[tuple[FoundFile, Record]] = field(default_factory=list)
    known: list[tuple[FoundFile, bytes]] = field(default_factory=list)
    fresh: list[FoundFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """directory: made with mode 0700. map_bytes: bound of the store. boot_id: of the running system."""

    directory: Path
    map_bytes: int
    boot_id: str


class Decisions:
    """The open store. Any thread may call; each call takes a batch and holds one lock.

    notice: a sentence when the store was set aside or keeps nothing more, else "".
    """

    def __init__(
        self, settings: StoreSettings, clock: Callable[[], float] = time.time, *, reopens: bool = True
    ) -> None:
        """Open or create; sets a damaged store aside. Raises StateRefused. clock: seconds since the epoch.

        reopens: whether one that turns out to be damaged later is begun anew at once. Not so where this
        process answers who opens files, as lmdb holds the interpreter while it opens one: the next run does.
        """
        self._reopens = reopens
        self._gone = False
        self._settings = settings
        self._path = settings.directory / FILE_NAME
        self._clock = clock
        self._lock = Lock()
        self._touched = 0
        self._written = False
        self._keeping = True
        self.notice = ""
        _private(settings.directory)
        try:
            self._mark = UnsyncedMark(settings.directory / "unsynced", settings.boot_id)
        except OSError as problem:
            raise _refused(settings.directory, problem) from problem
        if not self._mark.trusted and self._path.exists():
            self._set_aside("was being written when the machine went down")
        self._env = self._open()

    def _open(self) -> lmdb.Environment:
        try:
            return self._try_open()
        except DAMAGE as problem:
            self._set_aside(f"is damaged ({problem})")
        except (lmdb.Error, OSError) as problem:
            raise _refused(self._path, problem) from problem
        try:
            return self._try_open()
        except (lmdb.Error, OSError) as problem:
            raise _refused(self._path, problem) from problem

    def _try_open(self) -> lmdb.Environment:
        """Open the environment and both tables, or raise; leaves nothing open when it raises."""
        if self._path.exists() and not self._path.is_file():  # a FIFO would be waited for
            raise lmdb.InvalidError("no regular file")
        env = lmdb.open(
            os.fspath(self._path), subdir=False, map_size=self._settings.map_bytes, max_dbs=4, mode=0o600,
            sync=False, metasync=False, readahead=False,
        )  # fmt: skip
        try:
            pages, page = env.info()["last_pgno"] + 1, env.stat()["psize"]
            if os.stat(self._path).st_size < pages * page:
                # A cut file is found out here, since reading past its end would kill the process.
                raise lmdb.CorruptedError("shorter than its last page")
            self._decisions = env.open_db(b"decisions.1")
            self._walks = env.open_db(b"walks.1")
            self._loose = [env.open_db(b"loose.1"), env.open_db(b"loose.2")]
            with env.begin() as txn:  # the one that is written to first
                self._loose.sort(key=lambda table: bytes(txn.get(_TURN, b"", db=table)), reverse=True)
        except BaseException:
            env.close()
            raise
        self._touched = 0
        return env

    def _set_aside(self, why: str) -> None:
        os.replace(self._path, self._path.with_name(ASIDE_NAME))
        self.notice = f"the store of decisions {why}: set aside as {ASIDE_NAME}, started anew"

    def _renew(self, most: int = _TOUCHED_BEFORE_RELEASE) -> None:
        """Let go of what was touched: pages of the map count as the stub's memory until then."""
        if self._touched >= most:
            self._touched = 0
            release(self._path)

    def rest(self) -> None:
        """Let go of what was touched: for whoever will look up little for a while."""
        with self._lock:
            if not self._gone:
                self._renew(1)

    def _failed(self, problem: lmdb.Error) -> None:
        """Go on without what could not be read or written, and say so once."""
        if isinstance(problem, DAMAGE):
            self._env.close()
            self._set_aside(f"is damaged ({problem})")
            if self._reopens:
                self._env = self._open()
            else:
                self._gone, self._keeping = True, False
        else:
            self._keeping = False
            self.notice = f"no more decisions are kept in {self._path}: {problem}"

    def sort_out(self, files: Sequence[FoundFile], generation: int) -> SortedOut:
        """Part the files by what is kept of them; files sorted by key are found fastest.

        generation: the SVM's current one; a verdict of another does not count for a scan.
        """
        kept = self._read([file.key for file in files])
        now = self._clock()
        result = SortedOut()
        decided, known, fresh = result.decided.append, result.known.append, result.fresh.append
        for file in files:
            value = kept.get(file.key)
            if value is None or not value.startswith(file.stamp):
                fresh(file)
                continue
            record = decode(value)
            if record is None:
                fresh(file)
            elif record.counts(generation, now):
                decided((file, record))
            else:
                known((file, record.sha256))
        return result

    def look_up(self, key: bytes, stamp: bytes) -> Record | None:
        """What is kept of one file as it is, whether or not that still counts."""
        value = self._read([key]).get(key)
        return decode(value) if value is not None and value.startswith(stamp) else None

    def _read(self, keys: list[bytes]) -> dict[bytes, bytes]:
        with self._lock:
            if self._gone:
                return {}
            self._touched += len(keys)
            self._renew()
            try:
                with self._env.begin() as txn:
                    return dict(txn.cursor(self._decisions).getmulti([key for key in keys if key]))
            except lmdb.Error as problem:
                self._failed(problem)
                return {}

    def keep(self, entries: Iterable[tuple[bytes, bytes]]) -> int:
        """Commit (key, value) pairs of records.identify and encode in one go; how many were kept.

        Of several of one file the last counts. Over the bound nothing new is kept, after those that count no
        longer were thrown out once.
        """
        batch = sorted(dict(entries).items())
        with self._lock:
            if not (batch and self._keeping):
                return 0
            self._touched += len(batch)
            self._renew()
            try:
                with self._env.begin(write=True) as txn:
                    self._make_room(txn, len(batch))
                    if self._keeping:
                        txn.cursor(self._decisions).putmulti(batch)
            except lmdb.Error as problem:
                self._failed(problem)
                return 0
            self._written = True
            return len(batch) if self._keeping else 0

    def keep_loose(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Note which content files had that may have changed unseen: for revoke() alone to tell of.

        The newest MOST_LOOSE at least, or an eighth of the bound; twice as many at the most.
        """
        batch = sorted(entries)
        most = min(MOST_LOOSE, self._settings.map_bytes // BYTES_PER_ENTRY // 8)
        with self._lock:
            if not (batch and self._keeping):
                return
            try:
                with self._env.begin(write=True) as txn:
                    if txn.stat(self._loose[0])["entries"] + len(batch) > most:
                        turn = int.from_bytes(txn.get(_TURN, b"", db=self._loose[0]), "big") + 1
                        self._loose.reverse()
                        txn.drop(self._loose[0], delete=False)
                        txn.put(_TURN, turn.to_bytes(8, "big"), db=self._loose[0])
                    txn.cursor(self._loose[0]).putmulti(batch)
            except lmdb.Error as problem:
                self._failed(problem)
                return
            self._written = True

    def _make_room(self, txn: lmdb.Transaction, wanted: int) -> None:
        bound = self._settings.map_bytes // BYTES_PER_ENTRY
        if txn.stat(self._decisions)["entries"] + wanted <= bound:
            return
        now = self._clock()
        self._delete(txn, lambda record: record is None or now >= record.valid_until)
        if txn.stat(self._decisions)["entries"] + wanted > bound:
            self._keeping = False
            self.notice = f"the store of decisions is full ({bound:,} files): no more are kept in this run"

    def _delete(self, txn: lmdb.Transaction, goes: Callable[[Record | None], bool]) -> int:
        self._touched = _TOUCHED_BEFORE_RELEASE  # every page is mapped now
        gone = 0
        cursor = txn.cursor(self._decisions)
        more = cursor.first()
        while more:
            if goes(decode(bytes(cursor.value()))):
                gone += 1
                cursor.delete()  # moves on to the next
                more = bool(cursor.key())
            else:
                more = cursor.next()
        return gone

    def revoke(self, digests: Iterable[bytes], tell: Callable[[list[Seen]], None] | None = None) -> int:
        """Let no verdict on these contents (32 bytes each) count any more; of how many files one was kept.

        Reads the whole store, a part at a time, so that others wait for one part only. tell: is told of the
        files, part by part, before they are dropped. Without it their digests stay, and whoever tells finds
        them later.
        """
        revoked, count = frozenset(digests), 0
        if self._gone:
            return 0
        for table in (self._decisions, *(self._loose if tell is not None else ())):
            after: bytes | None = b""
            while after is not None:
                found, after = self._next_of(table, revoked, after)
                if found:
                    if tell is not None:
                        tell([each for each in (seen(*entry) for entry in found) if each is not None])
                    self._let_go(table, found, tell is None)
                count += len(found)
        return count

    def _next_of(
        self, table: Any, revoked: frozenset[bytes], after: bytes
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Return the entries of these contents in the next part, and its last key; None at the end."""
        with self._lock:
            if self._gone:
                return [], None
            self._touched += _PART
            self._renew()
            try:
                with self._env.begin(db=table) as txn:
                    cursor = txn.cursor()
                    there = cursor.set_range(after + b"\0") if after else cursor.first()
                    part = list(islice(cursor.iternext(), _PART)) if there else []
            except lmdb.Error as problem:
                self._failed(problem)
                return [], None
        found = [entry for entry in part if sha256_of(entry[1]) in revoked]
        return found, part[-1][0] if len(part) == _PART else None

    def _let_go(self, table: Any, entries: list[tuple[bytes, bytes]], keep_digests: bool) -> None:
        """Drop entries, or their verdicts, unless others have come in their place."""
        with self._lock:
            if self._gone:
                return
            try:
                with self._env.begin(write=True, db=table) as txn:
                    self._written = True
                    for key, value in entries:
                        if txn.get(key) != value:
                            continue
                        if keep_digests:
                            txn.put(key, without_verdict(value))
                        else:
                            txn.delete(key)
            except lmdb.Error as problem:
                self._failed(problem)

    def files_of_last_walk(self, walk: bytes) -> int:
        """How many files the last whole walk of this name met; 0 where none is remembered."""
        with self._lock:
            if self._gone:
                return 0
            try:
                with self._env.begin() as txn:
                    kept: bytes | None = txn.get(walk, db=self._walks)
            except lmdb.Error as problem:
                self._failed(problem)
                return 0
        return int.from_bytes(kept or b"", "big")

    def remember_walk(self, walk: bytes, files: int) -> None:
        """Keep the number of files of a whole walk. walk: at most 32 bytes that stand for its paths."""
        with self._lock:
            if not self._keeping:
                return
            try:
                with self._env.begin(write=True) as txn:
                    if txn.stat(self._walks)["entries"] >= MAX_WALKS:
                        txn.drop(self._walks, delete=False)
                    txn.put(walk, files.to_bytes(8, "big"), db=self._walks)
                self._written = True
            except lmdb.Error as problem:
                self._failed(problem)

    def count(self) -> int:
        """How many files something is kept of."""
        with self._lock:
            if self._gone:
                return 0
            with self._env.begin() as txn:
                entries: int = txn.stat(self._decisions)["entries"]
                return entries

    def close(self) -> None:
        """Sync to disk, if no other process still writes, and close."""
        with self._lock:
            alone = self._mark.alone()
            if alone and self._written and not self._gone:
                try:
                    self._env.sync(True)
                except lmdb.Error as problem:
                    alone = False
                    self.notice = f"{self._path} could not be synced: {problem}"
            self._env.close()
            self._mark.release(synced=alone)


def _private(directory: Path) -> None:
    """Make the directory, or refuse one that others could write to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.stat(directory)
    except OSError as problem:
        raise _refused(directory, problem) from problem
    if status.st_uid != os.geteuid():
        raise StateRefused(
            f"{directory} belongs to another user (uid {status.st_uid}): name one of your own by --state"
        )
    if status.st_mode & 0o077:
        os.chmod(directory, 0o700)


def _refused(path: Path, problem: Exception) -> StateUnavailable:
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return StateUnavailable(f"cannot keep decisions in {path}: {said}; name another directory by --state")
