"""The cache of verdicts: lookups inline, writes in batches, bounded, never failing a request.

Key: scope as u32 big endian, then the digest. Value: a `record`. A lookup asks the hot table, then what
waits to be written, then LMDB, on the caller's own thread, which is faster than any way of not doing so
(measured: get inline 1.0 us, through an executor 46 us). Writes gather in memory, are seen by lookups
at once, and are committed together.

Equal records are checked and decoded once; since times are stored to the hour, a cache of millions
of entries holds few distinct records.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import lmdb

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.verdict import Verdict
from appliance.verdicts import record
from appliance.verdicts.decoded import MOST, Decoded, is_damaged
from appliance.verdicts.environment import DAMAGED_FILE, Environment, StoreError
from appliance.verdicts.eviction import Worth, choose, expendable, worth
from appliance.verdicts.judged import Judged
from appliance.verdicts.paging import Page, page
from appliance.verdicts.stats import StoreStats, read_stats

__all__ = ["StoreError", "StoreStats", "VerdictStore", "read_stats"]

MAX_PENDING = 4096
SWEEP_FILL = 0.80  # above this, verdicts of past generations go
EVICT_FILL = 0.90  # above this, others go too; LMDB needs the rest: it never writes a page in place

_PREFIX_BYTES = 4
_PAGE_BYTES = 4096
_LEAST_GROUP, _LARGEST_GROUP = 8, 1024  # records of one commit; each dirties a leaf and some above it
_WINDOW = 2000  # records that eviction looks at in one go: neighbours, so deleting dirties few pages
_MAX_WINDOWS = 8  # of one commit: a bound on how long the caller's loop stands still
_LEAST_QUOTA = 500  # that make way at a time: looking costs more than deleting
_ATTEMPTS = 4
_KEEPING = 8  # what one read in so many found goes into the hot table, which so follows what is asked
_CHUNK = 4096  # records read in one go when the hot table is filled

_log = logging.getLogger(__name__)


class VerdictStore:
    """The cache of one SVM. Lives on one thread, but for `sync`."""

    def __init__(self, environment: Environment, clock: Callable[[], float]) -> None:
        """For open(), which every caller uses."""
        self.notice = environment.notice
        self._environment = environment
        self._clock = clock
        self._decoded = Decoded(clock())
        self._pending: dict[bytes, bytes | None] = {}  # None: to be deleted
        self._occupied: dict[int, bool] = {}  # scope -> whether it has entries, as far as was asked
        pages = environment.map_bytes // _PAGE_BYTES
        self._group = min(max(pages // 64, _LEAST_GROUP), _LARGEST_GROUP)
        self._generation = 0
        self._reads = 0
        self._sweep_at = b""
        self._evict_at = b""
        self._write_problem = ""
        self._sync_problem = ""
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
        # Here, since numpy takes a tenth of a second to import: only an SVM that serves waits for it.
        from appliance.verdicts.hot import HotTable  # noqa: PLC0415

        self._hot = HotTable(environment.usage().entries)
        self._warm_up()

    @classmethod
    def open(cls, directory: Path, map_bytes: int, clock: Callable[[], float]) -> "VerdictStore":
        """Open the cache in a directory, or begin one. clock: seconds since the epoch.

        Takes about 2 s for a million verdicts. A file that is damaged or another program's is set
        aside, and `notice` says so. Raises StoreError when another SVM uses it.
        """
        return cls(Environment.open(directory, map_bytes, clock()), clock)

    @property
    def problem(self) -> str:
        """Why writing fails now; "" while it does not."""
        return self._write_problem or self._sync_problem

    # -- reading -----------------------------------------------------------------------------

    def judgements(self, scope: int, digests: Sequence[bytes], judged: Judged) -> list[int]:
        """What `judged` says of each digest's record, in order. A digest of a wrong length has none.

        For callers to whom every nanosecond counts: most digests of a batch cost no Python at all.
        """
        judgements, missing = self._hot.judge(scope, digests, judged)
        if missing:
            for index, data in self._look_further(scope, digests, missing):
                judgements[index] = judged[data]
        return judgements

    def decode(self, data: bytes) -> Verdict | None:
        """The verdict of a record, None where it is damaged or has expired by the current hour."""
        return self._fresh()[data]

    def lookup(self, scope: int, digests: Sequence[bytes]) -> list[Verdict | None]:
        """The verdict of each digest, in order; None where there is none that counts."""
        records = self._records(scope, digests)
        verdicts = list(map(self._fresh().__getitem__, records))
        if self._decoded.damaged:
            self._decoded.damaged = False
            for digest, data in zip(digests, records, strict=True):
                if data is not None and is_damaged(data):
                    self._counts["damaged_records"] += 1
                    self.delete(scope, digest)
        return verdicts

    def page(self, scope: int, start: bytes, count: int) -> Page:
        """See paging.page. What waits to be written is written first."""
        self.flush()
        return page(self._environment, self.decode, _prefix(scope), start, count)

    def is_empty(self, scope: int) -> bool:
        """Whether nothing was ever stored in the scope; True spares a lookup there."""
        occupied = self._occupied.get(scope)
        if occupied is None:
            occupied = self._occupied[scope] = self._has_entries(scope)
        return not occupied

    def stats(self) -> StoreStats:
        """How the cache is now."""
        try:
            usage = self._environment.usage()
            entries, used, on_disk = usage.entries, usage.used_bytes, usage.file_bytes
        except lmdb.Error as error:
            self._on_error(error)
            entries = used = on_disk = 0
        return StoreStats(
            entries,
            self._environment.map_bytes,
            used,
            on_disk,
            len(self._pending),
            len(self._decoded) - 1,
            **self._counts,
        )

    def _records(self, scope: int, digests: Sequence[bytes]) -> list[bytes | None]:
        """The record of each digest as it is stored, in order, unchecked."""
        records = self._hot.find(scope, digests)
        missing = [index for index, data in enumerate(records) if data is None]
        for index, data in self._look_further(scope, digests, missing):
            records[index] = data
        return records

    def _look_further(
        self, scope: int, digests: Sequence[bytes], missing: list[int]
    ) -> list[tuple[int, bytes]]:
        """The records that the hot table does not know, by index. missing: the indexes to look for."""
        if not missing or self.is_empty(scope):
            return []
        wanted = [digests[index] for index in missing]
        read = self._read(scope, wanted)
        self._reads += 1
        if self._reads % _KEEPING == 0:
            for digest, data in zip(wanted, read, strict=True):
                if data is not None:
                    self._hot.keep(scope, digest, data)
        return [(index, data) for index, data in zip(missing, read, strict=True) if data is not None]

    def _read(self, scope: int, digests: Sequence[bytes]) -> list[bytes | None]:
        """The records of digests from LMDB and from what is to be written there."""
        # A digest of a wrong length gives a key that is in no cache.
        keys = list(map(_prefix(scope).__add__, digests))
        try:
            with self._environment.read() as txn:
                records: list[bytes | None] = list(map(txn.get, keys))
        except lmdb.Error as error:
            self._on_error(error)
            records = [None] * len(keys)
        if self._pending:
            pending = self._pending
            records = [pending.get(key, data) for key, data in zip(keys, records, strict=True)]
        return records

    def _fresh(self) -> Decoded:
        """The decoded records, judged by the current hour."""
        now = self._clock()
        if int(now // record.HOUR) != self._decoded.hour or len(self._decoded) >= MOST:
            self._decoded = Decoded(now)
        return self._decoded

    def _has_entries(self, scope: int) -> bool:
        prefix = _prefix(scope)
        if any(key.startswith(prefix) for key in self._pending):
            return True
        try:
            with self._environment.read() as txn:
                cursor = txn.cursor()
                return bool(cursor.set_range(prefix) and cursor.key().startswith(prefix))
        except lmdb.Error as error:
            self._on_error(error)
            return True

    def _warm_up(self) -> None:
        """Fill the hot table from the file, to the end of one of them."""
        try:
            with self._environment.read() as txn:
                entries = iter(txn.cursor())
                while not self._hot.is_full and (chunk := list(itertools.islice(entries, _CHUNK))):
                    for prefix, some in itertools.groupby(chunk, key=lambda entry: entry[0][:_PREFIX_BYTES]):
                        keys, records = zip(*some, strict=True)
                        digests = [key[_PREFIX_BYTES:] for key in keys]
                        self._hot.fill(int.from_bytes(prefix, "big"), digests, records)
        except lmdb.Error as error:
            self._on_error(error)

    # -- writing -----------------------------------------------------------------------------

    def put(self, scope: int, digest: bytes, verdict: Verdict) -> None:
        """Keep a verdict: seen by lookups at once, committed with the next flush."""
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"a digest of {len(digest)} bytes cannot have a verdict")
        data = record.encode(verdict)
        self._occupied[scope] = True
        self._set(_prefix(scope) + digest, data)
        self._hot.keep(scope, digest, data)

    def delete(self, scope: int, digest: bytes) -> None:
        """Forget a verdict, if there is one."""
        self._forget([_prefix(scope) + digest])

    def flush(self) -> None:
        """Commit what is pending. A full map makes room first; a full disk is noted in `problem`."""
        if not self._pending:
            return
        try:
            self._environment.reopen()
            while self._pending:
                self._commit(dict(itertools.islice(self._pending.items(), self._group)))
        except lmdb.Error as error:
            self._counts["failed_commits"] += 1
            self._on_error(error)
            return
        self._write_problem = ""

    def sync(self) -> None:
        """Have the kernel write what is committed to the disk. Blocks: call it from another thread."""
        try:
            self._environment.sync()
            self._sync_problem = ""
        except lmdb.Error as error:
            self._sync_problem = _disk_sentence(error)

    def sweep(self, generation: int, budget: int) -> None:
        """Look at the next `budget` records, and drop what does not count any more.

        generation: the one in force. Once the cache is fairly full, what other generations did not
        detect goes too; before that it is kept, since a rolled back signature set revives it.
        """
        self._generation = generation
        try:
            drop_stale = self._environment.fill() > SWEEP_FILL
            window, self._sweep_at = self._window(self._sweep_at, budget)
        except lmdb.Error as error:
            self._on_error(error)
            return
        for least, counter in (
            (Worth.DAMAGED, "damaged_records"),
            (Worth.ENDED, "expired_dropped"),
            (Worth.STALE, "stale_dropped"),
        ):
            if least is not Worth.STALE or drop_stale:
                keys = [key for key, value in window if value is least and key not in self._pending]
                self._counts[counter] += len(keys)
                self._forget(keys)
        self.flush()

    def close(self) -> None:
        """Commit, write to the disk, and close."""
        self.flush()
        self.sync()
        self._environment.close()

    def _set(self, key: bytes, data: bytes | None) -> None:
        """Enter a write, or (None) a deletion, to be committed."""
        if len(self._pending) >= MAX_PENDING and key not in self._pending:
            if not self._write_problem:
                self.flush()
            if len(self._pending) >= MAX_PENDING:  # the disk takes nothing: the oldest is lost
                oldest = next((key for key, data in self._pending.items() if data), next(iter(self._pending)))
                del self._pending[oldest]
                self._counts["writes_lost"] += 1
        self._pending[key] = data

    def _forget(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._set(key, None)
            self._cool(key)

    def _cool(self, key: bytes) -> None:
        """Drop an entry from the hot table."""
        self._hot.drop(int.from_bytes(key[:_PREFIX_BYTES], "big"), key[_PREFIX_BYTES:])

    def _commit(self, some: dict[bytes, bytes | None]) -> None:
        """Commit a group of what is pending, making room for it. Raises lmdb.Error."""
        if self._environment.fill() > EVICT_FILL:
            self._evict(max(2 * len(some), _LEAST_QUOTA))
        for attempt in range(_ATTEMPTS):
            try:
                self._write(some)
                break
            except lmdb.MapFullError:
                self._evict(max(len(some), _LEAST_QUOTA) << attempt + 1)
        else:
            self._counts["writes_lost"] += len(some)
        for key in some:
            del self._pending[key]

    def _write(self, some: dict[bytes, bytes | None]) -> None:
        with self._environment.begin(write=True) as txn:
            for key, data in sorted(some.items()):
                if data is None:
                    txn.delete(key)
                else:
                    txn.put(key, data)

    def _evict(self, quota: int) -> None:
        """Delete some `quota` verdicts, what counts least first of what lies at the rotating hand."""
        self._environment.forget_dead_readers()
        seen: dict[bytes, Worth] = {}
        for _ in range(_MAX_WINDOWS):
            window, self._evict_at = self._window(self._evict_at, _WINDOW)
            seen.update(window)
            if len(expendable(seen)) >= quota:
                break
        chosen = choose(seen, quota)
        try:
            for start in range(0, len(chosen), self._group):
                some = chosen[start : start + self._group]
                self._write(dict.fromkeys(some))
                self._counts["evicted"] += len(some)
                for key in some:
                    self._cool(key)
        except lmdb.MapFullError:  # not even room to delete: somebody else holds old pages
            self._begin_anew("its map was full to the last page")

    def _window(self, start: bytes, count: int) -> tuple[list[tuple[bytes, Worth]], bytes]:
        """What the next `count` entries from a key on are worth, and the key after them."""
        decoded = self._fresh()
        with self._environment.read() as txn:
            cursor = txn.cursor()
            if not cursor.set_range(start) and not cursor.first():
                return [], b""
            entries = list(itertools.islice(cursor.iternext(), count + 1))
        window = []
        for key, data in entries[:count]:
            value = worth(decoded[data], self._generation)
            window.append((key, Worth.DAMAGED if value is Worth.ENDED and is_damaged(data) else value))
        decoded.damaged = False
        return window, entries[count][0] if len(entries) > count else b""

    def _on_error(self, error: lmdb.Error) -> None:
        """LMDB cannot read or write: begin anew where the file is damaged, else serve from memory."""
        if isinstance(error, DAMAGED_FILE):
            self._begin_anew(str(error))
        else:
            self._note(error)

    def _begin_anew(self, why: str) -> None:
        self._counts["set_aside"] += 1
        self._hot.clear()
        self._occupied.clear()
        try:
            self._environment.replace(why, self._clock())
            _log.error("%s", self._environment.notice)
        except (OSError, lmdb.Error) as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self._write_problem = _disk_sentence(error)


def _prefix(scope: int) -> bytes:
    return scope.to_bytes(_PREFIX_BYTES, "big")


def _disk_sentence(error: Exception) -> str:
    return f"the cache cannot be written ({error}): free room on its disk; answers go on from memory"
