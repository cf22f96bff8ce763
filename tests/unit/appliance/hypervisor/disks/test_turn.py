"""The lock of a machine that is scanned."""

import os
from pathlib import Path

import pytest

from appliance.hypervisor.disks.turn import turn
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import find_machine


def test_one_scan_of_a_machine_at_a_time(tmp_path: Path) -> None:
    """The second is refused at once, and told who holds it; afterwards there is room again."""
    with VirtHost.open("test:///default") as host:
        machine = find_machine([host], "test")
        for _ in range(2):
            with (
                turn(machine, tmp_path),
                pytest.raises(StateUnusable) as refused,
                turn(machine, tmp_path),
            ):
                pass
            assert str(refused.value).startswith(
                f"test is scanned by another svm-host (process {os.getpid()}, since 2"
            )
            assert str(refused.value).endswith(" UTC): wait for that to end")


def test_a_state_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """It says where."""
    (tmp_path / "file").write_text("")
    with VirtHost.open("test:///default") as host:
        machine = find_machine([host], "test")
        with (
            pytest.raises(StateUnusable, match="see that svm-host may write there"),
            turn(machine, tmp_path / "file"),
        ):
            pass
