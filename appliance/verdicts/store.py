"""The cache of verdicts: lookups inline, writes in batches, bounded, never failing a request.

Key: scope as u32 big endian, then the digest. Value: a `record`. A lookup reads LMDB on the caller's
own thread, which is faster than any way of not doing so (measured: get inline 1.2 us, through an
executor 46 us). Writes gather in memory, are seen by lookups at once, and are committed together.

Equal records are checked and decoded once; since times are stored to the hour, a cache of millions
of entries holds few distinct records.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lmdb

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts import record
from appliance.verdicts.environment import (
    Environment,
    StoreError,
    open_environment,
    open_for_reading,
    set_aside_and_reopen,
)

__all__ = ["StoreError", "StoreStats", "VerdictStore", "read_stats"]

MAX_PENDING = 4096
MAX_DECODED = 4096
SWEEP_FILL = 0.80  # above this, verdicts of past generations go
EVICT_FILL = 0.90  # above this, others go too, down to ...
EVICT_TO = 0.85  # LMDB needs free pages even to delete: it never writes a page in place

_LEAST_GROUP = 8  # records of one commit, each of which dirties a leaf page and some above it
_WINDOW = 1000  # records that one eviction transaction looks at: contiguous, so it dirties few pages
_MAX_WINDOWS = 50  # of one eviction: a bound on how long the caller's loop stands still
_DAMAGED_FILE = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError)


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How the cache is. Counters are since it was opened, and 0 when read by another process."""

    entries: int
    map_bytes: int
    used_bytes: int
    file_bytes: int
    pending: int = 0
    distinct_records: int = 0
    damaged_records: int = 0
    expired_dropped: int = 0
    stale_dropped: int = 0
    evicted: int = 0
    writes_lost: int = 0
    failed_commits: int = 0
    set_aside: int = 0

    def figures(self) -> dict[str, float]:
        """The same, by the names of /metrics."""
        return {f"cache_{name}": value for name, value in asdict(self).items()}


