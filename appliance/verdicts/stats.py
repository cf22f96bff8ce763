"""How the cache is, in the SVM that serves from it and beside it."""

from dataclasses import asdict, dataclass
from pathlib import Path

import lmdb

from appliance.verdicts.environment import CACHE, StoreError, StoreFile, open_for_reading, usage


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counters are since the cache was opened, and 0 when read by another process.

    used_bytes: of the pages that hold entries, of map_bytes that there may be. file_bytes: on the disk.
    """

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


def read_stats(directory: Path, kind: StoreFile = CACHE) -> StoreStats:
    """How the cache, or another file, is, read beside the SVM that may be using it. Raises StoreError."""
    env, first = open_for_reading(directory, kind)
    try:
        now = usage(env, first, *(env.open_db(table, create=False) for table in kind.tables[1:]))
        return StoreStats(now.entries, env.info()["map_size"], now.used_bytes, now.file_bytes)
    except lmdb.Error as error:
        raise StoreError(f"{directory} cannot be read: {error}") from error
    finally:
        env.close()
