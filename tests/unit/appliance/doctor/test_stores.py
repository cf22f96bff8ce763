"""How full the LMDB files are."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from appliance.config import Settings
from appliance.doctor.stores import lossy_finding, state_findings, store_findings
from appliance.state.environment import MAP_BYTES
from appliance.state.ledger import LEFT_TO_OTHERS
from appliance.verdicts.exposure_store import ExposureStore, ExposureTerms
from appliance.verdicts.store import VerdictStore
from tests.support.states import NOW, make_state

SETTINGS = Settings()


def test_each_file_that_is_there_is_told_of(tmp_path: Path) -> None:
    """Of real files, as an SVM leaves them; nothing of what is not there."""
    assert list(store_findings(tmp_path, SETTINGS)) == []
    make_state(tmp_path, "word")
    (tmp_path / "cache.lmdb").unlink()
    with closing(VerdictStore.open(tmp_path, 16 << 20, lambda: NOW)):
        pass
    ExposureStore.open(tmp_path, ExposureTerms(16 << 20), NOW).close()
    found = list(store_findings(tmp_path, SETTINGS))
    assert [(each.what, each.good) for each in found] == [
        ("cache", True),
        ("exposure", True),
        ("ledger", True),
        ("state", True),
        ("events", True),
    ]
    assert "of 16.0 MiB used" in found[0].said
    assert found[4].said.startswith("1 kept, 0.0 MiB of 256 MiB")


def test_damaged_files_are_amiss(tmp_path: Path) -> None:
    """Each by its own sentence, and the others are looked at."""
    for name in ("cache.lmdb", "exposure.lmdb", "state.lmdb", "events.lmdb"):
        (tmp_path / name).write_bytes(b"no LMDB file" * 1000)
    found = list(store_findings(tmp_path, SETTINGS))
    assert [(each.what, each.good) for each in found] == [
        ("cache", False),
        ("exposure", False),
        ("state", False),
        ("events", False),
    ]
    assert "earned anew" in found[0].said
    assert "restore it from a backup" in found[2].said


def test_a_full_cache_is_to_be_known(tmp_path: Path) -> None:
    """Its setting is named."""
    assert lossy_finding("cache", 79, 100, "cache.map_mib").good
    finding = lossy_finding("cache", 80, 100, "cache.map_mib")
    assert finding.good is None
    assert "(80 %)" in finding.said
    assert "raise cache.map_mib" in finding.said


def test_a_state_that_fills_up_is_told_in_time() -> None:
    """First of the ledger, which stops first, then of all."""
    by_used = {
        used: [(each.what, each.good) for each in state_findings(used)]
        for used in (0, MAP_BYTES * 8 // 10, MAP_BYTES - LEFT_TO_OTHERS, MAP_BYTES)
    }
    assert list(by_used.values()) == [
        [("ledger", True), ("state", True)],
        [("ledger", None), ("state", True)],
        [("ledger", False), ("state", True)],
        [("ledger", False), ("state", False)],
    ]


def test_events_in_a_small_file_are_well(tmp_path: Path) -> None:
    """The bound that counts is that of the settings."""
    make_state(tmp_path, "word")
    small = replace(SETTINGS, events=replace(SETTINGS.events, max_mib=1))
    assert next(each for each in store_findings(tmp_path, small) if each.what == "events").good
