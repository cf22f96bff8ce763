"""Backups; of a machine that runs, see tests/hosts/test_scan_image.py."""

from pathlib import Path

import pytest

from appliance.hypervisor.virt.backups import backup
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.machine import find_machine


def test_what_libvirt_cannot_do_is_a_sentence(tmp_path: Path) -> None:
    """Its test host makes no backups; a path that is too long for a socket is told before."""
    with VirtHost.open("test:///default") as host:
        machine = find_machine([host], "test")
        with (
            pytest.raises(VirtError, match="no backup of test can be begun"),
            backup(machine, ["vda"], Path("/tmp")),
        ):
            pass
        with (
            pytest.raises(VirtError, match="too long for a socket"),
            backup(machine, ["vda"], tmp_path / ("x" * 100)),
        ):
            pass
        with pytest.raises(VirtError, match=r"set disks\.backup_dir"), backup(machine, ["vda"], None):
            pass
