"""The cache of verdicts."""

import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.environment import FILE
from appliance.verdicts.judged import Judged
from appliance.verdicts.store import MAX_PENDING, VerdictStore, read_stats

MAP = 68 << 20
NOW = 1000 * 3600
GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, NOW)
BAD = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, NOW, threat="T", engine="yara", member="a!b")
DIGEST = b"d" * 32


class Clock:
    """Time that the test moves."""

    now = float(NOW)

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


def digests(count: int, seed: int = 1) -> list[bytes]:
    """Random digests."""
    source = random.Random(seed)
    return [source.randbytes(32) for _ in range(count)]


@contextmanager
def opened(directory: Path, map_bytes: int = MAP, clock: Clock | None = None) -> Iterator[VerdictStore]:
    """A store that is closed again."""
    store = VerdictStore.open(directory, map_bytes, clock or Clock())
    yield store
    store.close()


def test_what_is_put_is_found_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """Before the commit, after it, and by the next SVM."""
    with opened(tmp_path) as store:
        store.put(16, DIGEST, BAD)
        assert store.lookup(16, [DIGEST, b"x" * 32]) == [BAD, None]
        store.flush()
        assert store.lookup(16, [DIGEST]) == [BAD]
    with opened(tmp_path) as store:
        assert store.lookup(16, [DIGEST]) == [BAD]


def test_scopes_do_not_see_each_other(tmp_path: Path) -> None:
    """An entry of one scope answers no other, and an empty scope is known to be empty."""
    with opened(tmp_path) as store:
        store.put(16, DIGEST, GOOD)
        assert store.lookup(17, [DIGEST]) == [None]
        assert store.is_empty(17)
        assert not store.is_empty(16)
    with opened(tmp_path) as store:
        assert (store.is_empty(0), store.is_empty(16), store.is_empty(17)) == (True, False, True)


def test_what_is_deleted_is_gone(tmp_path: Path) -> None:
    """At once and after the commit."""
    with opened(tmp_path) as store:
        store.put(16, DIGEST, GOOD)
        store.flush()
        store.delete(16, DIGEST)
        assert store.lookup(16, [DIGEST]) == [None]
        store.flush()
        assert store.lookup(16, [DIGEST]) == [None]
        assert store.stats().entries == 0


def test_an_expired_verdict_does_not_count(tmp_path: Path) -> None:
    """It ends on the hour, and sweeping drops it."""
    clock = Clock()
    with opened(tmp_path, clock=clock) as store:
        store.put(16, DIGEST, replace(GOOD, expires_at=NOW + 3600))
        store.flush()
        assert store.lookup(16, [DIGEST]) != [None]
        clock.now += 3600
        assert store.lookup(16, [DIGEST]) == [None]
        store.sweep(1, 100)
        assert store.stats().entries == 0
        assert store.stats().expired_dropped == 1


def test_a_damaged_record_is_dropped_and_counted(tmp_path: Path) -> None:
    """One bad record costs one verdict; its neighbours are read."""
    with opened(tmp_path) as store:
        store.put(16, DIGEST, GOOD)
        store.put(16, b"e" * 32, BAD)
    with lmdb.open(os.fspath(tmp_path / FILE), subdir=False, max_dbs=4) as env:
        verdicts = env.open_db(b"verdicts")
        with env.begin(write=True, db=verdicts) as txn:
            key = (16).to_bytes(4, "big") + DIGEST
            txn.put(key, (txn.get(key) or b"")[:-1] + b"?")
    with opened(tmp_path) as store:
        assert store.lookup(16, [DIGEST, b"e" * 32]) == [None, BAD]
        store.flush()
        assert store.stats().damaged_records == 1
        assert store.stats().entries == 1


def test_a_full_map_makes_room_and_never_fails(tmp_path: Path) -> None:
    """Ten times what fits goes in: the newest are there, detections outlive the rest, nothing raises."""
    with opened(tmp_path, 8 << 20) as store:
        store.put(16, DIGEST, BAD)
        for number, digest in enumerate(digests(200_000)):
            store.put(16, digest, GOOD)
            if number % 5000 == 0:
                store.flush()
        store.flush()
        stats = store.stats()
        assert stats.evicted > 50_000
        assert stats.writes_lost == 0
        assert stats.used_bytes <= 8 << 20
        assert stats.entries > 10_000
        assert store.lookup(16, [DIGEST]) == [BAD]
        assert store.lookup(16, digests(200_000)[-1:]) == [GOOD]


def test_a_map_full_of_detections_makes_room_too(tmp_path: Path) -> None:
    """When there is nothing else to drop, detections go."""
    with opened(tmp_path, 8 << 20) as store:
        for digest in digests(60_000):
            store.put(16, digest, BAD)
        store.flush()
        assert store.lookup(16, digests(60_000)[-1:]) == [BAD]
        assert store.stats().evicted > 0


def test_past_generations_go_first_when_it_gets_full(tmp_path: Path) -> None:
    """Below 80 % they are kept, since rolling back revives them; above, sweeping drops them."""
    with opened(tmp_path, 8 << 20) as store:
        for digest in digests(1000):
            store.put(16, digest, GOOD)
        store.sweep(2, 10_000)
        assert store.stats().stale_dropped == 0
        for digest in digests(70_000, seed=2):
            store.put(16, digest, replace(GOOD, generation=2))
        for _ in range(20):
            store.sweep(2, 10_000)
        assert store.lookup(16, digests(1)) == [None]
        assert store.stats().stale_dropped + store.stats().evicted >= 1000


