"""How full the cache is."""

from pathlib import Path

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.environment import EXPOSURE, StoreError
from appliance.verdicts.exposure_store import ExposureStore, ExposureTerms
from appliance.verdicts.stats import StoreStats, read_stats
from appliance.verdicts.store import VerdictStore

GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600)


def test_another_reader_sees_the_same_sizes(tmp_path: Path) -> None:
    """Entries and sizes are those of the SVM; its counters are its own."""
    store = VerdictStore.open(tmp_path, 4 << 20, lambda: 3600.0)
    for number in range(1000):
        store.put(16, number.to_bytes(32, "big"), GOOD)
    store.flush()
    own = store.stats()
    store.close()
    beside = read_stats(tmp_path)
    assert own.entries == beside.entries == 1000
    assert (own.map_bytes, own.used_bytes, own.file_bytes) == (
        beside.map_bytes,
        beside.used_bytes,
        beside.file_bytes,
    )
    assert 0 < own.used_bytes <= own.file_bytes <= own.map_bytes == 4 << 20


def test_the_file_of_who_holds_what_is_read_so_too(tmp_path: Path) -> None:
    """With its own format: one is not taken for the other."""
    ExposureStore.open(tmp_path, ExposureTerms(4 << 20), 3600.0).close()
    beside = read_stats(tmp_path, EXPOSURE)
    assert (beside.entries, beside.map_bytes) == (0, 4 << 20)
    (tmp_path / "exposure.lmdb").rename(tmp_path / "cache.lmdb")
    with pytest.raises(StoreError, match=r"cannot be read|no file of this version"):
        read_stats(tmp_path)


def test_figures_have_the_names_of_the_metrics() -> None:
    """Every field is a figure of the cache."""
    figures = StoreStats(entries=3, map_bytes=10, used_bytes=5, file_bytes=7, evicted=2).figures()
    assert figures["cache_entries"] == 3
    assert figures["cache_evicted"] == 2
    assert all(name.startswith("cache_") for name in figures)


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    """Reading it raises a sentence with its path, and leaves it alone."""
    (tmp_path / "cache.lmdb").write_text("hello\n" * 1000)
    with pytest.raises(StoreError, match=r"cache\.lmdb"):
        read_stats(tmp_path)
    assert (tmp_path / "cache.lmdb").read_text().startswith("hello")
