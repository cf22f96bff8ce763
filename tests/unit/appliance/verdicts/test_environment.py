"""The cache's file, sound and damaged."""

import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import lmdb
import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.environment import (
    BOOT_ID,
    FILE,
    NOT_IN_USE,
    Environment,
    StoreError,
    open_for_reading,
)
from appliance.verdicts.store import VerdictStore
from tests.support.owners import as_it_is, give, only_root, somebodys_place

MAP = 16 << 20
GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600)


def filled(directory: Path, entries: int = 2000) -> Path:
    """A cache file with entries, closed in order."""
    store = VerdictStore.open(directory, MAP, lambda: 0.0)
    for number in range(entries):
        store.put(16, random.Random(number).randbytes(32), GOOD)
    store.close()
    return directory / FILE


def cut(path: Path) -> None:
    """Lose the second half."""
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def overwrite(path: Path) -> None:
    """Lose the two pages that LMDB begins with."""
    with path.open("r+b") as file:
        file.write(bytes(8192))


def scramble(path: Path) -> None:
    """Lose every page but the first two."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(random.Random(1).randbytes(size - 8192))


def foreign(path: Path) -> None:
    """Put another program's LMDB file there."""
    path.unlink()
    with lmdb.open(os.fspath(path), subdir=False, max_dbs=4) as env:
        for name in (b"one", b"two"):
            env.open_db(name)


def zero_some(path: Path) -> None:
    """Lose pages in the middle, as a disk does that forgot to write them."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 8192 * 4096)
        file.write(bytes(20 * 4096))


def other_format(path: Path) -> None:
    """Have a file of another version of this program."""
    with lmdb.open(os.fspath(path), subdir=False, max_dbs=4) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", b"kvm-light-agent cache 99", db=meta)


def text(path: Path) -> None:
    """Put something there that is no database at all."""
    path.write_text("hello\n" * 1000)


def empty(path: Path) -> None:
    """Leave a file without content."""
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, overwrite, scramble, zero_some, foreign, other_format, text])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The SVM starts, says once where the old file lies, and works with an empty cache."""
    path = filled(tmp_path)
    damage(path)
    store = VerdictStore.open(tmp_path, MAP, lambda: 1234.0)
    assert f"{FILE}.damaged-1234" in store.notice
    assert (tmp_path / f"{FILE}.damaged-1234").exists()
    assert store.stats().entries == 0
    store.put(16, b"d" * 32, GOOD)
    store.close()
    again = VerdictStore.open(tmp_path, MAP, lambda: 1235.0)
    assert again.notice == ""
    assert again.lookup(16, [b"d" * 32]) == [GOOD]
    again.close()


def test_an_empty_file_is_a_new_cache(tmp_path: Path) -> None:
    """A file without content, as a full disk may leave it, is simply begun."""
    empty(filled(tmp_path))
    store = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
    assert store.notice == ""
    assert store.stats().entries == 0
    store.close()
    assert not list(tmp_path.glob("*.damaged-*"))


def test_a_killed_svms_file_is_taken_over(tmp_path: Path) -> None:
    """What a killed process had committed is with the kernel; it costs no verdict."""
    filled(tmp_path)
    (tmp_path / "cache.in-use").write_bytes(BOOT_ID.read_bytes())
    store = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
    assert store.notice == ""
    assert store.stats().entries == 2000
    store.close()
    assert (tmp_path / "cache.in-use").read_bytes() == NOT_IN_USE


def test_a_sound_file_survives_a_crash_of_the_machine(tmp_path: Path) -> None:
    """It is looked at in full, and kept when everything in it fits together."""
    filled(tmp_path)
    (tmp_path / "cache.in-use").write_text("another boot")
    store = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
    assert store.notice == ""
    assert store.stats().entries == 2000
    store.close()


def test_a_file_that_a_crash_of_the_machine_left_in_part_is_set_aside(tmp_path: Path) -> None:
    """Keys out of order, as old pages amid new ones give, are found by the look in full."""
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    for page in range(2 * 4096, len(content), 4096):
        kind, lower = struct.unpack_from("<HH", content, page + 10)
        if kind == 2 and lower > 16 + 2 * 10:  # a leaf with more than ten nodes
            pointers = struct.unpack_from(f"<{(lower - 16) // 2}H", content, page + 16)
            struct.pack_into(f"<{len(pointers)}H", content, page + 16, *reversed(pointers))
    path.write_bytes(content)
    (tmp_path / "cache.in-use").write_text("another boot")
    store = VerdictStore.open(tmp_path, MAP, lambda: 1.0)
    assert "the machine went down" in store.notice
    assert store.stats().entries == 0
    store.close()