def test_pending_writes_are_bounded(tmp_path: Path) -> None:
    """A caller that never flushes fills no memory."""
    with opened(tmp_path) as store:
        for digest in digests(MAX_PENDING * 2):
            store.put(16, digest, GOOD)
            assert store.stats().pending <= MAX_PENDING


def test_stats_are_read_beside_a_serving_svm(tmp_path: Path) -> None:
    """Another process, here another handle, sees what is committed, and disturbs nothing."""
    code = (
        "import sys, pathlib; from appliance.verdicts.store import read_stats\n"
        "print(read_stats(pathlib.Path(sys.argv[1])).entries)"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with opened(tmp_path) as store:
        for digest in digests(100):
            store.put(16, digest, GOOD)
        store.flush()
        command = [sys.executable, "-c", code, os.fspath(tmp_path)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.strip() == "100"
    assert read_stats(tmp_path).entries == 100


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.store import VerdictStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
good = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600)
store = VerdictStore.open(Path(sys.argv[1]), 68 << 20, lambda: 3600.0)
store.put(16, b"a" * 32, good)
store.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for number in range(20_000):
    store.put(16, number.to_bytes(32, "big"), good)
store.flush()
assert "free room" in store.problem, store.problem
assert store.stats().failed_commits > 0
assert store.lookup(16, [b"a" * 32, (19_999).to_bytes(32, "big")]) == [good, good]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.flush()
assert store.problem == "", store.problem
assert store.stats().pending == 0
store.close()
"""


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    """Lookups go on from memory, the problem is named, and writing goes on when there is room again."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, os.fspath(tmp_path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [0, 1, 31, 33, 500])
def test_a_digest_of_a_wrong_length_is_simply_not_there(tmp_path: Path, size: int) -> None:
    """The length is the caller's rule; here it is a key that nobody has."""
    with opened(tmp_path) as store:
        store.put(16, DIGEST, GOOD)
        assert store.lookup(16, [b"x" * size]) == [None]


def test_a_file_that_is_damaged_while_it_serves_is_set_aside(tmp_path: Path) -> None:
    """Lookups never raise; the old file is kept for a look, the new one takes what comes."""
    with opened(tmp_path) as store:
        for digest in digests(2000):
            store.put(16, digest, BAD)
        store.flush()
        with (tmp_path / FILE).open("r+b") as file:
            for page in range(2, store.stats().file_bytes // 4096):
                file.seek(page * 4096 + 10)
                file.write(b"\x07\x00")  # no kind of page
        assert store.lookup(16, [DIGEST]) == [None]
        assert store.stats().set_aside == 1
        assert store.lookup(16, digests(10)) == [None] * 10
        assert len(list(tmp_path.glob("cache.lmdb.damaged-*"))) == 1
        store.put(16, DIGEST, BAD)
        store.flush()
        assert store.lookup(16, [DIGEST]) == [BAD]
        assert store.problem == ""
    with opened(tmp_path) as store:
        assert store.notice == ""
        assert store.lookup(16, [DIGEST]) == [BAD]


def test_memory_and_file_agree_whatever_happens(tmp_path: Path) -> None:
    """Against a dict, over puts, deletions, flushes, sweeps, restarts and hours: the same answers."""
    source = random.Random(4)
    pool, clock = digests(300), Clock()
    verdicts = [
        GOOD,
        BAD,
        replace(GOOD, generation=2),
        replace(GOOD, expires_at=NOW + 5 * 3600),
        replace(BAD, threat="long" * 60, member="m" * 100),
    ]
    truth: dict[tuple[int, bytes], Verdict] = {}
    for _ in range(20):
        with opened(tmp_path, clock=clock) as store:
            for _ in range(200):
                scope, digest, step = source.choice((0, 16)), source.choice(pool), source.random()
                if step < 0.6:
                    verdict = truth[scope, digest] = source.choice(verdicts)
                    store.put(scope, digest, verdict)
                elif step < 0.8:
                    store.delete(scope, digest)
                    truth.pop((scope, digest), None)
                elif step < 0.9:
                    store.flush()
                else:
                    store.sweep(1, 50)
            for scope in (0, 16):
                expected = [truth.get((scope, digest)) for digest in pool]
                expected = [v if v and not 0 < v.expires_at <= clock.now else None for v in expected]
                assert store.lookup(scope, pool) == expected
                for times in (1, len(pool)):
                    judged = Judged(lambda data: 1 if store.decode(data) is None else 2, 1)
                    for start in range(0, len(pool), times):
                        judgements = store.judgements(scope, pool[start : start + times], judged)
                        assert judgements == [1 if v is None else 2 for v in expected[start : start + times]]
        clock.now += 1800


def test_what_the_table_in_memory_forgot_is_read_from_the_file(tmp_path: Path) -> None:
    """Digests that push each other out of memory are all answered, from wherever they are."""
    crowd = [number.to_bytes(2, "big") + b"same" * 7 + b"sa" for number in range(1, 200)]
    with opened(tmp_path) as store:
        for digest in crowd:
            store.put(16, digest, GOOD)
        assert store.lookup(16, crowd) == [GOOD] * len(crowd)
        store.flush()
        assert store.lookup(16, crowd) == [GOOD] * len(crowd)
    with opened(tmp_path) as store:
        assert store.lookup(16, crowd) == [GOOD] * len(crowd)