class _Decoded(dict[bytes | None, Verdict | None]):
    """Records by their bytes: each distinct one is checked and decoded once. Forgets every hour."""

    def __init__(self, now: float) -> None:
        super().__init__({None: None})
        self.hour = int(now // record.HOUR)
        self.damaged = False  # since somebody last looked
        self._now = now

    def __missing__(self, data: bytes | None) -> Verdict | None:
        assert data is not None
        verdict: Verdict | None
        try:
            verdict = record.decode(data)
            if 0 < verdict.expires_at <= self._now:
                verdict = None
        except record.DamagedRecord:
            self.damaged = True
            verdict = None
        if len(self) < MAX_DECODED:
            self[data] = verdict
        return verdict


class VerdictStore:
    """The cache of one SVM. Lives on one thread, but for `sync`."""

    def __init__(self, environment: Environment, map_bytes: int, clock: Callable[[], float]) -> None:
        """For open(), which every caller uses."""
        self.notice = environment.notice
        self.problem = ""  # why writes fail now; "" while they do not
        self._environment = environment
        self._map_bytes = map_bytes
        self._clock = clock
        self._decoded = _Decoded(clock())
        self._pending: dict[bytes, bytes | None] = {}  # None: to be deleted
        self._occupied: dict[int, bool] = {}
        self._generation = 0
        self._sweep_at = b""
        self._evict_at = b""
        self._counts = dict.fromkeys(
            (
                "damaged_records",
                "expired_dropped",
                "stale_dropped",
                "evicted",
                "writes_lost",
                "failed_commits",
                "set_aside",
            ),
            0,
        )
        self._counts["set_aside"] += bool(environment.notice)

    @classmethod
    def open(cls, directory: Path, map_bytes: int, clock: Callable[[], float]) -> "VerdictStore":
        """Open the cache in a directory, or begin one. clock: seconds since the epoch.

        A file that is damaged or another program's is set aside, and `notice` says so. Raises
        StoreError when another SVM uses it.
        """
        return cls(open_environment(directory, map_bytes, int(clock())), map_bytes, clock)

    # -- reading -----------------------------------------------------------------------------

    def records(self, scope: int, digests: Sequence[bytes]) -> list[bytes | None]:
        """The record of each digest as it is stored, in order, unchecked: hand each to `decode`.

        For callers to whom every nanosecond counts: they keep what they made of a record, by its
        bytes, and so judge each distinct record once.
        """
        # A digest of a wrong length gives a key that is in no cache.
        keys = list(map(scope.to_bytes(4, "big").__add__, digests))
        try:
            with self._environment.lmdb.begin(db=self._environment.verdicts) as txn:
                records: list[bytes | None] = list(map(txn.get, keys))
        except lmdb.Error as error:
            self._on_error(error)
            records = [None] * len(keys)
        if self._pending:
            pending = self._pending
            records = [pending.get(key, data) for key, data in zip(keys, records, strict=True)]
        return records

    def decode(self, data: bytes) -> Verdict | None:
        """The verdict of a record, None where it is damaged or has expired by the current hour."""
        return self._fresh()[data]

    def lookup(self, scope: int, digests: Sequence[bytes]) -> list[Verdict | None]:
        """The verdict of each digest, in order; None where there is none that counts."""
        records = self.records(scope, digests)
        verdicts = list(map(self._fresh().__getitem__, records))
        if self._decoded.damaged:
            self._decoded.damaged = False
            for digest, data in zip(digests, records, strict=True):
                if data is not None and _is_damaged(data):
                    self._counts["damaged_records"] += 1
                    self.delete(scope, digest)
        return verdicts

    def is_empty(self, scope: int) -> bool:
        """Whether nothing was ever stored in the scope; True spares a lookup there."""
        occupied = self._occupied.get(scope)
        if occupied is None:
            occupied = self._occupied[scope] = self._has_entries(scope)
        return not occupied

    def stats(self) -> StoreStats:
        """How the cache is now."""
        entries, used, file_bytes = _measure(self._environment.lmdb, self._environment.verdicts)
        return StoreStats(
            entries,
            self._map_bytes,
            used,
            file_bytes,
            len(self._pending),
            len(self._decoded) - 1,
            **self._counts,
        )

    def _fresh(self) -> _Decoded:
        """The decoded records, judged by the current hour."""
        now = self._clock()
        if int(now // record.HOUR) != self._decoded.hour or len(self._decoded) >= MAX_DECODED:
            self._decoded = _Decoded(now)
        return self._decoded

    def _has_entries(self, scope: int) -> bool:
        prefix = scope.to_bytes(4, "big")
        if any(key.startswith(prefix) for key in self._pending):
            return True
        with self._environment.lmdb.begin(db=self._environment.verdicts) as txn:
            cursor = txn.cursor()
            return bool(cursor.set_range(prefix) and cursor.key().startswith(prefix))

    # -- writing -----------------------------------------------------------------------------

    def put(self, scope: int, digest: bytes, verdict: Verdict) -> None:
        """Keep a verdict: seen by lookups at once, committed with the next flush."""
        self._occupied[scope] = True
        self._set(scope.to_bytes(4, "big") + digest, record.encode(verdict))

    def delete(self, scope: int, digest: bytes) -> None:
        """Forget a verdict, if there is one."""
        self._set(scope.to_bytes(4, "big") + digest, None)

    def flush(self) -> None:
        """Commit what is pending. A full map makes room first; a full disk is noted in `problem`."""
        if not self._pending:
            return
        try:
            self._commit()
            self.problem = ""
        except lmdb.Error as error:
            self._counts["failed_commits"] += 1
            self._on_error(error)

    def sync(self) -> None:
        """Have the kernel write what is committed to the disk. Blocks: call it from another thread."""
        try:
            self._environment.lmdb.sync(True)
        except lmdb.Error as error:
            self.problem = _disk_sentence(error)

    def sweep(self, generation: int, budget: int) -> None:
        """Look at the next `budget` records, and drop what does not count any more.

        generation: the one in force. Once the cache is fairly full, what other generations did not
        detect goes too; before that it is kept, since a rolled back signature set revives it.
        """
        self._generation = generation
        drop_stale = self._fill() > SWEEP_FILL
        try:
            with self._environment.lmdb.begin(db=self._environment.verdicts) as txn:
                cursor = txn.cursor()
                more = cursor.set_range(self._sweep_at)
                for _ in range(budget):
                    if not more:
                        break
                    self._sweep_one(cursor.key(), cursor.value(), drop_stale)
                    more = cursor.next()
                self._sweep_at = cursor.key() if more else b""
        except lmdb.Error as error:
            self._on_error(error)
        self.flush()

    def close(self) -> None:
        """Commit, write to the disk, and close."""
        self.flush()
        self.sync()
        self._environment.close()

    def _set(self, key: bytes, data: bytes | None) -> None:
        if len(self._pending) >= MAX_PENDING and key not in self._pending:
            self.flush()
            if len(self._pending) >= MAX_PENDING:  # the disk takes nothing: the oldest is lost
                del self._pending[next(iter(self._pending))]
                self._counts["writes_lost"] += 1
        self._pending[key] = data

    def _sweep_one(self, key: bytes, data: bytes, drop_stale: bool) -> None:
        if key in self._pending:
            return
        verdict = self._fresh()[data]
        if verdict is None:
            self._counts["damaged_records" if _is_damaged(data) else "expired_dropped"] += 1
            self._pending[key] = None
        elif drop_stale and self._is_stale(verdict):
            self._counts["stale_dropped"] += 1
            self._pending[key] = None

    def _is_stale(self, verdict: Verdict) -> bool:
        return (
            verdict.source is Source.ENGINE
            and verdict.disposition is Disposition.NOT_DETECTED
            and verdict.generation != self._generation
        )

    def _commit(self) -> None:
        """Commit all that is pending, in groups that leave LMDB pages to copy. Raises lmdb.Error."""
        group = max(_LEAST_GROUP, self._map_bytes // 4096 // 100)
        while self._pending:
            if self._fill() > EVICT_FILL:
                self._evict()
            some = list(itertools.islice(self._pending.items(), group))
            try:
                self._write(some)
            except lmdb.MapFullError:
                self._evict()
                try:
                    self._write(some)
                except lmdb.MapFullError:  # lose some of the newest rather than fail
                    self._counts["writes_lost"] += len(some)
            for key, _ in some:
                del self._pending[key]

    def _write(self, some: list[tuple[bytes, bytes | None]]) -> None:
        with self._environment.lmdb.begin(write=True, db=self._environment.verdicts) as txn:
            for key, data in some:
                if data is None:
                    txn.delete(key)
                else:
                    txn.put(key, data)

    def _evict(self) -> None:
        """Make room: first what counts least. Stops at EVICT_TO, or when it has looked at enough."""
        for keep in (self._keep_current, _keep_detections, _keep_nothing):
            for _ in range(_MAX_WINDOWS):
                if self._fill() <= EVICT_TO or not self._evict_window(keep):
                    break
            if self._fill() <= EVICT_TO:
                return

    def _evict_window(self, keep: Callable[[Verdict], bool]) -> bool:
        """Delete what is not to be kept of the next window of keys; whether there were any keys."""
        decoded = self._fresh()
        try:
            with self._environment.lmdb.begin(write=True, db=self._environment.verdicts) as txn:
                cursor = txn.cursor()
                more = cursor.set_range(self._evict_at) or cursor.first()
                found = more
                evicted = 0
                for _ in range(_WINDOW):
                    if not more:
                        break
                    verdict = decoded[cursor.value()]
                    if verdict is not None and keep(verdict):
                        more = cursor.next()
                    else:
                        more = cursor.delete()  # steps on to the next key
                        evicted += 1
                self._evict_at = cursor.key() if more else b""
        except lmdb.MapFullError:
            # Not even room to delete: begin with fewer keys, further on.
            self._evict_at = b""
            return self._clear_everything()
        self._counts["evicted"] += evicted
        return bool(found)

    def _clear_everything(self) -> bool:
        """The last resort of a map without a free page: drop the whole database, which needs none."""
        with self._environment.lmdb.begin(write=True) as txn:
            self._counts["evicted"] += txn.stat(db=self._environment.verdicts)["entries"]
            txn.drop(self._environment.verdicts, delete=False)
        return False

    def _keep_current(self, verdict: Verdict) -> bool:
        return not self._is_stale(verdict)

    def _fill(self) -> float:
        return _measure(self._environment.lmdb, self._environment.verdicts)[1] / self._map_bytes

    def _on_error(self, error: lmdb.Error) -> None:
        """LMDB cannot read or write: begin anew where the file is damaged, else serve from memory."""
        if not isinstance(error, _DAMAGED_FILE):
            self.problem = _disk_sentence(error)
            return
        now = int(self._clock())
        self._environment = set_aside_and_reopen(self._environment, self._map_bytes, str(error), now)
        self._counts["set_aside"] += 1
        self._occupied.clear()
        self.problem = self._environment.notice


def read_stats(directory: Path) -> StoreStats:
    """How the cache of a directory is, read beside the SVM that may be using it. Raises StoreError."""
    env, verdicts = open_for_reading(directory)
    try:
        entries, used, file_bytes = _measure(env, verdicts)
        return StoreStats(entries, env.info()["map_size"], used, file_bytes)
    except lmdb.Error as error:
        raise StoreError(f"{directory} cannot be read: {error}") from error
    finally:
        env.close()


def _measure(env: lmdb.Environment, verdicts: Any) -> tuple[int, int, int]:
    """Entries, bytes of the pages that hold them, bytes of the file."""
    with env.begin() as txn:
        stat = txn.stat(db=verdicts)
    pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    return stat["entries"], pages * stat["psize"], (env.info()["last_pgno"] + 1) * stat["psize"]


def _is_damaged(data: bytes) -> bool:
    try:
        record.decode(data)
    except record.DamagedRecord:
        return True
    return False


def _keep_detections(verdict: Verdict) -> bool:
    return verdict.disposition is Disposition.MALICIOUS


def _keep_nothing(_verdict: Verdict) -> bool:
    return False


def _disk_sentence(error: lmdb.Error) -> str:
    return f"the cache cannot be written ({error}): free room on its disk; answers go on from memory"