def test_a_file_larger_than_its_map_can_still_be_written(tmp_path: Path) -> None:
    """An administrator who makes the map smaller gets a cache that shrinks into it, not one that fails."""
    filled(tmp_path, 40_000)
    store = VerdictStore.open(tmp_path, 2 << 20, lambda: 0.0)
    for number in range(40_000, 42_000):
        store.put(16, random.Random(number).randbytes(32), GOOD)
    store.flush()
    assert store.problem == ""
    assert store.stats().writes_lost == 0
    assert store.stats().evicted > 0
    assert store.lookup(16, [random.Random(41_999).randbytes(32)]) == [GOOD]
    store.close()


def test_a_second_svm_is_refused(tmp_path: Path) -> None:
    """Two writers never share a file; the sentence says what to do, also across processes."""
    store = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
    code = (
        "import sys, pathlib; from appliance.verdicts.store import VerdictStore, StoreError\n"
        "try: VerdictStore.open(pathlib.Path(sys.argv[1]), 1 << 24, lambda: 0.0)\n"
        "except StoreError as error: sys.exit(str(error))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, os.fspath(tmp_path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert "another svm uses" in done.stderr
    assert "server.state_dir" in done.stderr
    store.close()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The sentence names the directory."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Environment.open(tmp_path / "file", MAP, 0)


@only_root
@pytest.mark.parametrize("there", [True, False])
def test_root_that_reads_writes_into_nothing_that_is_not_the_svms(tmp_path: Path, there: bool) -> None:
    """LMDB makes its lock's file anew, wherever a link in its place leads: nowhere, as the SVM's user."""
    victim = tmp_path / "victim"
    if there:
        victim.write_text("root's")
        victim.chmod(0o600)
    with somebodys_place() as place:
        filled(place)
        (place / f"{FILE}-lock").unlink()
        (place / f"{FILE}-lock").symlink_to(victim)
        give(place)
        before = as_it_is(victim) if there else None
        with pytest.raises(StoreError, match="cannot be read"):
            open_for_reading(place)
        assert (as_it_is(victim) if victim.exists() else None) == before


def test_reading_where_no_svm_ran_says_so(tmp_path: Path) -> None:
    """The sentence says that the directory may be the wrong one."""
    with pytest.raises(StoreError, match="--dir"):
        open_for_reading(tmp_path)


class SlowDisk:
    """A real LMDB environment on a disk that takes its time: `sync` ends when it is told to."""

    def __init__(self, env: lmdb.Environment) -> None:
        """Begin with nothing done."""
        self.done: list[str] = []
        self.began, self.may_end = threading.Event(), threading.Event()
        self._env = env

    def sync(self, force: bool) -> None:
        """Wait, sync, and note it."""
        self.began.set()
        assert self.may_end.wait(30)
        self._env.sync(force)
        self.done.append("synced")

    def close(self) -> None:
        """Close, and note it."""
        self._env.close()
        self.done.append("closed")


def test_closing_waits_for_a_sync_under_way(tmp_path: Path) -> None:
    """A thread may still be waiting for the disk when the SVM stops: the file is closed behind it."""
    environment = Environment.open(tmp_path, MAP, 0)
    disk = SlowDisk(environment._env)
    environment._env = disk  # type: ignore[assignment]  # it has all that is called here
    with ThreadPoolExecutor() as threads:
        syncing = threads.submit(environment.sync)
        assert disk.began.wait(30)
        closing = threads.submit(environment.close)
        assert not wait([closing], timeout=0.2).done
        disk.may_end.set()
        syncing.result(30)
        closing.result(30)
    assert disk.done == ["synced", "closed"]


def test_a_sync_that_comes_after_the_end_harms_nobody(tmp_path: Path) -> None:
    """A thread that was told to sync and gets to it late finds the file closed, which is all right."""
    store = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
    store.put(16, b"d" * 32, GOOD)
    store.close()
    store.sync()
    again = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
    assert again.lookup(16, [b"d" * 32]) == [GOOD]
    again.close()
