"""Tests of appliance/scanning/engines/table.py."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from appliance.config import ClamdSettings, EngineSettings
from appliance.scanning.engines.table import ENGINES, EngineRow

EVERYTHING = EngineSettings(clamd=ClamdSettings(enabled=True))


def test_every_engine_of_the_settings_has_its_row() -> None:
    """What can be set can be loaded, and each name stands once."""
    assert sorted(row.name for row in ENGINES) == sorted(field.name for field in fields(EngineSettings))


def test_every_engine_has_its_file_and_its_test() -> None:
    """An engine is one file, one test and one row."""
    root = Path(__file__).parents[5]
    for row in ENGINES:
        assert (root / "appliance/scanning/engines" / f"{row.name}.py").exists()
        assert (root / "tests/unit/appliance/scanning/engines" / f"test_{row.name}.py").exists()


@pytest.mark.parametrize("row", ENGINES, ids=lambda row: row.name)
def test_each_row_makes_its_engine(row: EngineRow) -> None:
    """What a row builds its engine loads, under the row's name."""
    built = row.build(EVERYTHING) if row.build else None
    sections = {name: memoryview(data) for name, data in built.sections.items()} if built else {}
    engine = row.load(sections, EVERYTHING)
    assert engine.name == row.name
    assert built is None or (built.engine, built.version) == (row.name, engine.version)
    assert engine.unpacks is (row.name == "clamd")


@pytest.mark.parametrize("row", ENGINES, ids=lambda row: row.name)
def test_each_row_can_be_turned_off(row: EngineRow) -> None:
    """The setting of its own name turns an engine on and off."""
    assert row.enabled(EVERYTHING)
    off = replace(getattr(EVERYTHING, row.name), enabled=False)
    assert not row.enabled(replace(EVERYTHING, **{row.name: off}))
