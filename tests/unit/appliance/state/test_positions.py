"""Tests of appliance/state/positions.py."""

from pathlib import Path

from appliance.state.environment import StateEnvironment
from appliance.state.positions import PositionStore


def test_a_position_is_there_after_a_restart(tmp_path: Path) -> None:
    """By its name; others have none."""
    environment = StateEnvironment.open(tmp_path)
    PositionStore(environment).set("feed", 1 << 40)
    environment.close()
    environment = StateEnvironment.open(tmp_path)
    store = PositionStore(environment)
    assert (store.get("feed"), store.get("other")) == (1 << 40, None)
    store.set("feed", 7)
    assert store.get("feed") == 7
    environment.close()
