"""Machines that are to be cut off."""

from pathlib import Path
from unittest.mock import patch

from appliance.hypervisor.isolation import wanted as wanted_module
from appliance.hypervisor.isolation.wanted import Want, Wanted


def test_what_is_wanted_stays_until_it_is_done(tmp_path: Path) -> None:
    """With the first reason, over a restart."""
    wanted = Wanted(tmp_path)
    assert wanted.all() == {}
    wanted.put("u-2", Want("why", 2.0))
    wanted.put("u-1", Want("w" * 400, 1.0))
    wanted.put("u-2", Want("another", 3.0))
    assert list(Wanted(tmp_path).all().items()) == [("u-1", Want("w" * 300, 1.0)), ("u-2", Want("why", 2.0))]
    wanted.remove("u-2")
    assert list(Wanted(tmp_path).all()) == ["u-1"]


def test_there_is_a_bound_and_what_was_not_written_so_is_passed_over(tmp_path: Path) -> None:
    """Neither holds up the rest."""
    wanted = Wanted(tmp_path)
    with patch.object(wanted_module, "MOST", 1):
        wanted.put("u-1", Want("why", 1.0))
        wanted.put("u-2", Want("why", 2.0))
    (tmp_path / "wanted" / "odd.json").write_text("[]")
    assert list(wanted.all()) == ["u-1"]
