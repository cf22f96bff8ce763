"""Tests of appliance/state/scan_orders.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.scan import ScanCounts, ScanOrder, ScanState
from appliance.state.environment import StateDamaged, StateEnvironment, packed
from appliance.state.scan_orders import ScanOrderStore

OPEN = ScanOrder(b"i" * 16, "ip-1", (b"/home", b"/\xff\xfe"), "uid-0", 1000, 2000)
OVER = replace(
    OPEN,
    id=b"j" * 16,
    ended_at=3000,
    state=ScanState.INCOMPLETE,
    counts=ScanCounts(1, 2, 3, 4, 5, 6),
    text="the disk went away",
)


def test_orders_are_there_after_a_restart(tmp_path: Path) -> None:
    """With their ends, and paths that are no UTF-8; those that were dropped are not."""
    environment = StateEnvironment.open(tmp_path)
    ScanOrderStore(environment).write([OPEN, OVER, replace(OPEN, id=b"k" * 16)])
    ScanOrderStore(environment).write([replace(OPEN, due_at=7)], drop=[b"k" * 16, b"never"])
    environment.close()
    environment = StateEnvironment.open(tmp_path)
    orders = ScanOrderStore(environment).all()
    assert orders == [replace(OPEN, due_at=7), OVER]
    assert orders[0].paths is orders[1].paths  # kept once
    environment.close()


def test_a_record_without_meaning_is_damage(tmp_path: Path) -> None:
    """What was written by something else is not read as something."""
    for fields in ({"guest": "g", "paths": []}, {"paths": [], "state": "odd"}, {"paths": [1]}):
        environment = StateEnvironment.open(tmp_path)
        store = ScanOrderStore(environment)
        with environment.changing, environment.writing() as txn:
            txn.put(b"i" * 16, packed(fields), db=store._scans_db)
        with pytest.raises(StateDamaged, match=r"state\.lmdb is damaged"):
            store.all()
        environment.close()
