"""Machines that run, on libvirt's test host, which makes no backups; real ones are in tests/integration."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.disks.comparing import Wish
from appliance.hypervisor.disks.running import of_machine_running
from appliance.hypervisor.settings import DisksSettings, HostSettings
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.machine import DiskSeen, find_machine
from tests.support.disk_images import converted, empty


@pytest.mark.parametrize("wish", [Wish(), Wish(incremental=True), Wish(full=True)])
def test_a_backup_that_cannot_be_made_in_any_way_is_a_sentence(tmp_path: Path, wish: Wish) -> None:
    """With a checkpoint or without; nothing is left of it."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2")
    settings = HostSettings(state_dir=tmp_path / "state", disks=DisksSettings(backup_dir="/tmp"))
    disks = [DiskSeen("vda", image, "qcow2")]
    with VirtHost.open("test:///default") as host:
        machine = find_machine([host], "test")
        with pytest.raises(VirtError, match="no backup of test can be begun"), ExitStack() as stack:
            of_machine_running(machine, disks, settings, wish, stack)
        left = [each.suffix for each in (tmp_path / "state").rglob("*") if each.is_file()]
        assert left == [".lock"]
        nothing = replace(disks[0], path=None, why="no file")
        with ExitStack() as stack:
            source = of_machine_running(machine, [nothing], settings, wish, stack)
        assert source.problems == [("vda", "no file")]
