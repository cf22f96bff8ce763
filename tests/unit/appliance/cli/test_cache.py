"""svm cache stats."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.store import VerdictStore
from tests.support.commands import svm, svm_program

VERDICT = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 7, 1_900_000_800)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """The state directory of an SVM that serves from it and holds three verdicts."""
    store = VerdictStore.open(tmp_path, 16 << 20, lambda: 1_900_000_900.0)
    for number in range(3):
        store.put(16, bytes([number]) * 32, VERDICT)
    store.flush()
    yield tmp_path
    store.close()


def test_a_cache_in_use_is_read_beside_its_owner(directory: Path) -> None:
    """While the SVM holds the cache open, its fill is shown for programs and for people."""
    shown = svm_program("cache", "stats", "--dir", directory, "--json").json
    assert (shown["entries"], shown["map_bytes"]) == (3, 16 << 20)
    assert 0 < shown["used_bytes"] <= shown["file_bytes"]
    ran = svm_program("cache", "stats", "--dir", directory)
    assert ran.code == 0
    assert "verdicts   3, " in ran.out
    assert " of 16 MiB (" in ran.out


def test_the_directory_comes_from_the_settings(directory: Path, tmp_path: Path) -> None:
    """--config and KVMLA_STATE_DIR name the cache as they do for the SVM."""
    config = tmp_path / "svm.toml"
    config.write_text(f'[server]\nstate_dir = "{directory}"\n')
    for arguments, environ in ((("--config", config), {}), ((), {"KVMLA_STATE_DIR": str(directory)})):
        ran = svm_program("cache", "stats", "--json", *arguments, environ=environ)
        assert ran.json["entries"] == 3


def test_a_directory_without_a_cache_is_told(tmp_path: Path) -> None:
    """One line, exit code 2, and nothing is created there."""
    ran = svm("cache", "stats", "--dir", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("svm: ")
    assert str(tmp_path) in ran.err
    assert list(tmp_path.iterdir()) == []


def test_two_places_at_once_are_refused(tmp_path: Path) -> None:
    """--dir and --config exclude each other."""
    assert "not allowed with argument" in svm("cache", "stats", "--dir", tmp_path, "--config", "x").err
